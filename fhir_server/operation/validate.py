"""validate — whether a resource would be taken as it is, without storing it.

https://hl7.org/fhir/R4/resource-operation-validate.html
https://hl7.org/fhir/R4/valueset-resource-validation-mode.html

It answers 200 whatever it finds: the outcome tells. Only where nothing could be judged, because the
profile is not known or the question has no meaning, is it refused.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fhir_server.foundation import position
from fhir_server.foundation.outcome import (
    FhirError,
    Forbidden,
    Invalid,
    Issue,
    Unprocessable,
    operation_outcome,
)
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import aiming, read
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.interaction.judging import LONG_WORK, judged
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.parameters import answer
from fhir_server.store.codec import resource_of
from fhir_server.validation.messages import issue

MODES = ("create", "update", "delete", "profile")
OF_AN_INSTANCE = ("update", "delete", "profile")  # R4: "at the resource instance level"
OWN = "http://hl7.org/fhir/StructureDefinition/"
UNUSABLE = "profile-unusable"
ABSTRACT = ("Resource", "DomainResource")  # every resource, and all but a few, are such
VERSIONS = ("", "4.0", "4.0.1")


async def validate(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Invalid for a question without meaning, Unprocessable for an unknown profile."""
    mode = asked_mode(call)
    profile = call.text_of("profile")
    demand_profile(server, mode, profile)
    if mode == "delete":
        issues = await of_delete(server, call, circumstances)
    else:
        issues = await of_content(server, call, circumstances, mode, profile)
    return answer(operation_outcome(issues or [issue("all-ok")], circumstances.language))


def asked_mode(call: Call) -> str | None:
    mode = call.text_of("mode")
    if mode is None:
        return None
    if mode not in MODES:
        known = ", ".join(f"`{one}`" for one in MODES)
        raise Invalid(f"`mode` is `{mode[:40]}`; it is one of {known}.", expression="http.mode")
    if mode in OF_AN_INSTANCE and call.level != "instance":
        raise Invalid(
            f"`mode={mode}` speaks of one resource: ask at `[type]/[id]/$validate`.",
            expression="http.mode",
        )
    return mode


def demand_profile(server: Server, mode: str | None, profile: str | None) -> None:
    """R4: "If a profile is nominated, and the server cannot validate against the nominated
    profile, it SHALL return an error"."""
    if profile is None:
        if mode == "profile":
            raise Invalid(
                "`mode=profile` needs the parameter `profile`.", expression="http.profile"
            )
        return
    canonicals = server.knowledge.current.canonicals
    if type_of(server, profile) is None and not canonicals.entry(profile, "StructureDefinition"):
        raise Unprocessable(
            f"The profile `{profile[:300]}` is not known here. Load its package, or store it as a"
            " StructureDefinition; R4's own are"
            " `http://hl7.org/fhir/StructureDefinition/[type]`.",
            expression="http.profile",
        )


def type_of(server: Server, profile: str) -> str | None:
    """The type a profile is the definition of, where it is one of R4's own types of resource."""
    url, _, version = profile.partition("|")
    name = url.removeprefix(OWN) if url.startswith(OWN) else ""
    is_type = name in server.definitions.resource_types or name in ABSTRACT
    return name if is_type and version in VERSIONS else None


async def of_delete(server: Server, call: Call, circumstances: Circumstances) -> list[Issue]:
    """This server deletes whatever is there, as long as the caller may: R4 http#delete."""
    key = Key(call.type or "", call.id or "")
    try:
        await read.read(server, read.Ask(key), circumstances)
    except FhirError as refusal:
        if refusal.status == 410:
            return [issue("delete-gone", named=str(key))]
        return refusal.issues
    return [issue("delete-ok", named=str(key))]


async def of_content(
    server: Server, call: Call, circumstances: Circumstances, mode: str | None, profile: str | None
) -> list[Issue]:
    """What is sent, or what is stored under the id where nothing is sent."""
    if call.unreadable is not None:
        return [replace(one, severity="fatal") for one in call.unreadable.issues]
    given = call.one("resource")
    if given is not None and given.resource is None:
        raise Invalid("`resource` must be a resource, in a Parameters.", expression="http.resource")
    sent = call.body if given is None else given.resource
    if sent is not None and mode == "profile":
        raise Invalid(
            "`mode=profile` judges what is stored under the id; leave `resource` out, or the mode.",
            expression="http.mode",
        )
    if sent is None:
        sent = await stored(server, call, circumstances)
    issues = await found_in(server, call, sent, profile)
    issues += of_id(call, sent, mode)
    return await placed(call, given, issues)


async def found_in(server: Server, call: Call, sent: Resource, profile: str | None) -> list[Issue]:
    """Its type, R4, and the profiles: the one asked for beside those it claims."""
    own = type_of(server, profile) if profile else None
    profiles = [profile] if profile and own is None else []

    found = await judged(
        server, sent, call.text, expected_type=call.type, profiles=profiles, thorough=True
    )
    unusable = [each for each in found if each.rule == UNUSABLE and each.profile in profiles]
    if unusable:
        raise Unprocessable("The profile cannot be used.", issues=unusable)
    type = sent.get("resourceType")
    if own and own not in ABSTRACT and own != type:
        said = {"found": type, "wanted": own, "url": profile}
        found.append(issue("profile-of-type", str(type), profile=profile, **said))
    return found


async def stored(server: Server, call: Call, circumstances: Circumstances) -> Resource:
    if call.level != "instance":
        raise Invalid(
            "There is nothing to validate: POST a resource, or a Parameters with one in"
            " `resource`.",
            expression="http.resource",
        )
    key = Key(call.type or "", call.id or "")
    await read.read(server, read.Ask(key), circumstances)  # refuses what is not there
    if not circumstances.access.sees_whole:
        raise Forbidden("What is stored is not validated for who may not see all of it.")
    found = await aiming.newest(server, circumstances, key, "read")
    if found is None or found.deleted:
        raise Invalid(f"`{key}` was deleted meanwhile.")
    return resource_of(found)


def of_id(call: Call, sent: Resource, mode: str | None) -> list[Issue]:
    """At an instance the id must be its own: R4 http#update."""
    id = sent.get("id")
    if call.level != "instance" or id == call.id or (id is None and mode != "update"):
        return []
    key = "id-other" if id is not None else "id-missing"
    return [issue(key, f"{call.type}.id", found=id, wanted=call.id)]


async def placed(call: Call, given: Given | None, issues: list[Issue]) -> list[Issue]:
    """The issues with the line of each in the text that was sent."""
    if call.text is None or not issues:
        return issues
    place = f"{given.place}.resource" if given and given.place else None
    if len(call.text[0]) < LONG_WORK:
        return position.located(issues, *call.text, place)
    return await asyncio.to_thread(position.located, issues, *call.text, place)


OPERATIONS = (
    Operation(
        name="validate",
        definition="http://hl7.org/fhir/OperationDefinition/Resource-validate",
        levels=frozenset({"type", "instance"}),
        types=None,
        parameters=frozenset({"resource", "mode", "profile"}),
        perform=validate,
        judges=True,
    ),
)
