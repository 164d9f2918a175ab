"""Of n records k are bad, at a post and its hub as processes: n - k arrive, and k wait at the post,
each with its reason in Vietnamese, until they are mended.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest

from tests.acceptance.serving import Patience
from tests.sync.real.province import Post, Province

FACILITY = "my-khanh"
LAN = f"Patient/{FACILITY}.park-lan"
MANY = 24
VIETNAMESE = re.compile("[ạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹđ]")
# what is wrong with it,                                    and what is said of that
BAD = (
    ({"requester": {"reference": "Location/kho-thuoc"}}, "`Location`"),
    ({"subject": {"reference": f"Patient/{FACILITY}.nobody"}}, f"`Patient/{FACILITY}.nobody`"),
)
BAD_AT = {3: 0, 4: 1, 11: 0, 17: 1, 23: 0}  # number of a record: what is wrong with it


def drug(number: int, **wrong: object) -> dict[str, object]:
    return {
        "resourceType": "MedicationRequest", "id": f"park-{number}", "status": "active",
        "intent": "order", "subject": {"reference": LAN},
        "medicationCodeableConcept": {"text": f"Paracetamol {number}"}, **wrong,
    }  # fmt: skip


def test_of_n_records_of_which_k_are_bad_all_others_arrive_and_k_wait_with_reasons(
    province: Province,
) -> None:
    here, hub = province.at_post[FACILITY], province.at_hub[FACILITY]
    post = next(each for each in province.posts if each.facility == FACILITY)
    patient = {
        "resourceType": "Patient", "id": LAN.partition("/")[2], "name": [{"text": "Lan"}],
        "managingOrganization": {"reference": f"Organization/{FACILITY}"},
    }  # fmt: skip
    assert here.ask("PUT", LAN, patient).status_code == 201
    for number in range(MANY):
        wrong = BAD[BAD_AT[number]][0] if number in BAD_AT else {}
        body = drug(number, **wrong)
        answer = here.ask("PUT", f"MedicationRequest/park-{number}", body)
        assert answer.status_code == 201, answer.text
    good = [f"park-{number}" for number in range(MANY) if number not in BAD_AT]
    until(lambda: all(status(hub.ask("GET", f"MedicationRequest/{id}")) == 200 for id in good))
    bad = {f"MedicationRequest/park-{number}": BAD[what][1] for number, what in BAD_AT.items()}
    assert {status(hub.ask("GET", key)) for key in bad} == {404}

    told = post.command("sync", "parked")
    assert told.returncode == 1
    reasons = apart(told.stdout)
    assert bad.keys() <= reasons.keys()
    for key, words in bad.items():
        assert words in reasons[key]
        assert VIETNAMESE.search(reasons[key])

    mended = "MedicationRequest/park-3"
    assert here.ask("PUT", mended, drug(3)).status_code == 200
    until(lambda: status(hub.ask("GET", mended)) == 200)
    until(lambda: parked(post) == len(reasons) - 1)


def parked(post: Post) -> int:
    standing = post.standing()
    return -1 if standing is None else standing.parked


def apart(told: str) -> dict[str, str]:
    """Of each record that is kept apart, why."""
    found: dict[str, str] = {}
    for record in re.split(r"\n(?! )", told.strip()):
        head, _, reason = record.partition("\n")
        found[head.split()[0]] = reason
    return found


def status(answer: httpx.Response) -> int:
    return answer.status_code


def until(holds: Callable[[], bool]) -> None:
    patience = Patience(60.0)
    while not holds():
        if patience.left < 0:
            pytest.fail("It does not arrive.")
        patience.wait(0.3)
