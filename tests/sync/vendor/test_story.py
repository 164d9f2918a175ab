"""A node that was written after docs/sync.md alone, at a real hub: all that it must do works."""

from __future__ import annotations

import copy
import json

import pytest

from tests.attack import LONG
from tests.sync.vendor import receipts, written
from tests.sync.vendor.node import Node
from tests.sync.vendor.receipts import Forged

# A hub takes seconds to start: on both databases in the long form.
DATABASES = ["sqlite", "postgresql"] if LONG else ["sqlite"]
pytestmark = pytest.mark.parametrize("province", DATABASES, indirect=True, scope="package")


def person(id, at, **more):
    place = {"managingOrganization": {"reference": f"Organization/{at}"}}
    return {"resourceType": "Patient", "id": id, **place, **more}


def measured(id, of, value=72.50, **more):
    return {
        "resourceType": "Observation", "id": id, "status": "final", "code": {"text": "Mạch\n\tđo"},
        "subject": {"reference": f"Patient/{of}"}, "valueQuantity": {"value": value}, **more,
    }  # fmt: skip


def state(node, type, id, name):
    one = node.disk.versions[type, id, name]
    return "confirmed" if one.confirmed else "kept apart" if one.reason else "unsent"


def told(node, condition):
    """Pull until something is so: that somebody came home is noticed a moment after."""
    for _ in range(20):
        node.pull()
        if condition():
            return
        node.take(node.ask(wait="5"))
    raise AssertionError("the hub does not tell it")


def registered(province, id, facility="hue"):
    """A node that has sent a patient of its own."""
    node = province.node(facility)
    node.pull()
    node.write("Patient", id, person(id, facility))
    node.push()
    return node


def test_it_sends_what_was_written_and_mends_what_was_kept_apart(province):
    node = province.node("hue")
    node.pull()
    assert node.shown("Organization", "hue")["name"] == "Trạm Y tế hue"
    visit = {
        "resourceType": "Encounter", "id": "hue.v1", "status": "nope", "class": {"code": "AMB"},
        "subject": {"reference": "Patient/hue.p1"},
    }  # fmt: skip
    bad = node.write("Encounter", "hue.v1", visit)
    part = node.write(
        "Observation", "hue.o1",
        measured("hue.o1", "hue.p1", encounter={"reference": "Encounter/hue.v1"}),
    )  # fmt: skip
    good = node.write("Observation", "hue.o2", measured("hue.o2", "hue.p1"))
    who = node.write("Patient", "hue.p1", person("hue.p1", "hue"))
    node.push()
    assert state(node, "Patient", "hue.p1", who) == "confirmed"
    assert state(node, "Observation", "hue.o2", good) == "confirmed"
    assert state(node, "Encounter", "hue.v1", bad) == "kept apart"
    assert state(node, "Observation", "hue.o1", part) == "kept apart"  # it waits for the visit
    reason = node.disk.versions["Encounter", "hue.v1", bad].reason["issue"][0]
    assert reason["expression"] == ["Encounter.status"]
    node.write("Encounter", "hue.v1", visit | {"status": "finished"})
    node.push()
    node.pull()
    assert state(node, "Observation", "hue.o1", part) == "confirmed"
    at_hub = province.worker("hue").ask("GET", "Observation/hue.o1")
    assert at_hub.status_code == 200
    assert written.read(at_hub.content)["meta"]["versionId"] == part
    assert receipts.chain_holds(node.disk.kept)
    assert json.loads(node.disk.kept[0][0])["before"] == ""


def test_an_answer_that_was_lost_is_asked_for_again(province):
    node = province.node("hue")
    node.write("Patient", "hue.p2", person("hue.p2", "hue"))
    node.write("Observation", "hue.o3", measured("hue.o3", "hue.p2"))
    node.number()
    node.hub.push(node.chunk(1, 2))  # nobody hears what it says
    node.push()
    history = province.worker("hue").ask("GET", "Patient/hue.p2/_history").json()
    assert len(history["entry"]) == 1
    node.take_answer(node.hub.push(node.chunk(1, 2)), 2)  # and once more, later
    assert not node.unsent


def test_a_gap_is_filled(province):
    node = province.node("hue")
    node.write("Patient", "hue.p3", person("hue.p3", "hue"))
    node.push()
    node.write("Observation", "hue.o4", measured("hue.o4", "hue.p3"))
    node.write("Observation", "hue.o5", measured("hue.o5", "hue.p3"))
    node.number()
    node.disk.reached = 2  # it believes that the second has arrived
    node.push()
    assert not node.unsent
    assert node.disk.reached == max(node.disk.numbers)


def test_receipts_are_true_without_the_hub_and_nothing_else_is(province):
    node = registered(province, "hue.p4")
    said, signed = node.disk.kept[0]
    sent = {number: key[2] for number, key in node.disk.numbers.items()}
    (receipt,) = receipts.verified(said, signed, node.keys, sent)
    assert (receipt.number, receipt.outcome) == (1, "stored")
    for text, versions in (
        (said.replace("stored", "merged"), sent),
        (said, {1: "1-" + "a" * 26}),
    ):
        with pytest.raises(Forged):
            receipts.verified(text, signed, node.keys, versions)


