"""patch — some changes to a resource, by JSON Patch or FHIRPath Patch, then an update.

https://hl7.org/fhir/R4/http.html#patch
https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.foundation.outcome import Gone, Issue, MethodNotAllowed, NotFound, Unprocessable
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import aiming, fhirpath_patch, json_patch, update, writing
from fhir_server.interaction.context import Answer, Circumstances, Pairs, Server
from fhir_server.interaction.update import Target
from fhir_server.interaction.writing import Proposal, settled
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import Stored

UNPATCHED = frozenset({"Binary"})  # R4 binary.html: patch is not defined for it


@dataclass(frozen=True, slots=True)
class Ask:
    """document: a list of operations (kind json-patch) or a Parameters (kind fhirpath)."""

    type: str
    id: str | None
    document: Any
    kind: str
    if_match: str | None = None
    condition: Pairs | None = None


async def patch(server: Server, ask: Ask, circumstances: Circumstances) -> Answer:
    """Raises NotFound, Gone, Invalid, Unprocessable, PreconditionFailed, MultipleMatches."""
    warnings: list[Issue] = []

    async def propose() -> Proposal:
        target = await aim(server, circumstances, ask)
        assert target.stored is not None, "aim refuses what is not there"
        writing.demand_version(ask.if_match, target.stored, target.key)
        changed, warnings[:] = await patched(
            server, target.stored, ask.document, ask.kind, circumstances
        )
        return update.proposed(server, circumstances, changed, target, "PATCH")

    answer = await settled(server, circumstances, propose)
    return writing.with_warnings(answer, tuple(warnings))


async def aim(server: Server, circumstances: Circumstances, ask: Ask) -> Target:
    """R4 http#patch: no match is 404 here, not a create."""
    if ask.condition is None:
        assert ask.id is not None, "a patch has an id or a condition"
        key = Key(ask.type, ask.id)
        target = Target(key, await aiming.newest(server, circumstances, key, "patch"))
    else:
        found, assumed = await aiming.the_match(
            server, circumstances, ask.type, ask.condition, "patch"
        )
        if found is None:
            raise NotFound(f"No {ask.type} matches `{aiming.told(ask.condition)}`.")
        target = Target(found.key, found, (assumed,))
    if target.stored is None:
        raise NotFound(f"`{target.key}` is not here, so it cannot be patched.")
    if target.stored.deleted:
        raise Gone(f"`{target.key}` was deleted, so it cannot be patched.")
    return target


async def patched(
    server: Server, stored: Stored, document: Any, kind: str, circumstances: Circumstances
) -> writing.Checked:
    """The resource after the patch, checked as any update is."""
    before = resource_of(stored)
    if stored.key.type in UNPATCHED:
        raise MethodNotAllowed(
            f"A {stored.key.type} cannot be patched: its content is one piece. PUT it whole."
        )
    if kind == "json-patch":
        after = json_patch.apply(before, document)
    else:
        after = fhirpath_patch.apply(server.definitions, before, document)
    for name in ("resourceType", "id"):
        if after.get(name) != before[name]:
            raise Unprocessable(
                f"A patch may not change `{name}`.", expression=f"{stored.key.type}.{name}"
            )
    safe = with_safe_narrative(before, after)
    return await writing.checked(server, safe, stored.key.type, circumstances)


def with_safe_narrative(before: Resource, after: Resource) -> Resource:
    """R4 http#patch: "The server SHALL ensure that the narrative is not clinically unsafe".

    A narrative made from data that has changed since is left out; one that says more than the
    data must be patched along with it, because nobody else can say what it should say now.
    """
    text = after.get("text")
    if text is None or text != before.get("text") or after == before:
        return after
    if text.get("status") == "additional":
        raise Unprocessable(
            "The narrative says more than the data (`additional`), so it may no longer be true. "
            "Patch `text` along with the data, or remove it.",
            expression=f"{after['resourceType']}.text",
        )
    return {name: value for name, value in after.items() if name != "text"}
