"""access — the commands for the policy of who may reach what: policy, check, explain."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.client_options import Id, Patient, User
from fhir_server.cli.database import prepare, reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from fhir_server.security.caller import Caller
    from fhir_server.security.decision import Access
    from fhir_server.security.policy import Policy, Rule
    from fhir_server.security.tokens.client import Client

app = typer.Typer(
    help="The policy that says who may reach what, where the setting `access` is on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(help="A policy of your own.", show_default=False)]


@app.command()
def policy() -> None:
    """Print the policy that is built in, to be changed and used instead.

    \b
    Example:
      fhir-server access policy > access.toml
    """
    from fhir_server.security.policy_file import BUILT_IN

    typer.echo(BUILT_IN.read_text("utf-8"), nl=False)


@app.command()
def check(file: File) -> None:
    """Read a policy as the server would, and tell which role reaches what.

    \b
    Example:
      fhir-server access check access.toml
    """
    from fhir_server.security.policy_file import BadFile, of_file

    try:
        found = of_file(file)
    except BadFile as error:
        refuse(Exit.MISUSED, str(error))
    for role in found.roles.values():
        typer.echo(f"{role.name}: {role.title}; for {', '.join(role.purposes)}")
        for rule in found.rules:
            if role.name in rule.roles:
                _tell(rule, rule.letters, rule.types)
        if role.deidentify:
            typer.echo(f"    de-identified: {', '.join(role.deidentify)}")


@takes("database_url", "access_policy")
def explain(
    gathered: Gathered,
    id: Id,
    type: Annotated[
        str, typer.Argument(help="Only what it may of this type of resource.", show_default=False)
    ] = "",
    *,
    user: User = "",
    patient: Patient = "",
    purpose: Annotated[str, typer.Option(help="Why it asks, as in BTG.", show_default=False)] = "",
    basis: Annotated[
        str, typer.Option(help="The decision or request it names.", show_default=False)
    ] = "",
    reason: Annotated[
        str, typer.Option(help="Why a glass is broken, in words.", show_default=False)
    ] = "",
) -> None:
    """Tell what a client may, with all the scopes it is registered for: by which rule, how far.

    It is decided as the server would, for whom and why the options say. Of records nothing is
    told: which are in a facility's care changes each minute, and Consents may take from it. Ends
    with status 1 where the client may nothing.

    \b
    Examples:
      fhir-server access explain his-can-tho
      fhir-server access explain his-can-tho Encounter
      fhir-server access explain phan-tich --basis 12/QD-SYT
    """
    from fhir_server.foundation.outcome import Forbidden
    from fhir_server.security.agreeing import SILENCE
    from fhir_server.security.decision import decide
    from fhir_server.store.contract import AllOf

    policy, client = _policy(gathered), _client(gathered, id)
    if type and type not in policy.types:
        refuse(Exit.MISUSED, f"`{type}` is no type of resource of R4.")
    asking = _caller(client, user or client.user, patient or client.patient, purpose)
    asking = replace(asking, basis=basis, reason=reason)
    try:
        found = decide(policy, asking, SILENCE, meaning=lambda _type, _parameters: AllOf())
    except Forbidden as refusal:
        typer.echo(f"{id} may nothing: {refusal}")
        sys.exit(Exit.FOUND)
    typer.echo(f"{id}: {', '.join(sorted(asking.roles))}; for {found.purpose}; {found.law}")
    typer.echo(f"    scopes: {client.scopes}")
    if not sum(_told(found, rule, type) for rule in policy.rules):
        typer.echo(f"It may nothing of {type}." if type else "Its scopes meet none of its rules.")
        sys.exit(Exit.FOUND)
    _tell_besides(found)


def _tell_besides(found: Access) -> None:
    if found.deidentify:
        typer.echo(f"    de-identified: {', '.join(found.deidentify)}")
    if found.can:
        typer.echo(f"    can: {', '.join(sorted(found.can))}")


def _policy(gathered: Gathered) -> Policy:
    from fhir_server.security.policy_file import BadFile
    from fhir_server.server import access_policy_of

    try:
        return access_policy_of(gathered.settings)
    except BadFile as error:
        refuse(Exit.MISUSED, str(error))


def _client(gathered: Gathered, id: str) -> Client:
    from fhir_server.security.tokens.client import of
    from fhir_server.store.upkeep import access

    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        row = access.client(settings.database_url, id)
    if row is None:
        refuse(Exit.MISUSED, f"No client `{id}` is registered; `fhir-server client list` tells.")
    if row.revoked:
        refuse(Exit.MISUSED, f"The client `{id}` is revoked, and may nothing.")
    return of(row)


def _caller(client: Client, user: str, patient: str, purpose: str) -> Caller:
    """Who asks by a token of the client with all its scopes."""
    from fhir_server.security import scope
    from fhir_server.security.caller import Caller

    if purpose and purpose not in client.purposes:
        refuse(Exit.MISUSED, f"`{client.id}` is not registered for the purpose `{purpose}`.")
    return Caller(
        client=client.id,
        user=user,
        facility=client.facility,
        roles=frozenset(client.roles),
        scopes=scope.parse(client.scopes),
        purpose=purpose or (client.purposes[0] if client.purposes else ""),
        patient=patient,
    )


def _told(access: Access, rule: Rule, type: str) -> int:
    """Tell what the rule and the scopes leave together, types with the same letters in one line."""
    from fhir_server.security.ground import permits

    assert access.asked is not None, "only the command line itself reaches everything"
    letters: dict[str, set[str]] = {}
    for letter in rule.letters:
        for permit in permits(access.asked, frozenset(letter)):
            if permit.rule == rule.name:
                for each in permit.ground.types or access.asked.policy.types:
                    letters.setdefault(each, set()).add(letter)
    same: dict[frozenset[str], set[str]] = {}
    for each, having in letters.items():
        if type in ("", each):
            same.setdefault(frozenset(having), set()).add(each)
    for having_all, types in same.items():
        _tell(rule, having_all, frozenset(types))
    return len(same)


def _tell(rule: Rule, letters: frozenset[str], types: frozenset[str]) -> None:
    told = "".join(letter for letter in "cruds" if letter in letters)
    reach = " and ".join(sorted(rule.reach))
    typer.echo(f"    {rule.name}: {told} of {_types(types)}, reach {reach}")


def _types(types: frozenset[str]) -> str:
    few = sorted(types)
    return ", ".join(few) if len(few) <= 5 else f"{len(few)} types"


app.command("explain")(explain)
