"""front — the page at `/`: what this is, what is in it, three things to try."""

from __future__ import annotations

import asyncio
from html import escape

from fhir_server.interaction.context import Server

PATIENCE = 5.0  # seconds; then the page is shown without its numbers
TRY = (
    ("metadata", "what this server can do"),
    ("Patient?_count=5&_format=json&_pretty=true", "the first five patients"),
    ("_history?_count=5&_format=json&_pretty=true", "the last five changes"),
)
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;"
    "color:#1c2a33}h1{font-size:1.5rem}code{background:#eef3f5;padding:.1em .3em;"
    "border-radius:3px}table{border-collapse:collapse}td,th{padding:.15rem 1rem .15rem 0;"
    "text-align:left}td:last-child{text-align:right;font-variant-numeric:tabular-nums}"
)


async def page(server: Server, base: str, *, counted: bool) -> str:
    """The page as HTML; it runs no script and loads nothing. counted: with what is in the server,
    which is not for everybody."""
    links = "".join(
        f'<li><a href="{escape(f"{base}/{path}")}"><code>{escape(path)}</code></a>: {what}</li>'
        for path, what in TRY
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'><title>FHIR server</title>"
        f"<style>{STYLE}</style><h1>A FHIR R4 server</h1>"
        "<p>It keeps health records as resources of HL7 FHIR R4 (4.0.1), for programs to read,"
        " search and write over HTTP.</p>"
        f"<p>The base URL for clients: <code>{escape(base)}</code></p>"
        f"<h2>Three things to try</h2><ul>{links}</ul>"
        f"{await _counted(server) if counted else ''}"
        '<p>For operators: <a href="/readyz">ready?</a>, <a href="/metrics">metrics</a>,'
        ' <a href="/openapi.json">OpenAPI</a>.</p></html>'
    )


async def _counted(server: Server) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            return f"<h2>What is in it</h2>{_held(await server.store.census())}"
    except Exception:
        return "<p>The database cannot be reached at the moment.</p>"


def _held(census: dict[str, int]) -> str:
    held = {type: count for type, count in census.items() if count}
    if not held:
        return "<p>Nothing yet. <code>fhir-server demo</code> loads invented records.</p>"
    rows = "".join(f"<tr><td>{escape(type)}<td>{count:,}" for type, count in sorted(held.items()))
    total = sum(held.values())
    return f"<table><tr><th>Type<th>Resources{rows}<tr><th>All<td>{total:,}</table>"
