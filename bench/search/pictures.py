"""pictures — the growth curves of W3 as SVG, and their table, into docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any

from bench.search.shapes import SHAPES

DOCS = Path(__file__).parents[2] / "docs"
PAGE, FOLDER = DOCS / "performance.md", DOCS / "pictures"
BEGIN, END = "<!-- w3 -->\n", "<!-- /w3 -->\n"
WIDE, HIGH, COLUMNS = 220, 120, 4  # of one shape's picture, and how many stand side by side
GROWN = 1.3  # the goal: p50 at the top of the ladder to p50 at its foot

Result = dict[str, Any]


def write(results: dict[str, list[Result]]) -> None:
    """Draw what was measured, and put its tables between the page's two marks."""
    FOLDER.mkdir(exist_ok=True)
    told = []
    for name, rungs in results.items():
        (FOLDER / f"w3-{name}.svg").write_text(drawn(name, rungs))
        told.append(table(name, rungs))
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + "\n".join(told) + END + after)


def table(name: str, rungs: Sequence[Result]) -> str:
    """What each shape took, in milliseconds, at each rung; growth is of p50 alone."""
    foot, top = rungs[0], rungs[-1]
    heads = " | ".join(f"{rung['patients']:,}" for rung in rungs)
    rates = " | ".join(f"{rung['rate']:,}" for rung in rungs)
    lines = [
        f"### {name}",
        "",
        f"![How long each shape takes as patients grow](pictures/w3-{name}.svg)",
        "",
        f"| | {heads} |",
        "|---|" + "---|" * len(rungs),
        f"| searches/s, all shapes mixed, 8 clients | {rates} |",
        "",
        f"p50 and p99 in ms of one client at {foot['patients']:,} and {top['patients']:,} patients,"
        f" and p99 of 8 clients with all shapes mixed at {top['patients']:,}. *Grows*: the answer,"
        " or the work any answer takes, grows with the patients.",
        "",
        f"| shape | {foot['patients']:,}: p50 | p99 | {top['patients']:,}: p50 | p99"
        " | growth of p50 | mixed p99 | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for shape in SHAPES:
        low, high = foot["shapes"][shape.name], top["shapes"][shape.name]
        growth = high["alone50"] / low["alone50"] if low["alone50"] else 0.0
        notes = ["grows"] if shape.grows else []
        notes += [f"**{growth:.1f} is above {GROWN}**"] if growth > GROWN and not notes else []
        notes += [one for one in (high["failed"], high["wrong"]) if one]
        lines.append(
            f"| `{shape.name}` | {low['alone50']:.2f} | {low['alone99']:.2f}"
            f" | {high['alone50']:.2f} | {high['alone99']:.2f} | {growth:.2f}"
            f" | {high['mixed99'] if shape.mixed else '-'} | {'; '.join(notes)} |"
        )
    return "\n".join(lines) + "\n\n"


def drawn(name: str, rungs: Sequence[Result]) -> str:
    """A small picture for each shape: p50 and p99 of one client over patients, both logarithmic."""
    rows = -(-len(SHAPES) // COLUMNS)
    wide, high = COLUMNS * WIDE, rows * HIGH + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}"'
        f' font-family="sans-serif" font-size="10">',
        f'<rect width="{wide}" height="{high}" fill="white"/>',
        f'<text x="8" y="18" font-size="13">W3 on {name}: ms over patients,'
        f" p50 (dark) and p99 (light); the dashed line is 25 ms</text>",
    ]
    for number, shape in enumerate(SHAPES):
        x, y = number % COLUMNS * WIDE, number // COLUMNS * HIGH + 30
        parts.append(f'<g transform="translate({x} {y})">{_shape(shape.name, rungs)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


LEFT, TOP, RIGHT, BOTTOM = 34, 22, WIDE - 14, HIGH - 18
LEAST, MOST = 0.1, 100.0  # milliseconds


def _shape(name: str, rungs: Sequence[Result]) -> str:
    sizes = [rung["patients"] for rung in rungs]

    def across(size: float) -> float:
        span = log(sizes[-1] / sizes[0]) or 1.0
        return LEFT + (RIGHT - LEFT) * log(size / sizes[0]) / span

    def down(ms: float) -> float:
        held = min(max(ms, LEAST), MOST)
        return BOTTOM - (BOTTOM - TOP) * log(held / LEAST) / log(MOST / LEAST)

    def curve(key: str, colour: str) -> str:
        points = " ".join(
            f"{across(rung['patients']):.1f},{down(rung['shapes'][name][key]):.1f}"
            for rung in rungs
        )
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'

    shown = name.replace("&", "&amp;").replace("<", "&lt;")
    last = rungs[-1]["shapes"][name]
    grid = "".join(
        f'<line x1="{LEFT}" y1="{down(ms):.1f}" x2="{RIGHT}" y2="{down(ms):.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 4}" y="{down(ms) + 3:.1f}" text-anchor="end" fill="#777">{ms:g}</text>'
        for ms in (0.1, 1, 10, 100)
    )
    limit = down(25)
    return (
        f'<text x="4" y="14" font-size="9">{shown}</text>{grid}'
        f'<line x1="{LEFT}" y1="{limit:.1f}" x2="{RIGHT}" y2="{limit:.1f}" stroke="#c33"'
        ' stroke-dasharray="3 3"/>'
        f"{curve('alone99', '#8fb4dd')}{curve('alone50', '#1b4f8f')}"
        f'<text x="{RIGHT}" y="{HIGH - 5}" text-anchor="end" fill="#777">{sizes[0]:,} to'
        f" {sizes[-1]:,}: {last['alone50']:.2f} / {last['alone99']:.2f} ms</text>"
    )
