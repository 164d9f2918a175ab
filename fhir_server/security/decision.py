"""decision — from who asks to what is reached: the one place that knows roles, scopes and consent.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control

`decide` makes an Access of a policy and a Caller. Everything else asks the Access: `reach` is part
of each query, `demand` refuses what no record could change, `basis` is recorded with what is told.

    what is reached = (any rule of the caller's roles that serves its purpose)
                      and (any of its scopes)
                      but nothing of patients whose Consent denies
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from fhir_server.foundation.outcome import Forbidden
from fhir_server.foundation.resource import Resource
from fhir_server.security.agreeing import Agreement
from fhir_server.security.caller import Caller
from fhir_server.security.deidentify import Means, counted, deidentified
from fhir_server.security.ground import Asked, Limit, Permit, permits, united
from fhir_server.security.policy import CONSENT, SMALLEST, TOLD, Policy, Purpose, Role, Rule
from fhir_server.security.purpose import BREAK_GLASS
from fhir_server.security.scope import Scope
from fhir_server.store.contract.index import Condition
from fhir_server.store.contract.reach import EVERYTHING, NOTHING, Restriction

# The letters of `cruds` an interaction needs; both names R4 has for one are known.
# https://hl7.org/fhir/R4/valueset-type-restful-interaction.html
NEEDS = {
    "create": "c",
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "search": "s",
    "search-type": "s",
    "search-system": "s",
    "history-type": "s",
    "history-system": "s",
    "history": "rs",  # which one is not told: what is reached by each of them
    "operation": "rs",
}
# By these alone a record is shown as somebody may see it who is not to know whose it is.
SEARCHES = frozenset({"search", "search-type", "search-system"})
DEIDENTIFIED = SEARCHES | {"read"}

SECOND = 1000  # milliseconds: in whose care somebody is goes by it

# The search of a granular scope as a condition of the store; None: it is not understood.
Meaning = Callable[[str, tuple[tuple[str, str], ...]], Condition | None]


def _meaningless(_type: str, _parameters: tuple[tuple[str, str], ...]) -> None:
    """What nobody explains is not understood, and grants nothing."""


@dataclass(frozen=True, slots=True)
class Basis:
    """By what right something was told: what the audit records."""

    purpose: str  # a code of v3-PurposeOfUse
    rules: tuple[str, ...] = ()  # names of the policy's rules
    law: str = ""
    told: str = ""  # what the caller names: `Consent/123`, a decision's number
    reason: str = ""  # of a broken glass


@dataclass(frozen=True, slots=True)
class Access:
    """What one caller may, for one purpose."""

    caller: Caller
    purpose: str = ""
    law: str = ""
    can: frozenset[str] = frozenset()  # what is no resource: abilities of the policy
    deidentify: tuple[str, ...] = ()  # transformations every record goes through before it is shown
    flagged: bool = False  # a glass was broken: somebody looks at it afterwards
    moment: int = 0  # milliseconds since 1970 UTC
    asked: Asked | None = None  # None: everything
    searchable: frozenset[str] | None = None  # None: by every parameter
    smallest: int = SMALLEST  # number of people that is told

    @classmethod
    def open(cls, caller: Caller) -> Access:
        """Everything, for the command line and a laptop's own server."""
        if not caller.everything:
            raise Forbidden("Only the machine's own command line reaches everything.")
        return cls(caller)

    def reach(self, interaction: str) -> Restriction:
        """What the interaction may touch; part of each of its queries."""
        if self.asked is None:
            return EVERYTHING
        if self._is_hidden(interaction):
            return NOTHING
        moment = self.moment // SECOND * SECOND
        return _reached(self.asked, frozenset(NEEDS[interaction]), moment)

    def may(self, interaction: str, type: str) -> bool:
        """Whether any record of the type could be reached, whatever records there are."""
        return self.asked is None or any(
            permit.is_of(type) for permit in self._permits(interaction)
        )

    def demand(self, interaction: str, type: str) -> None:
        """Refused (403) where no record could change it; so it tells nothing of records."""
        if not self.may(interaction, type):
            letters = NEEDS[interaction]
            raise Forbidden(
                f"This token does not reach `{type}` by {interaction}: it needs the scope "
                f"`{type}.{letters}` and a role that may do so for the purpose `{self.purpose}`.",
                vietnamese=f"Mã truy cập này không tới được `{type}` bằng {interaction}: cần scope "
                f"`{type}.{letters}` và một vai trò được làm việc đó cho mục đích "
                f"`{self.purpose}`.",
            )

    def able(self, ability: str) -> bool:
        """Whether the caller may see or do what is no resource: `metrics`, `reindex`."""
        return self.asked is None or ability in self.can

    @property
    def sees_whole(self) -> bool:
        """Whether all of a record within reach may be seen."""
        return not self.deidentify

    @property
    def sees_records(self) -> bool:
        """Whether records are seen at all, and not only how many there are."""
        return "records" not in self.deidentify

    @property
    def has_pseudonyms(self) -> bool:
        """Whether records are told, and asked for, by other ids than their own."""
        return "ids" in self.deidentify

    def shown(self, means: Means, resource: Resource) -> Resource:
        """The resource as the caller may see it; itself where all of it may be seen."""
        return deidentified(means, resource, self.deidentify)

    def counted(self, number: int) -> int | None:
        """How many there are, as far as the caller may know; None: that is not told."""
        return counted(number, self.deidentify, self.smallest)

    def may_ask(self, parameter: str) -> bool:
        """Whether records may be searched, sorted or counted by the parameter."""
        return self.searchable is None or parameter in self.searchable

    def basis(self, interaction: str, type: str) -> Basis:
        """By what right records of the type are told."""
        caller = self.caller
        if self.asked is None:
            return Basis(self.purpose, told=caller.basis, reason=caller.reason)
        rules = dict.fromkeys(
            permit.rule for permit in self._permits(interaction) if permit.is_of(type)
        )
        return Basis(self.purpose, tuple(rules), self.law, caller.basis, caller.reason)

    def _is_hidden(self, interaction: str) -> bool:
        """Whether it would show what a de-identified caller is not shown."""
        shown = DEIDENTIFIED if self.sees_records else SEARCHES
        return bool(self.deidentify) and interaction not in shown

    def _permits(self, interaction: str) -> tuple[Permit, ...]:
        letters = frozenset(NEEDS[interaction])
        if self.asked is None or self._is_hidden(interaction):
            return ()
        return permits(self.asked, letters)


