"""client_options — what the commands for clients may be told of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Id = Annotated[str, typer.Argument(help="The client's id.", show_default=False)]
Name = Annotated[str, typer.Option(help="What people call it.", show_default=False)]
Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        help="What it may ask for, as in system/*.rs; may be given several times.",
        show_default=False,
    ),
]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", help="A role of the policy; several times.", show_default=False),
]
Facility = Annotated[
    str, typer.Option(help="The id of the Organization it belongs to.", show_default=False)
]
User = Annotated[
    str, typer.Option(help="Whom it acts for, as in Practitioner/123.", show_default=False)
]
Patient = Annotated[
    str, typer.Option(help="The id of the one Patient it is about.", show_default=False)
]
Purposes = Annotated[
    list[str] | None,
    typer.Option(
        "--purpose",
        help="A code of v3-PurposeOfUse it may give, as in TREAT; the first is the usual one.",
        show_default=False,
    ),
]
Jwks = Annotated[
    Path | None, typer.Option(help="The file of its public keys, a JWK Set.", show_default=False)
]
JwksUrl = Annotated[str, typer.Option(help="The https URL of its public keys.", show_default=False)]
OfProvider = Annotated[
    bool, typer.Option("--provider", help="Its tokens come from the OpenID provider.")
]
Redirects = Annotated[
    list[str] | None,
    typer.Option(
        "--redirect",
        help="Of an application that people open: the address they are led back to, exactly.",
        show_default=False,
    ),
]
Introspects = Annotated[
    bool, typer.Option("--introspects", help="It may ask about tokens of other clients.")
]
Launches = Annotated[
    bool,
    typer.Option(
        "--launches",
        help="An EMR: it may open applications of its facility for its users (oauth/launch).",
    ),
]
