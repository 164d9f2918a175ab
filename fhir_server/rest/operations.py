"""operations — what is not FHIR: whether the server lives, is ready, how it does, and a front page.

FastAPI serves these. Its `/docs` page stays off: it would load its scripts from another site, which
a clinic's network may not reach; `/openapi.json` describes the FHIR API for tools.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from fhir_server.foundation.outcome import FhirError, Forbidden, Issue, operation_outcome
from fhir_server.interaction.context import Admitted, Server
from fhir_server.rest import front, metrics, openapi
from fhir_server.rest.base_url import base_url
from fhir_server.rest.headers import collected
from fhir_server.rest.metrics import Metrics
from fhir_server.rest.options import Options
from fhir_server.security.tokens.credentials import Credentials

PATIENCE = 5.0  # seconds a database may take to say how it is: one that hangs says nothing
READ = ["GET", "HEAD"]  # load balancers ask by HEAD
PLAIN = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
PAGE = PLAIN | {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
FHIR = "application/fhir+json; charset=utf-8"
ISSUE_CODES = {404: "not-found", 405: "not-supported"}


def operations(server: Server, options: Options, counted: Metrics) -> FastAPI:
    """The pages beside the FHIR API."""
    app = FastAPI(title="fhir-server", docs_url=None, redoc_url=None, openapi_url=None)

    @app.api_route("/livez", methods=READ)
    async def live() -> Response:
        """The process answers; whether it can do its work, `/readyz` tells."""
        return JSONResponse({"status": "alive"}, headers=PLAIN)

    @app.api_route("/readyz", methods=READ)
    async def ready() -> Response:
        return await readiness(server)

    @app.api_route("/metrics", methods=READ)
    async def measured(request: Request) -> Response:
        await demand_able(server, request)
        return await exposed(server, counted)

    @app.api_route("/openapi.json", methods=READ)
    async def described(request: Request) -> Response:
        return JSONResponse(openapi.document(server, seen_base(options, request)), headers=PLAIN)

    @app.api_route("/", methods=READ)
    async def page(request: Request) -> Response:
        counted = await may_count(server, request)
        told = await front.page(server, seen_base(options, request), counted=counted)
        return HTMLResponse(told, headers=PAGE)

    @app.exception_handler(FhirError)
    async def kept_out(_: Request, error: FhirError) -> Response:
        told = operation_outcome(error.issues)
        return JSONResponse(told, error.status, PLAIN | error.headers, FHIR)

    app.add_exception_handler(Exception, failed)  # it is raised again, for the guard to log

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return outside(options, request, error)

    return app


async def exposed(server: Server, counted: Metrics) -> Response:
    """What was counted, and the figures that are known where they lie; without these where the
    database is away, which is when the others are looked at."""
    try:
        looked_up = [one for measure in server.measures for one in await measure(server)]
    except FhirError:
        looked_up = []
    body = counted.exposition() + metrics.gauges(looked_up)
    return Response(body, media_type=metrics.CONTENT_TYPE, headers=PLAIN)


async def failed(_: Request, __: Exception) -> Response:
    told = operation_outcome(FhirError("Something went wrong in the server.").issues)
    return JSONResponse(told, 500, PLAIN, FHIR)


async def admitted(server: Server, request: Request) -> Admitted:
    """Who asks, and what they may. Raises Unauthorized, Forbidden, Invalid."""
    address = request.client.host if request.client else ""
    told = Credentials(
        request.headers.get("authorization"), address, request.method, request.url.path
    )
    return await server.gate.admitted(told)


async def demand_able(server: Server, request: Request) -> None:
    """How much is asked tells what others do: for whom the policy says so."""
    if not (await admitted(server, request)).access.able("metrics"):
        raise Forbidden("The metrics are for who runs this server: none of your roles `can` them.")


async def may_count(server: Server, request: Request) -> bool:
    """The page itself is for everybody; what is in the server is not."""
    try:
        return (await admitted(server, request)).access.able("census")
    except FhirError:
        return False


def seen_base(options: Options, request: Request) -> str:
    headers = collected(request.scope["headers"], bound=options.max_header)
    return base_url(
        options, headers, scheme=request.scope["scheme"], server=request.scope.get("server")
    )


async def readiness(server: Server) -> Response:
    """200 where the database is reached, and its schema and index are those this server knows."""
    try:
        server.closing.demand_open()
        async with asyncio.timeout(PATIENCE):
            health = await server.store.health()
    except Exception:
        return JSONResponse({"ready": False, "why": "database"}, 503, headers=PLAIN)
    known = health.schema == health.schema_wanted
    ready = known and health.index is None
    told: dict[str, Any] = {
        "ready": ready,
        "database": f"{health.product} {health.version}",
        "schema": health.schema,
    }
    if not known:
        told |= {"why": "schema", "schema_wanted": health.schema_wanted}
    elif health.index is not None:
        told |= {"why": "index", "index": health.index}
    if health.notes:
        told["notes"] = list(health.notes)
    return JSONResponse(told, 200 if ready else 503, headers=PLAIN)


def outside(options: Options, request: Request, error: HTTPException) -> Response:
    """A path that is neither the API's nor one of these: say where the API is."""
    base = options.base_path or "/"
    issue = Issue(
        "error",
        ISSUE_CODES.get(error.status_code, "processing"),
        f"Nothing is served at this address by `{request.method[:20]}`. The FHIR API begins at"
        f" `{base}`: try `{base.rstrip('/')}/metadata`.",
    )
    return JSONResponse(
        operation_outcome([issue]),
        error.status_code,
        headers=PLAIN | dict(error.headers or {}),
        media_type=FHIR,
    )