@lru_cache(maxsize=1024)
def _reached(asked: Asked, letters: frozenset[str], moment: int) -> Restriction:
    """By whoever needs all these letters; the same object all second long, so that its text is
    written once (store/condition/context.py)."""
    grounds = united(permits(asked, letters))
    return Restriction(
        tuple(
            ground
            if ground.in_care_of is None
            else replace(ground, in_care_of=(ground.in_care_of[0], moment))
            for ground in grounds
        )
    )


def decide(
    policy: Policy,
    caller: Caller,
    agreement: Agreement,
    *,
    meaning: Meaning = _meaningless,
    moment: int | None = None,
) -> Access:
    """What the caller may. Raises Forbidden where it has no role, purpose or basis for anything.

    agreement: what Consents say to it (see agreeing); SILENCE: that there are none.
    """
    if caller.everything:
        return Access.open(caller)
    roles = _roles(policy, caller)
    code = _purpose(caller, roles)
    purpose = policy.purposes[code]
    _basis(policy, caller, purpose)
    serving = [role for role in roles if code in role.purposes]
    rules = _rules(policy, tuple(serving), code)
    deidentify = tuple(dict.fromkeys(each for role in serving for each in role.deidentify))
    searchable = policy.searchable if deidentify else None
    limits = None if caller.scopes is None else tuple(_limits(caller, meaning, searchable))
    needs = purpose.basis == CONSENT
    return Access(
        caller=caller,
        purpose=code,
        law=purpose.law,
        can=frozenset().union(*(role.can for role in serving)),
        deidentify=deidentify,
        flagged=code == BREAK_GLASS,
        moment=time.time_ns() // 1_000_000 if moment is None else moment,
        asked=Asked(policy, rules, caller.facility, caller.patient, limits, agreement, needs),
        searchable=searchable,
        smallest=policy.smallest,
    )