def test_a_second_node_meets_all_of_it_and_deletions_follow(province):
    one = registered(province, "hue.p5")
    one.write("Observation", "hue.o6", measured("hue.o6", "hue.p5"))
    one.push()
    other = province.node("hue")
    told(other, lambda: other.shown("Observation", "hue.o6"))
    assert other.shown("Observation", "hue.o6") == one.shown("Observation", "hue.o6")
    one.write("Observation", "hue.o6", None)
    one.push()
    told(other, lambda: other.shown("Observation", "hue.o6") is None)
    assert (
        other.heads("Observation", "hue.o6")[0].name == one.heads("Observation", "hue.o6")[0].name
    )


def test_who_moves_away_is_hidden_and_what_was_unsent_is_still_sent(province):
    node = registered(province, "hue.p6")
    node.write("Observation", "hue.o7", measured("hue.o7", "hue.p6"))
    node.push()
    told(node, lambda: node.of("Patient", "hue.p6")[0].patient)
    sent_on = {
        "resourceType": "ServiceRequest", "id": "hue.r1", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/hue.p6"},
        "performer": [{"reference": "Organization/ninh"}],
    }  # fmt: skip
    node.write("ServiceRequest", "hue.r1", sent_on)
    node.push()
    other = province.node("ninh")
    told(other, lambda: other.shown("Patient", "hue.p6"))
    moved = other.write("Patient", "hue.p6", person("hue.p6", "ninh"))
    other.push()
    assert state(other, "Patient", "hue.p6", moved) == "confirmed"
    late = node.write("Observation", "hue.o8", measured("hue.o8", "hue.p6"))
    told(node, lambda: ("Patient", "hue.p6") in node.disk.hidden)
    assert node.shown("Patient", "hue.p6") is None
    assert node.shown("Observation", "hue.o7") is None
    node.push()
    assert state(node, "Observation", "hue.o8", late) == "confirmed"


def test_changes_of_different_places_are_merged_and_of_one_place_chosen_between(province):
    one = registered(province, "hue.p7")
    other = province.node("hue")
    told(other, lambda: other.shown("Patient", "hue.p7"))
    place = {"managingOrganization": {"reference": "Organization/hue"}}
    base = {"resourceType": "Patient", "id": "hue.p7"} | place
    both = base | {"gender": "female", "birthDate": "1980"}
    one.write("Patient", "hue.p7", base | {"gender": "female"})
    other.write("Patient", "hue.p7", base | {"birthDate": "1980"})
    one.push()
    other.push()
    told(one, lambda: one.shown("Patient", "hue.p7") == both)
    told(other, lambda: other.shown("Patient", "hue.p7") == both)
    merged = base | {"gender": "female"}
    one.write("Patient", "hue.p7", merged | {"birthDate": "1981"})
    other.write("Patient", "hue.p7", merged | {"birthDate": "1982"})
    one.push()
    other.push()
    told(one, lambda: len(one.heads("Patient", "hue.p7")) == 2)
    told(one, lambda: any(type == "Task" for type, *_ in one.disk.versions))
    told(other, lambda: len(other.heads("Patient", "hue.p7")) == 2)
    other.choose("Patient", "hue.p7", merged | {"birthDate": "1981"})
    other.push()
    told(one, lambda: len(one.heads("Patient", "hue.p7")) == 1)
    assert one.shown("Patient", "hue.p7")["birthDate"] == "1981"


def test_a_disk_that_was_set_back_begins_another_life_and_nothing_is_lost_or_doubled(province):
    node = registered(province, "hue.p8")
    backup = copy.deepcopy(node.disk)
    node.write("Observation", "hue.o9", measured("hue.o9", "hue.p8"))
    node.push()
    before, node.disk = node.disk, backup
    node.write("Observation", "hue.o10", measured("hue.o10", "hue.p8"))
    node.push()  # under the number that meant hue.o9
    assert node.disk.incarnation != before.incarnation
    told(node, lambda: node.shown("Observation", "hue.o9"))
    assert node.shown("Observation", "hue.o9") == before.versions[before.numbers[2]].resource
    for id in ("hue.o9", "hue.o10"):
        history = province.worker("hue").ask("GET", f"Observation/{id}/_history").json()
        assert len(history["entry"]) == 1


def test_an_echo_of_what_the_disk_has_forgotten_begins_another_life(province):
    node = registered(province, "hue.p9")
    told(node, lambda: node.of("Patient", "hue.p9")[0].patient)
    backup = copy.deepcopy(node.disk)
    node.write("Observation", "hue.o11", measured("hue.o11", "hue.p9"))
    node.push()
    lived, node.disk = node.disk.incarnation, backup
    told(node, lambda: node.shown("Observation", "hue.o11"))
    assert node.disk.incarnation != lived


def test_node_imports_nothing_of_the_program(province):
    for module in (Node.__module__, receipts.__name__, written.__name__):
        assert "fhir_server" not in __import__(module, fromlist=["x"]).__dict__
