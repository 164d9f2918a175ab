"""task — what tells people of a conflict: the versions side by side, and what to do.

https://hl7.org/fhir/R4/task.html

Its id and all it says follow from the versions alone, so that it is made once: two servers that see
the same conflict make the same Task, and a hub that has lost it makes it again as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.outcome import TRANSLATION
from fhir_server.foundation.resource import Key, Resource
from fhir_server.search.owner import CONFLICT, TASKS
from fhir_server.sync.conflicts.conflict import Conflict, Differing, differing
from fhir_server.sync.conflicts.saying import place_said, printable, type_said, value_said
from fhir_server.sync.lineage import Rev

OPEN, DONE, CANCELLED = "requested", "completed", "cancelled"
ROWS = 40  # places that are shown
NAMED = 5  # of them by the description
WHOLE = "(đã xóa)"
ROLES = {
    "head": "Một trong các bản khác nhau",
    "base": "Bản trước khi khác nhau",
    "resolution": "Bản đã được chọn",
}
HTML = "http://www.w3.org/1999/xhtml"


def id_of(key: Key, heads: Iterable[Rev]) -> str:
    """The same for the same versions, in whatever order."""
    told = "\n".join((str(key), *sorted(heads)))
    return f"conflict-{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def key_of(key: Key, heads: Iterable[Rev]) -> Key:
    return Key("Task", id_of(key, heads))


def task_of(definitions: Definitions, conflict: Conflict, patient: str | None) -> Resource:
    """The Task of a conflict. patient: a reference to whose record the resource is in."""
    found = differing(definitions, conflict)
    vietnamese, english = map(printable, described(conflict, found))
    told: Resource = {"resourceType": "Task", "id": id_of(conflict.key, conflict.revs)}
    if labels := _security(conflict):
        told["meta"] = {"security": labels}
    told |= {
        "language": "vi",
        "text": {"status": "generated", "div": narrative(conflict, found, vietnamese)},
        "status": OPEN,
        "intent": "order",
        "code": {
            "coding": [{"system": TASKS, "code": CONFLICT, "display": "Sync conflict"}],
            "text": "Chọn một trong các bản khác nhau",
        },
        "description": vietnamese,
        "_description": {"extension": [_translated(english)]},
        "focus": {"reference": str(conflict.key)},
    }
    if patient is not None:
        told["for"] = {"reference": patient}
    told["input"] = [
        *(_put("head", conflict.key, head.rev) for head in conflict.heads),
        *(_put("base", conflict.key, base.rev) for base in conflict.bases),
    ]
    return told


def ended(task: Resource, key: Key, resolution: Rev | None) -> Resource:
    """The Task when the conflict is over. resolution: what was chosen or merged; None: other
    versions have come, and another Task tells of them."""
    if resolution is None:
        reason = "Có bản mới hơn; xem công việc mới."
        return {**task, "status": CANCELLED, "statusReason": {"text": reason}}
    return {**task, "status": DONE, "output": [_put("resolution", key, resolution)]}


def is_open(task: Resource) -> bool:
    return task.get("status") == OPEN


def _put(role: str, key: Key, rev: Rev) -> Resource:
    return {
        "type": {"coding": [{"system": TASKS, "code": role}], "text": ROLES[role]},
        "valueReference": {"reference": f"{key}/_history/{rev}"},
    }


def _security(conflict: Conflict) -> list[Resource]:
    """What is shown of a labelled resource is as sensitive as the resource."""
    labels: dict[tuple[Any, Any], Resource] = {}
    for side in (*conflict.heads, *conflict.bases):
        for label in (side.resource or {}).get("meta", {}).get("security", ()):
            labels.setdefault((label.get("system"), label.get("code")), label)
    return list(labels.values())


def _translated(english: str) -> Resource:
    parts = [{"url": "lang", "valueCode": "en"}, {"url": "content", "valueString": english}]
    return {"url": TRANSLATION, "extension": parts}


# --- in words ------------------------------------------------------------------------------------


def described(conflict: Conflict, found: Sequence[Differing]) -> tuple[str, str]:
    """In a sentence or two, in Vietnamese and in English."""
    type, count = type_said(conflict.key.type), len(conflict.heads)
    if any(head.resource is None for head in conflict.heads):
        return (
            f"{type} ({conflict.key}): một nơi đã xóa, nơi khác đã sửa. Chọn giữ hay xóa.",
            f"`{conflict.key}` was deleted at one place and changed at another. Keep or delete it.",
        )
    if conflict.issues:
        why = conflict.issues[0].vietnamese or conflict.issues[0].diagnostics
        return (
            f"{type} ({conflict.key}) đã được sửa ở {count} nơi, gộp lại thì không hợp lệ: {why}"
            " Chọn một bản, hoặc ghi lại cho đúng.",
            f"`{conflict.key}` was changed at {count} places, and merged it would not be valid: "
            f"{conflict.issues[0].diagnostics} Choose one, or write it anew.",
        )
    apart = [one.path for one in found if one.is_apart][:NAMED]
    more = " …" if sum(one.is_apart for one in found) > NAMED else ""
    vietnamese = ", ".join(map(place_said, apart)) + more
    return (
        f"{type} ({conflict.key}) đã được sửa khác nhau ở {count} nơi: {vietnamese}."
        " Chọn một bản, hoặc ghi lại cho đúng.",
        f"`{conflict.key}` was changed differently at {count} places: {', '.join(apart)}{more}. "
        "Choose one, or write it anew.",
    )


def narrative(conflict: Conflict, found: Sequence[Differing], said: str) -> str:
    """The places side by side, those that are apart first, marked by *."""
    heads = [f"Bản {at}" for at, _ in enumerate(conflict.heads, 1)]
    lines = [_row("th", ["Mục", "Trước đó", *heads])]
    if any(head.resource is None for head in conflict.heads):
        kept = [WHOLE if head.resource is None else "(đã sửa)" for head in conflict.heads]
        lines.append(_row("td", ["* cả bản ghi", "", *kept]))
    lines += [_row("td", cells) for cells in rows(conflict, found[:ROWS])]
    more = f"<p>Còn {len(found) - ROWS} mục nữa.</p>" if len(found) > ROWS else ""
    table = f"<table>{''.join(lines)}</table>{more}"
    return f'<div xmlns="{HTML}" lang="vi"><p>{escape(said)}</p>{table}</div>'


def rows(conflict: Conflict, found: Sequence[Differing]) -> Iterator[list[str]]:
    """Name, value before, and what each head says, for each place."""
    for one in found:
        values = [
            WHOLE if head.resource is None else value_said(value)
            for head, value in zip(conflict.heads, one.heads, strict=True)
        ]
        mark = "* " if one.is_apart else ""
        yield [f"{mark}{place_said(one.path)}", value_said(one.base), *values]


def _row(tag: str, cells: Sequence[str]) -> str:
    told = "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{told}</tr>"
