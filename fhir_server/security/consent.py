"""consent — whether a patient's Consents permit or deny what is asked.

https://hl7.org/fhir/R4/consent.html

R4 gives no algorithm; this is ours, on the side of the patient:

- Only an active Consent about privacy, or about research where research is asked for, counts.
- policyRule (OPTIN, OPTOUT) says what holds; the root provision narrows it, or is its exception
  where its own type is the opposite; nested provisions are exceptions, and the innermost decides.
- The elements of a provision hold together; of an element's repeats one is enough. What is absent
  does not limit.
- What is not understood, or not known of the record, is never met by a permit and always by a deny.
- Of several Consents, and of sibling provisions, the one that denies wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fhir_server.foundation.primitive import interval
from fhir_server.foundation.resource import Resource
from fhir_server.security.caller import Caller
from fhir_server.security.purpose import BREAK_GLASS, RESEARCH, is_a
from fhir_server.security.purpose import SYSTEM as PURPOSES

PERMIT, DENY, SILENT = "permit", "deny", "silent"

SCOPES = "http://terminology.hl7.org/CodeSystem/consentscope"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACTIONS = "http://terminology.hl7.org/CodeSystem/consentaction"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"

POLICY_RULES = {"OPTIN": PERMIT, "OPTINR": PERMIT, "OPTOUT": DENY, "OPTOUTE": DENY}
OPPOSITE = {PERMIT: DENY, DENY: PERMIT}
RECEIVERS = frozenset({"PRCP", "IRCP", "SRCP"})  # who gets to know
SHOWING = frozenset({"access", "use", "disclose"})
LEVELS = {code: level for level, code in enumerate("ULMNRV")}  # of confidentiality
ACTORS = ("Organization", "Practitioner", "Patient", "RelatedPerson")
CONDITIONS = ("actor", "action", "class", "data", "period", "purpose", "securityLabel")
WITH_ALL = frozenset({"related", "dependents"})  # of a patient: all there is about them
UNDERSTOOD = frozenset({"id", "extension", "type", "provision", *CONDITIONS})
MAX_DEPTH = 10

Labels = frozenset[tuple[str, str]]  # (system, code) of meta.security


def judged(
    consents: Iterable[Resource],
    caller: Caller,
    purpose: str,
    type: str,
    labels: Labels | None,
    when: int,
) -> str:
    """`permit`, `deny` or `silent`: what one patient's Consents say to this caller.

    type: of the record. labels: what it is labelled with; None: it is not known.
    when: milliseconds since 1970 UTC.
    """
    asked = _Asked(caller, purpose, type, labels, when)
    found = {asked.verdict(consent) for consent in consents}
    return DENY if DENY in found else PERMIT if PERMIT in found else SILENT


def patient_of(consent: Resource) -> str:
    """The id of the Patient, if it is told by a reference to this server."""
    told = _parts(_dict(consent.get("patient")).get("reference"))
    return told[1] if told is not None and told[0] == "Patient" else ""


def types_told(consents: Iterable[Resource]) -> frozenset[str]:
    """The types that the Consents tell apart: all others are judged alike."""
    provisions = [
        provision
        for consent in consents
        for provision in _provisions(_dict(consent.get("provision")), 0)
    ]
    codes = {_text(coding, "code") for each in provisions for coding in _list(each.get("class"))}
    named = (_named(data) for each in provisions for data in _list(each.get("data")))
    return frozenset(codes | {told[0] for told in named if told is not None}) - {""}


def moments(consents: Iterable[Resource]) -> frozenset[int]:
    """When a period of theirs begins or ends, in milliseconds since 1970 UTC: only then can what
    they say change by itself."""
    periods = [
        _dict(provision.get("period"))
        for consent in consents
        for provision in _provisions(_dict(consent.get("provision")), 0)
    ]
    told = [(period.get("start"), 0) for period in periods]
    told += [(period.get("end"), 1) for period in periods]
    found = set()
    for date, side in told:
        try:
            found.add(interval(date)[side])
        except (ValueError, TypeError):  # what is not understood never comes
            continue
    return frozenset(found)


class _Asked:
    """What is asked of each provision."""

    def __init__(
        self, caller: Caller, purpose: str, type: str, labels: Labels | None, when: int
    ) -> None:
        self.caller, self.purpose, self.type = caller, purpose, type
        self.labels, self.when = labels, when
        self.patient = ""  # whose Consent is looked at

    def verdict(self, consent: Resource) -> str:
        self.patient = patient_of(consent)
        if consent.get("status") != "active" or not self.patient:
            return SILENT
        of = self._scope(consent)
        found = SILENT if of is None else self._of_provisions(consent)
        return SILENT if found == PERMIT and not of else found

    def _scope(self, consent: Resource) -> bool | None:
        """Whether a permit of it may be taken at its word; None: it is about something else."""
        codes = {
            _text(coding, "code")
            for coding in _list(_dict(consent.get("scope")).get("coding"))
            if _text(coding, "system") == SCOPES
        }
        if "patient-privacy" in codes:
            known = True
        elif "research" in codes:
            if not is_a(self.purpose, RESEARCH):
                return None
            known = True
        elif codes & {"treatment", "adr"}:
            return None
        else:
            known = False
        return known and "modifierExtension" not in consent

    def _of_provisions(self, consent: Resource) -> str:
        stands = _policy_rule(consent)
        root = _dict(consent.get("provision"))
        if not root:
            return stands or SILENT
        kind: str | None = _text(root, "type") or stands
        if kind not in OPPOSITE:
            kind = None
        found = self._walk(root, kind, 0)
        if found is not None:
            return found
        # A root of the other kind was an exception: what it is an exception of, holds.
        return stands if stands is not None and kind != stands else SILENT

    def _walk(self, provision: Resource, kind: str | None, depth: int) -> str | None:
        """What the provision says to this caller; None: it is not about this."""
        if depth > MAX_DEPTH:
            return DENY
        met = self._is_met(provision, kind)
        if met is False:
            return None
        found = set()
        for nested in _list(provision.get("provision")):
            told = _text(nested, "type")
            sense = told if told in OPPOSITE else OPPOSITE.get(kind or "")
            found.add(self._walk(nested, sense, depth + 1))
        if DENY in found:
            return DENY
        if met is None and kind != DENY:  # a permit in doubt, and the exceptions to it that permit
            return None
        return PERMIT if PERMIT in found else kind

    def _is_met(self, provision: Resource, kind: str | None) -> bool | None:
        """Whether every element holds; None: as far as it is understood."""
        holds: dict[str, Callable[[Resource, str | None], bool | None]] = {
            "actor": self._is_actor,
            "action": _is_shown,
            "purpose": self._is_purpose,
            "class": self._is_class,
            "data": self._is_data,
        }
        found = [
            _any(holding(each, kind) for each in _list(provision[name]))
            for name, holding in holds.items()
            if name in provision
        ]
        if "period" in provision:
            found.append(_during(_dict(provision["period"]), self.when))
        if "securityLabel" in provision:
            found.append(self._is_labelled(_list(provision["securityLabel"]), kind))
        found += [None] * (not UNDERSTOOD.issuperset(provision))
        return False if False in found else None if None in found else True

    def _is_actor(self, actor: Resource, kind: str | None) -> bool | None:
        role = {_text(coding, "code") for coding in _list(_dict(actor.get("role")).get("coding"))}
        named = _parts(_dict(actor.get("reference")).get("reference"))
        if named is None or named[0] not in ACTORS:
            return None
        facility = self.caller.facility
        mine = {self.caller.user, f"Organization/{facility}" if facility else ""}
        if "/".join(named) not in mine:
            return False
        return True if kind == DENY or role & RECEIVERS else None

    def _is_purpose(self, coding: Resource, kind: str | None) -> bool | None:
        code = _text(coding, "code")
        if _text(coding, "system") != PURPOSES or not code:
            return None
        if kind != DENY and self.purpose == BREAK_GLASS:
            return code == BREAK_GLASS  # a permit to treat is none to break a glass
        return is_a(self.purpose, code)

    def _is_class(self, coding: Resource, _: str | None) -> bool | None:
        return (
            _text(coding, "code") == self.type
            if _text(coding, "system") == RESOURCE_TYPES
            else None
        )

    def _is_data(self, data: Resource, _: str | None) -> bool | None:
        """One record: those of other types are not meant, and of its own none is known before it
        is found. The patient with all that is about them is everything a Consent is about."""
        told, meaning = _named(data), _text(data, "meaning")
        if told is None:
            return None
        if meaning == "instance":
            return None if told[0] == self.type else False
        return True if told == ("Patient", self.patient) and meaning in WITH_ALL else None

    def _is_labelled(self, told: list[Resource], kind: str | None) -> bool | None:
        """R4: a record must have all of them; of confidentiality the one told, or a lower."""
        labels = self.labels
        if labels is None or not told:
            return None
        found = [_has_label(labels, coding, kind) for coding in told]
        return False if False in found else None if None in found else True


def _policy_rule(consent: Resource) -> str | None:
    """What policyRule says of itself; None where it only names a policy."""
    codings = _list(_dict(consent.get("policyRule")).get("coding"))
    found = {
        POLICY_RULES.get(_text(coding, "code"))
        for coding in codings
        if _text(coding, "system") == ACT_CODE
    } - {None}
    return DENY if DENY in found else PERMIT if found else None


def _has_label(labels: Labels, coding: Resource, kind: str | None) -> bool | None:
    system, code = _text(coding, "system"), _text(coding, "code")
    if system != CONFIDENTIALITY:
        return (system, code) in labels
    mine = [each for at, each in labels if at == CONFIDENTIALITY] or ["N"]
    if code not in LEVELS or not set(mine) <= LEVELS.keys():
        return None
    if kind == DENY:  # who forbids the restricted forbids the very restricted too
        return True
    return max(LEVELS[each] for each in mine) <= LEVELS[code]


def _is_shown(action: Resource, kind: str | None) -> bool | None:
    codes = {
        _text(coding, "code")
        for coding in _list(action.get("coding"))
        if _text(coding, "system") == ACTIONS
    }
    if not codes:
        return None
    return bool(codes & SHOWING) if kind == DENY else "access" in codes


def _during(period: Resource, when: int) -> bool | None:
    begin, end = period.get("start"), period.get("end")
    try:
        began = begin is None or interval(begin)[0] <= when
        lasts = end is None or when < interval(end)[1]
    except (ValueError, TypeError):
        return None
    return began and lasts


def _any(found: Iterable[bool | None]) -> bool | None:
    """One is enough; where none is told, or one is in doubt, so is all."""
    told = list(found)
    return True if True in told else None if None in told or not told else False


def _provisions(provision: Resource, depth: int) -> Iterator[Resource]:
    yield provision
    if depth < MAX_DEPTH:
        for nested in _list(provision.get("provision")):
            yield from _provisions(nested, depth + 1)


def _named(data: Resource) -> tuple[str, str] | None:
    return _parts(_dict(data.get("reference")).get("reference"))


def _parts(reference: Any) -> tuple[str, str] | None:
    """`Type/id` of a reference to this server; a version of it is the same one."""
    if not isinstance(reference, str):
        return None
    parts = reference.split("/")
    if len(parts) == 4 and parts[2] == "_history":
        parts = parts[:2]
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None


def _text(element: Resource, name: str) -> str:
    value = element.get(name)
    return value if isinstance(value, str) else ""


def _dict(value: Any) -> Resource:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Resource]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