@lru_cache(maxsize=256)
def _rules(policy: Policy, serving: tuple[Role, ...], code: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in policy.rules if any(rule.serves(role, code) for role in serving))


def weighed_for(policy: Policy, caller: Caller) -> str:
    """The purpose for which Consents could change the decision; empty: they could not.

    Raises Forbidden, as `decide` does."""
    if caller.everything:
        return ""
    code = _purpose(caller, _roles(policy, caller))
    weighed = (
        code in policy.honoured
        or policy.purposes[code].basis == CONSENT
        or any(CONSENT in rule.reach for rule in policy.rules if rule.roles & caller.roles)
    )
    return code if weighed else ""


def _roles(policy: Policy, caller: Caller) -> list[Role]:
    return [policy.roles[name] for name in sorted(caller.roles) if name in policy.roles]


def _purpose(caller: Caller, roles: Sequence[Role]) -> str:
    """The purpose that is told, or the one all roles take where none is."""
    if not roles:
        raise Forbidden(
            f"The client `{caller.client}` has no role of this server's policy.",
            vietnamese=f"Phần mềm `{caller.client}` chưa có vai trò nào trong chính sách của máy"
            " chủ này.",
        )
    if caller.purpose:
        if not any(caller.purpose in role.purposes for role in roles):
            known = dict.fromkeys(code for role in roles for code in role.purposes)
            codes = ", ".join(f"`{code}`" for code in known)
            raise Forbidden(
                f"`{caller.purpose}` is no purpose of your role; there are {codes}.",
                vietnamese=f"Vai trò của bạn không có mục đích `{caller.purpose}`; có: {codes}.",
            )
        return caller.purpose
    first = {role.purposes[0] for role in roles}
    if len(first) > 1:
        codes = ", ".join(f"`{code}`" for code in sorted(first))
        raise Forbidden(
            f"Your roles serve several purposes; ask for a token with one of {codes}.",
            vietnamese=f"Vai trò của bạn có nhiều mục đích; hãy xin mã truy cập cho một: {codes}.",
        )
    return first.pop()


def _basis(policy: Policy, caller: Caller, purpose: Purpose) -> None:
    """Refused without the basis its purpose needs."""
    if purpose.basis == TOLD and not caller.basis.strip():
        raise Forbidden(
            f"The purpose `{purpose.code}` needs a basis; ask for a token that names it, as `basis`"
            " of `fhir_context`: the decision or the request by which you may see this.",
            vietnamese=f"Mục đích `{purpose.code}` cần căn cứ: hãy xin mã truy cập có ghi căn cứ"
            " (`basis` trong `fhir_context`), là quyết định hoặc văn bản cho phép bạn xem.",
        )
    if purpose.code == BREAK_GLASS:
        least = policy.break_glass.reason
        if len(caller.reason.strip()) < least:
            raise Forbidden(
                f"Breaking the glass needs a reason of at least {least} signs.",
                vietnamese=f"Mở hồ sơ khẩn cấp cần nêu lý do, ít nhất {least} ký tự.",
            )
        if not caller.patient:
            raise Forbidden(
                "Breaking the glass opens one record; name the patient it is for.",
                vietnamese="Mở khẩn cấp chỉ mở một hồ sơ; hãy nêu người bệnh nào.",
            )


def _limits(caller: Caller, meaning: Meaning, searchable: frozenset[str] | None) -> Iterable[Limit]:
    """The scopes that count for this caller, with what their parameters mean. Who may not search by
    a name may not have a token of one either: what it reaches would tell."""
    for scope in caller.scopes or ():
        if not _counts(scope, caller):
            continue
        if not scope.parameters:
            yield Limit(scope.context, scope.type, scope.letters)
            continue
        if searchable is not None and not searchable.issuperset(dict(scope.parameters)):
            continue
        where = meaning(scope.type, scope.parameters)
        if where is not None:  # what is not understood narrows nothing, so it grants nothing
            yield Limit(scope.context, scope.type, scope.letters, where)


def _counts(scope: Scope, caller: Caller) -> bool:
    """`user/` is for who acts for a person, `system/` for who acts for none."""
    has = {"patient": bool(caller.patient), "user": bool(caller.user), "system": not caller.user}
    return has[scope.context]
