"""sync — the commands of a node: enrol, rotate, status, now, pause, resume, log, parked.

They work on the database, beside a server that runs on it or without one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fhir_server.cli.database import prepare, reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from pathlib import Path

    from fhir_server.settings import Settings
    from fhir_server.store.upkeep.side import Beside
    from fhir_server.sync.node.copy_state import CopyState
    from fhir_server.sync.node.key import NodeKey
    from fhir_server.sync.node.standing import Standing

app = typer.Typer(
    help="This server as a node: what goes to its hub, and comes from there.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

T = TypeVar("T")
NO_NODE = "This server has not spoken to a hub yet: `fhir-server sync enrol` is the first step."
LONGEST = 600  # seconds that a server is waited for
TIMES = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@takes("database_url", "hub", "hub_key")
def enrol(
    gathered: Gathered,
    *,
    code: Annotated[
        str, typer.Option(prompt=True, help="The code the hub's operator has told.", metavar="CODE")
    ],
) -> None:
    """Make a key, and bring its public part to the hub with a code that is good once.

    The hub's operator makes the code by `fhir-server client enrol ID --role node --facility ...`.
    A server that is running with `hub` set begins within seconds.

    \b
    Example:
      fhir-server sync enrol --hub https://tinh.example.vn/fhir --code ABCD-EFGH-...
    """
    from fhir_server.server import node_key_file
    from fhir_server.store.upkeep import wiping
    from fhir_server.sync.node import key, line

    settings = gathered.settings
    if not settings.hub:
        refuse(Exit.MISUSED, "Say which hub: `--hub https://.../fhir`, or the setting FHIR_HUB.")
    file = node_key_file(settings)
    with reaching(settings):
        wiped = wiping.marked(settings.database_url)
        if wiped is not None and not wiped.get("done"):
            raise wiping.Wiped(wiped)
    try:
        found = asyncio.run(line.enrol(settings.hub.rstrip("/"), code))
        key.write(file, found)
    except (line.Away, line.Refusal) as error:
        refuse(Exit.FOUND, str(error))
    except OSError as error:
        refuse(Exit.MISUSED, f"`{file}` cannot be written: {error.strerror}.")
    if wiped is not None:
        with reaching(settings):
            wiping.unmark(settings.database_url)
    typer.echo(f"Enrolled as `{found.client}`. The key is in `{file}`; nobody else may read it.")


@takes("database_url", "hub", "hub_key")
def rotate(gathered: Gathered) -> None:
    """Make another key, and have the hub know this node by it. The one before is good for 30 days
    more; a server that is running takes the new one by itself.

    A node does so without being told when its key is as old as the setting `hub_key_days` says.

    \b
    Example:
      fhir-server sync rotate
    """
    from fhir_server.server import node_key_file
    from fhir_server.sync.node.key import BadKey
    from fhir_server.sync.node.line import Away, Refusal

    file = node_key_file(gathered.settings)
    try:
        found = asyncio.run(_rotated(gathered.settings, file))
    except (BadKey, Away, Refusal) as error:
        refuse(Exit.FOUND, str(error))
    except OSError as error:
        refuse(Exit.MISUSED, f"`{file}` cannot be written: {error.strerror}.")
    typer.echo(f"The hub knows `{found.client}` by `{found.jwk['kid']}` now.")


@takes("database_url", "hub", "hub_key")
def status(gathered: Gathered) -> None:
    """Tell what waits, what the hub keeps apart, and how the line is. Ends with status 1 where
    records are kept apart.

    \b
    Example:
      fhir-server sync status
    """
    from fhir_server.sync.node.standing import standing

    found = _asked(gathered, standing)
    if found is None:
        refuse(Exit.MISUSED, _not_begun(gathered.settings))
    for name, value in _told(found):
        typer.echo(f"{name + ':':12} {value}")
    if found.parked or found.refused:
        sys.exit(Exit.FOUND)


@takes("database_url", "hub", "hub_key")
def now(gathered: Gathered) -> None:
    """Send and fetch all there is, and tell how it goes.

    \b
    Example:
      fhir-server sync now
    """
    from fhir_server.cli import wiping
    from fhir_server.store.upkeep import side
    from fhir_server.sync.node.key import BadKey
    from fhir_server.sync.node.line import Away, Refusal
    from fhir_server.sync.node.wiping import ToldToWipe

    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        if side.is_held(settings.database_url):
            asyncio.run(_hurry(settings.database_url))
            return
        try:
            sent, came = asyncio.run(_meet(settings))
        except ToldToWipe as told:
            wiping.obey(settings, told)
        except (BadKey, Away, Refusal) as error:
            refuse(Exit.FOUND, str(error))
    typer.echo(f"Done: {sent:,} versions sent, {came:,} pages taken.")


@takes("database_url")
def pause(gathered: Gathered) -> None:
    """Have the node leave its hub alone. Local work goes on, and waits to be sent.

    \b
    Example:
      fhir-server sync pause
    """
    from fhir_server.store.contract.side import STATE, StateRow
    from fhir_server.sync.node.life import PAUSED

    with reaching(gathered.settings):
        _beside(gathered).put(STATE, StateRow(PAUSED, str(int(time.time() * 1000))))
    typer.echo("Paused. `fhir-server sync resume` has it go on.")


@takes("database_url")
def resume(gathered: Gathered) -> None:
    """Have the node go on after a pause.

    \b
    Example:
      fhir-server sync resume
    """
    from fhir_server.store.contract.side import STATE
    from fhir_server.sync.node.life import PAUSED

    with reaching(gathered.settings):
        _beside(gathered).drop(STATE, (PAUSED,))
    typer.echo("It goes on.")


@takes("database_url")
def log(
    gathered: Gathered,
    *,
    lines: Annotated[int, typer.Option(min=1, max=500, help="How many of the last.")] = 20,
) -> None:
    """Tell what happened lately between the node and its hub.

    \b
    Example:
      fhir-server sync log --lines 50
    """
    from fhir_server.sync.node import journal

    for line in _asked(gathered, lambda side: journal.lines(side, lines)):
        facts = ", ".join(f"{name} {value}" for name, value in line.facts.items())
        typer.echo(f"{moment(line.at)}  {line.what}{': ' if facts else ''}{facts}")


@takes("database_url")
def parked(gathered: Gathered) -> None:
    """List the records that the hub keeps apart or does not take, with its reasons.

    Mending one is an ordinary update of the record here; it is sent again then.

    \b
    Example:
      fhir-server sync parked
    """
    from fhir_server.sync.node.standing import apart

    found = _asked(gathered, apart)
    for one in found:
        typer.echo(f"{one.key}  {one.state} since {moment(one.at)}")
        for english, vietnamese in one.reasons:
            typer.echo(f"    {vietnamese or english}")
    if found:
        sys.exit(Exit.FOUND)
    typer.echo("Nothing is kept apart.")


for command in (enrol, rotate, status, now, pause, resume, log, parked):
    app.command(command.__name__)(command)


def _beside(gathered: Gathered) -> Beside:
    """The tables, whether a server is running on them or not."""
    from fhir_server.store.upkeep.side import Beside

    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    return Beside(settings.database_url)


def _asked(gathered: Gathered, ask: Callable[[Beside], Coroutine[Any, Any, T]]) -> T:
    with reaching(gathered.settings):
        return asyncio.run(ask(_beside(gathered)))


async def _rotated(settings: Settings, file: Path) -> NodeKey:
    from fhir_server.sync.node import working
    from fhir_server.sync.node.line import Line

    line = Line(working.enrolled(working.Settings(settings.hub.rstrip("/"), file)))
    try:
        return await line.rotate(file)
    finally:
        await line.close()


async def _hurry(url: str) -> None:
    """Have the server that is running ask its hub at once, and tell how it goes."""
    from fhir_server.store.contract.side import STATE, StateRow
    from fhir_server.store.upkeep import wiping
    from fhir_server.store.upkeep.side import Beside
    from fhir_server.sync.node.life import NOW
    from fhir_server.sync.node.standing import standing

    side, asked = Beside(url), int(time.time() * 1000)
    side.put(STATE, StateRow(NOW, str(asked)))
    until, said = time.monotonic() + LONGEST, ""
    while time.monotonic() < until:
        await asyncio.sleep(1)
        wiping.demand_none(url)  # the server may have been told so
        found = await standing(side)
        if found is None:
            refuse(Exit.MISUSED, NO_NODE)
        if found.line.failing > asked or (found.line.failing and not found.waiting):
            refuse(Exit.FOUND, found.line.why)
        before, said = said, f"{found.waiting:,} wait ({size(found.bytes)}, {_span(found.left)})."
        if said != before:
            typer.echo(said)
        if not found.waiting and found.line.contact > asked:
            return
    refuse(Exit.FOUND, f"It is not done after {LONGEST} seconds; the server goes on.")


async def _meet(settings: Settings) -> tuple[int, int]:
    """Until neither side has anything to say; how many versions went and pages came."""
    from fhir_server.cli.running import opened
    from fhir_server.server import node_key_file
    from fhir_server.sync.node import working
    from fhir_server.sync.node.asking import Asking
    from fhir_server.sync.node.line import Line
    from fhir_server.sync.node.sending import LARGEST
    from fhir_server.sync.node.standing import line_state, standing

    of_node = working.Settings(settings.hub.rstrip("/"), node_key_file(settings))
    line = Line(working.enrolled(of_node))
    sent = came = 0
    try:
        async with opened(settings) as server:
            asking = Asking(server, line)
            state = await line_state(server.store.side)
            while await asking.notice():
                pass
            began = time.monotonic()
            while number := await asking.push(LARGEST // 4):
                sent += number
                state = state.sent(line.up, time.monotonic() - began, sent)
                await server.store.commit(state.unit)
                if (found := await standing(server.store.side)) is not None:
                    typer.echo(
                        f"Sent {sent:,} ({size(line.up)}), {found.waiting:,} wait"
                        f" ({size(found.bytes)}, {_span(found.left)})."
                    )
            while True:
                more = await asking.pull(0)
                came += 1
                typer.echo(f"Page {came:,}: {size(line.down)} came.")
                if not more:
                    break
            await server.store.commit(state.answered(line.up, line.down).unit)
    finally:
        await line.close()
    return sent, came


def _not_begun(settings: Settings) -> str:
    """What the next step is, of a node that has never met its hub."""
    from fhir_server.server import node_key_file
    from fhir_server.sync.node.key import BadKey, read

    try:
        found = read(node_key_file(settings))
    except BadKey:
        return NO_NODE
    return (
        f"This node is enrolled as `{found.client}` with `{found.hub}`, and has not spoken to it"
        " yet: run `fhir-server sync now`, or serve with FHIR_HUB set to that."
    )


# --- words ---------------------------------------------------------------------------------------


def _told(found: Standing) -> list[tuple[str, str]]:
    line = found.line
    told = [
        ("Waiting", f"{found.waiting:,} versions, about {size(found.bytes)}"),
        ("Urgent", f"{found.urgent:,} prescriptions and referrals among them"),
        ("Time left", _span(found.left)),
        ("Kept apart", f"{found.parked:,} parked, {found.refused:,} refused"),
        ("Line", f"fails since {moment(line.failing)}: {line.why}" if line.failing else "works"),
        ("Last contact", moment(line.contact)),
        ("Bytes", f"{size(line.up)} up, {size(line.down)} down"),
        ("Clock", f"the hub's is {found.offset / 1000:+.1f} s from this one"),
    ]
    if found.copy is not None:
        told.append(("Copy", _of_copy(found.copy)))
    if found.whole:
        told.append(("Fetching", "everything is being sent by the hub"))
    if found.paused:
        told.insert(0, ("Paused", "`fhir-server sync resume` has it go on"))
    return told


def _of_copy(copy: CopyState) -> str:
    there = f"{copy.versions:,} versions ({size(copy.octets)}) in {copy.folder}"
    large = f"; {copy.large:,} are too large for one" if copy.large else ""
    if copy.failing:
        return (
            f"fails since {moment(copy.failing)}: {copy.why} {copy.missing:,} versions are here"
            f" alone; {there}{large}"
        )
    return f"whole, {there}, as of {moment(copy.at)}{large}"


def moment(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at / 1000)) if at else "never"


def size(bytes: float) -> str:
    return f"{bytes / 1024:,.1f} KB" if bytes < 1024 * 1024 else f"{bytes / 1024 / 1024:,.1f} MB"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    for size, unit in TIMES:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} left"
    return "nothing left" if seconds == 0 else "a moment left"
