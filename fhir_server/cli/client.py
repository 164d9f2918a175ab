"""client — the commands for who may ask: add, enrol, invite, list, rotate, end, revoke, key."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli.client_options import (
    Facility,
    Id,
    Introspects,
    Jwks,
    JwksUrl,
    Launches,
    Name,
    OfProvider,
    Patient,
    Purposes,
    Redirects,
    Roles,
    Scopes,
    User,
)
from fhir_server.cli.database import reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.cli.registration import (
    demand_proof,
    found,
    keep,
    keys_of,
    now,
    ready,
    url_of,
    write_down,
)
from fhir_server.settings import Gathered

app = typer.Typer(
    help="The clients that may ask, where the setting `access` is on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@takes("database_url")
def add(  # noqa: PLR0913 - each is an option of its own
    gathered: Gathered,
    id: Id,
    *,
    name: Name = "",
    scope: Scopes = None,
    role: Roles = None,
    facility: Facility = "",
    user: User = "",
    patient: Patient = "",
    purpose: Purposes = None,
    jwks: Jwks = None,
    jwks_url: JwksUrl = "",
    provider: OfProvider = False,
    redirect: Redirects = None,
    introspects: Introspects = False,
    launches: Launches = False,
) -> None:
    """Register a client. It proves itself by a key, of which only the public part is needed here.

    What is registered is the most it may ever ask for; what it reaches, the policy says. A server
    that is running knows it at once.

    \b
    Examples:
      fhir-server client add his-can-tho --scope system/*.cruds --role system --facility bv-can-tho
        --purpose TREAT --jwks his.jwks.json
      fhir-server client add lis --scope "system/Observation.cru" --jwks-url https://lis.vn/jwks.json
      fhir-server client add viewer --scope "user/*.rs" --role doctor --provider
      fhir-server client add so-suc-khoe --scope "launch/patient patient/*.rs offline_access"
        --role citizen --purpose PATRQT --redirect https://so.example.vn/done
    """
    from fhir_server.security.tokens.client import Client

    client = Client(
        id=id,
        name=name,
        scopes=" ".join(scope or ()),
        roles=tuple(role or ()),
        facility=facility,
        user=user,
        purposes=tuple(purpose or ()),
        patient=patient,
        keys=keys_of(jwks),
        keys_url=url_of(jwks_url),
        redirects=tuple(redirect or ()),
        provider=provider,
        introspects=introspects,
        launches=launches,
    )
    demand_proof(client)
    keep(gathered, client, "add", replaces=0)
    typer.echo(f"Registered `{id}`.")


@takes("database_url")
def enrol(  # noqa: PLR0913 - each is an option of its own
    gathered: Gathered,
    id: Id,
    *,
    name: Name = "",
    scope: Scopes = None,
    role: Roles = None,
    facility: Facility = "",
    user: User = "",
    patient: Patient = "",
    purpose: Purposes = None,
    minutes: Annotated[
        int, typer.Option(min=1, max=1440, help="How long the code is good for.")
    ] = 10,
) -> None:
    """Print a code, good once, with which a health post brings the key that it made itself.

    A client of this id that is there already keeps its registration, and its key is replaced when
    the code is used; say no other option then.

    \b
    Examples:
      fhir-server client enrol tyt-1 --scope "system/*.cruds" --role node --facility tyt-1
      fhir-server client enrol tyt-1 --minutes 60
    """
    from fhir_server.security.tokens.client import Client
    from fhir_server.security.tokens.enrolment import kept, new_code
    from fhir_server.store.upkeep import access

    code = new_code()
    new = Client(
        id=id,
        name=name,
        scopes=" ".join(scope or ()),
        roles=tuple(role or ()),
        facility=facility,
        user=user,
        purposes=tuple(purpose or ()),
        patient=patient,
    )
    if new != Client(id=id):
        keep(gathered, new, "enrol", replaces=0)
    else:
        found(gathered, id)
        write_down(gathered, "enrol", id)
    with reaching(gathered.settings):
        access.issue(gathered.settings.database_url, kept(code, id, now(), minutes=minutes))
    typer.echo(f"Code for `{id}`, good once and for {minutes} minutes: {code}")
    typer.echo("The client posts it with its key set to [base]/oauth/enrol, as `code` and `jwks`.")


@takes("database_url")
def invite(
    gathered: Gathered,
    id: Id,
    *,
    user: Annotated[str, typer.Option(help="Who it is, as in Practitioner/123.")],
    patient: Patient = "",
    minutes: Annotated[
        int, typer.Option(min=1, max=1440, help="How long the code is good for.")
    ] = 10,
) -> None:
    """Print a code, good once, by which a person opens an application that has --redirect.

    \b
    Examples:
      fhir-server client invite so-suc-khoe --user Patient/an --patient an
      fhir-server client invite phong-kham --user Practitioner/bs-an
    """
    import json
    from dataclasses import replace

    from fhir_server.security.tokens.client import BadClient, checked
    from fhir_server.security.tokens.enrolment import kept, new_code
    from fhir_server.security.tokens.launching import LOGIN
    from fhir_server.store.upkeep import access

    before = found(gathered, id)
    if not before.redirects:
        refuse(Exit.MISUSED, f"`{id}` is no application that people open: it has no `--redirect`.")
    try:
        told = checked(replace(before, user=user, patient=patient or before.patient))
    except BadClient as error:
        refuse(Exit.MISUSED, str(error))
    facts = {"user": told.user} | ({"patient": told.patient} if told.patient else {})
    code = new_code()
    write_down(gathered, "invite", id)
    with reaching(gathered.settings):
        access.issue(
            gathered.settings.database_url,
            kept(code, id, now(), minutes=minutes, kind=LOGIN, facts=json.dumps(facts)),
        )
    typer.echo(f"Code for {user} in `{id}`, good once and for {minutes} minutes: {code}")


@takes("database_url")
def list_(gathered: Gathered) -> None:
    """List the clients: what they may ask for, how they prove themselves, and who is revoked."""
    from fhir_server.security.tokens import client
    from fhir_server.store.upkeep import access

    ready(gathered)
    with reaching(gathered.settings):
        rows = access.clients(gathered.settings.database_url)
    for row in rows:
        one = client.of(row)
        proof = "provider" if one.provider else one.keys_url or f"{len(one.keys)} keys"
        state = "REVOKED" if one.revoked else proof
        told = [one.id, state, one.scopes, *one.roles, one.facility, one.user, one.name]
        typer.echo("  ".join(each for each in told if each))
    if not rows:
        typer.echo("No client is registered. `fhir-server client add ID` registers one.")


@takes("database_url")
def rotate(
    gathered: Gathered,
    id: Id,
    *,
    jwks: Annotated[Path, typer.Option(help="The file of its new public keys.")],
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Take the keys of before, too, until the next time.")
    ] = False,
) -> None:
    """Give a client other keys. Without --keep-old those of before are good no more, at once.

    \b
    Examples:
      fhir-server client rotate his-can-tho --jwks new.jwks.json --keep-old
      fhir-server client rotate his-can-tho --jwks new.jwks.json
    """
    from fhir_server.security.tokens.client import rotated
    from fhir_server.store.upkeep import access

    before = found(gathered, id)
    after = rotated(before, keys_of(jwks), keep=keep_old)
    keep(gathered, after, "rotate", replaces=before.changed)
    ended = 0
    if not keep_old:
        with reaching(gathered.settings):
            ended = access.withdraw(gathered.settings.database_url, id)
    told = ", ".join(f"`{key['kid']}`" for key in after.keys)
    typer.echo(f"`{id}` proves itself by {told} now; {ended} tokens ended.")


@takes("database_url")
def revoke(
    gathered: Gathered,
    id: Id,
    *,
    wipe: Annotated[
        bool | None,
        typer.Option(
            "--wipe/--no-wipe",
            help="Of a node: have it wipe all its records when it comes next, also after it was"
            " revoked; or not, as long as it was not told.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Revoke a client: its tokens end, and it is given no more. Servers know it in 5 seconds.

    It stays in the list, and no other client can be registered by its id: the audit names it.
    A node's machine that was stolen or lost is told to wipe its disk by --wipe: all its records,
    those it has not sent, too. `fhir-server nodes` tells whether it was told, and has done it.

    \b
    Examples:
      fhir-server client revoke his-can-tho
      fhir-server client revoke tyt-my-khanh --wipe
      fhir-server client revoke tyt-my-khanh --no-wipe
    """
    from fhir_server.cli import revoking

    revoking.revoke(gathered, id, wipe=wipe)


def key(
    name: Annotated[str, typer.Argument(help="The files are called NAME.pem and NAME.jwks.json.")],
) -> None:
    """Make a key for a client: the private part for it alone, and the public part to register.

    Do this where the client runs, so that the private part never travels.

    \b
    Examples:
      fhir-server client key his-can-tho
    """
    import json

    from joserfc import jwk

    kid = f"{Path(name).name}-{int(time.time())}"
    made = jwk.generate_key("EC", "P-384", {"kid": kid, "use": "sig", "alg": "ES384"})
    private, public = Path(f"{name}.pem"), Path(f"{name}.jwks.json")
    try:
        # Nobody else may read it, not even while it is written; none that is there is lost.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(private, flags, 0o600), "wb") as opened:
            opened.write(made.as_pem(private=True))
        public.write_text(json.dumps({"keys": [made.as_dict(private=False)]}, indent=2) + "\n")
    except FileExistsError:
        refuse(Exit.MISUSED, f"`{private}` is there already. Choose another name.")
    except OSError as error:
        refuse(Exit.MISUSED, f"`{private}` cannot be written: {error.strerror}.")
    typer.echo(f"Private key: {private} (keep it where the client runs). Its kid: {kid}")
    typer.echo(f"Public key:  {public} (`fhir-server client add ID --jwks {public}`)")


@takes("database_url")
def end(
    gathered: Gathered,
    id: Id,
    *,
    user: Annotated[
        str, typer.Option(help="Of this person alone, as in Practitioner/123.", show_default=False)
    ] = "",
) -> None:
    """End what people granted an application, with all tokens: it has to ask them again.

    Servers know it in 5 seconds. The client itself stays registered (`client revoke` ends that).

    \b
    Examples:
      fhir-server client end phong-kham --user Practitioner/bs-an
      fhir-server client end so-suc-khoe
    """
    import json

    from fhir_server.security.tokens.granted import GRANT
    from fhir_server.store.upkeep import access

    found(gathered, id)
    write_down(gathered, "end", id)
    url = gathered.settings.database_url
    with reaching(gathered.settings):
        if not user:
            typer.echo(f"{access.withdraw(url, id)} tokens of `{id}` ended.")
            return
        ended = sum(
            access.take(url, each.digest, GRANT)
            for each in access.of_client(url, id, GRANT)
            if json.loads(each.facts).get("user") == user
        )
    typer.echo(f"{ended} grants of {user} to `{id}` ended.")


for command, name in (
    (add, "add"),
    (enrol, "enrol"),
    (invite, "invite"),
    (list_, "list"),
    (rotate, "rotate"),
    (end, "end"),
    (revoke, "revoke"),
    (key, "key"),
):
    app.command(name)(command)
