"""fitness — whether a version that a node sends can be stored, and what is said where it cannot.

https://hl7.org/fhir/R4/operationoutcome.html

What the node may not write is refused, and not kept. What is not valid, or refers to what is not
here, is kept apart until it is mended or that comes.
"""

from __future__ import annotations

from typing import NamedTuple

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key
from fhir_server.sync.hub.looking import PATIENT, Looked
from fhir_server.sync.hub.quarantine import MOST_WAITS, parents_of
from fhir_server.sync.hub.tree import MOST_HEADS
from fhir_server.sync.words import Outcome, Pushed

INTERACTIONS = {"create": "tạo", "update": "sửa", "delete": "xóa"}
# Types whose versions are the server's own, whoever may write the others.
OWN = frozenset({"AuditEvent"})


class Verdict(NamedTuple):
    """outcome: PARKED or REFUSED; None: it can be stored. issues: why, or what is to be said all
    the same. waits: what is to be stored before it."""

    outcome: Outcome | None = None
    issues: tuple[Issue, ...] = ()
    waits: tuple[Key, ...] = ()


def verdict(looked: Looked, one: Pushed) -> Verdict:
    """Of a version that is not here yet; those before it in its group are judged, and added."""
    for look in (_target, _ancestry, _validity, _references, _reach, _heads):
        found = look(looked, one)
        if found is not None:
            return found
    return Verdict(None, looked.issues.get((one.key, one.rev), ()))


def interaction_of(looked: Looked, one: Pushed) -> str:
    if one.body is None:
        return "delete"
    return "update" if one.key in looked.newest else "create"


def _target(looked: Looked, one: Pushed) -> Verdict | None:
    if one.key.type not in looked.types or one.key.type in OWN:
        return _refused(
            "not-supported",
            f"`{one.key.type}` is no type that is sent.",
            f"`{one.key.type}` không phải là loại được gửi.",
        )
    if one.body is None and not one.parents:
        return _refused(
            "invalid",
            f"`{one.key}` is deleted by a version without parents. Name the version it deletes.",
            f"`{one.key}` bị xóa mà không nêu bản nào bị xóa.",
        )
    interaction = interaction_of(looked, one)
    if (interaction, one.key.type) not in looked.allowed:
        return _forbidden(one, interaction)
    if one.key in looked.newest and one.key not in looked.may[interaction]:
        return None if _might(looked, one, interaction) else _forbidden(one, interaction)
    return None


def _might(looked: Looked, one: Pushed, interaction: str) -> bool:
    """Whether the node may write the record as it was when it made this of it."""
    tree, might = looked.trees[one.key], looked.might[interaction] | looked.within
    return any((one.key, parent) in might and tree.knows(parent) for parent in one.parents)


def _ancestry(looked: Looked, one: Pushed) -> Verdict | None:
    """Its parents are stored, or known from what was kept apart or refused; or, by a hub that came
    back from a backup, were known once: then nobody may have their content any more."""
    tree = looked.trees[one.key]
    if looked.restored:
        for stub in one.stubs:
            tree.add_stub(stub.rev, stub.parents)
    for parent in one.parents:
        if not _learned(looked, one.key, parent):
            return _parked(
                "not-found",
                f"It was made from the version `{parent}` of `{one.key}`, which is not here."
                " It is taken when that has come.",
                f"Bản này được sửa từ bản `{parent}` của `{one.key}`, chưa có ở đây; sẽ được nhận"
                " khi bản đó đến.",
                (one.key,),
            )
    if one.body is None and not tree.stands:
        return _parked(
            "not-found",
            f"`{one.key}` is deleted, and is not here yet.",
            f"`{one.key}` bị xóa mà chưa có ở đây.",
            (one.key,),
        )
    return None


def _learned(looked: Looked, key: Key, rev: str) -> bool:
    """Whether a version is known now; one that was kept apart or refused becomes a stub."""
    tree = looked.trees[key]
    if tree.has_heard_of(rev):
        return True
    if _parents_apart(looked, key, rev) is None:
        return False
    ahead = [rev]
    while ahead:
        each = ahead.pop()
        told = _parents_apart(looked, key, each)
        if told is not None and not tree.has_heard_of(each):
            tree.add_stub(each, told)
            ahead.extend(told)
    return True


def _parents_apart(looked: Looked, key: Key, rev: str) -> tuple[str, ...] | None:
    row = looked.held.get((key, rev))
    return looked.refused.get((key, rev)) if row is None else parents_of(row)


def _validity(looked: Looked, one: Pushed) -> Verdict | None:
    issues = looked.issues.get((one.key, one.rev), ())
    if any(issue.severity in ("error", "fatal") for issue in issues):
        return Verdict(Outcome.PARKED, issues)
    return None


def _references(looked: Looked, one: Pushed) -> Verdict | None:
    """What it refers to is here, if it is a Patient, or if a node has sent it and it was not
    stored. A reference to what nobody has sent keeps no record waiting."""
    waits = missing(looked, one)[:MOST_WAITS]
    if not waits:
        return None
    told = ", ".join(f"`{key}`" for key in waits)
    return _parked(
        "not-found",
        f"It refers to {told}, which is not here yet. It is taken when that has come.",
        f"Bản này nhắc đến {told}, chưa có ở đây; sẽ được nhận khi có.",
        waits,
    )


def missing(looked: Looked, one: Pushed) -> tuple[Key, ...]:
    """What it refers to and waits for. What waits for this one alone is stored with it."""
    name = (one.key, one.rev)
    passed = looked.coming | looked.circling.get(name, frozenset())
    keys = looked.references.get(name, ())
    return tuple(key for key in keys if key not in passed and not _is_there(looked, key))


def _is_there(looked: Looked, key: Key) -> bool:
    tree = looked.trees.get(key)
    if tree is not None:
        known = key.type != PATIENT or key not in looked.newest
        may = known or key in looked.may["read"] or key in looked.may["update"]
        return tree.stands and may
    return key in looked.there or (key.type != PATIENT and key not in looked.sent)


def _reach(looked: Looked, one: Pushed) -> Verdict | None:
    if one.body is not None and (one.key, one.rev) not in looked.within:
        return _forbidden(one, interaction_of(looked, one))
    return None


def _heads(looked: Looked, one: Pushed) -> Verdict | None:
    heads = looked.trees[one.key].lineage.heads()
    if len(heads) < MOST_HEADS or not set(heads).isdisjoint(one.parents):
        return None
    return _parked(
        "too-costly",
        f"`{one.key}` has {MOST_HEADS} versions that nobody has chosen between. Choose first.",
        f"`{one.key}` có {MOST_HEADS} bản khác nhau chưa ai chọn. Xin chọn trước.",
        (one.key,),
    )


# --- what is said ---------------------------------------------------------------------------------


def _forbidden(one: Pushed, interaction: str) -> Verdict:
    return _refused(
        "forbidden",
        f"This node may not {interaction} `{one.key}`: the record is another facility's, or of a"
        " patient who was never in this facility's care.",
        f"Máy chủ này không được {INTERACTIONS[interaction]} `{one.key}`: bản ghi là của cơ sở"
        " khác, hoặc của người bệnh chưa từng thuộc cơ sở này.",
    )


def _refused(code: str, english: str, vietnamese: str) -> Verdict:
    return Verdict(Outcome.REFUSED, (Issue("error", code, english, vietnamese=vietnamese),))


def _parked(code: str, english: str, vietnamese: str, waits: tuple[Key, ...]) -> Verdict:
    return Verdict(Outcome.PARKED, (Issue("error", code, english, vietnamese=vietnamese),), waits)
