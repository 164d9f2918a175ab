"""A node that lies, on the wire, to a real hub: it is refused in words it can act on, written down,
and nobody is harmed. tests/sync/hub asks the same of what is no matter of the wire."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fhir_server.store.upkeep import access
from tests.attack import LONG, times
from tests.sync.vendor import receipts
from tests.sync.vendor.calling import Hub, Told
from tests.sync.vendor.lies import LIES, MADE_UP, RECORDS, UNREADABLE, body, chunk, entry, outcomes
from tests.sync.vendor.receipts import Forged
from tests.sync.vendor.test_story import measured, person, registered

# A hub takes seconds to start: on both databases in the long form.
DATABASES = ["sqlite", "postgresql"] if LONG else ["sqlite"]
pytestmark = pytest.mark.parametrize("province", DATABASES, indirect=True, scope="package")
CHANCE = times(100, 5000)  # chunks made worse by chance
SEED = int(os.environ.get("FHIR_FUZZ_SEED", "1"))


def pushed(hub, data, **headers):
    return hub.ask("POST", "$sync-push", data, **headers)


def refused(answer, status, word=""):
    """That it was refused, in a sentence, in two languages."""
    assert answer.status_code == status, answer.text[:300]
    (issue, *_) = answer.json()["issue"]
    assert re.search(word, issue["diagnostics"]), issue["diagnostics"]


def of_all(province):
    """How much there is, as who sees the audit and as who works there see it."""
    worker = province.worker("hue")
    counted = [f"{type}?_summary=count" for type in ("Patient", "Observation", "Organization")]
    return [worker.ask("GET", one).json()["total"] for one in counted]


def test_what_is_no_chunk_is_refused_and_harms_nobody(province, tell):
    hub = province.enrolled("hue")
    auditor = Hub(province.process.base, basis="12/QĐ-SYT")
    auditor.enrol(province.process.code("kt", "auditor", purpose="HCOMPL"))
    before = of_all(province)
    for lie in LIES:
        headers = {name.replace("-", "_"): value for name, value in lie.headers}
        try:
            refused(pushed(hub, lie.made(hub.client), **headers), lie.status, lie.told)
        except AssertionError as error:
            raise AssertionError(f"{lie.name}: {error}") from None
    tell("a node that lies: requests", len(LIES))
    assert of_all(province) == before
    noted = auditor.ask("GET", "AuditEvent", asked={"_count": "200"}).text
    auditor.close()
    print(noted[:1500], noted.count(hub.client))
    assert noted.count(f'"{hub.client}"') >= len(LIES)


def test_what_was_made_worse_by_chance_is_no_fault_of_the_hub(province, tell):
    hub, draw = province.enrolled("hue"), random.Random(SEED)
    words = [
        b"{",
        b"}",
        b"[]",
        b"null",
        b"-1",
        b'""',
        b"1e99",
        b"\\u0000",
        b"\xff",
        b"parent",
        b"true",
    ]
    for n in range(CHANCE):
        good = entry(person(f"hue.z{n}", "hue"), parents=(MADE_UP,) * draw.randrange(2))
        text = bytearray(json.dumps(chunk(hub.client, good, incarnation=f"z{n}")).encode())
        for _ in range(draw.randrange(1, 4)):
            at, cut = draw.randrange(len(text)), draw.randrange(20)
            text[at : at + cut] = draw.choice([*words, bytes(text[at // 2 : at // 2 + 30])])
        answer = pushed(hub, bytes(text))
        assert answer.status_code < 500, (SEED, n, bytes(text), answer.text)
        if answer.status_code >= 400:
            assert answer.json()["issue"][0]["diagnostics"], (SEED, n)
    tell("a node that lies: chunks by chance", CHANCE)


def test_what_cannot_be_read_is_refused_whole_and_named(province):
    hub = province.enrolled("hue")
    for name, text in UNREADABLE.items():
        told = json.dumps(chunk(hub.client, entry({}, "Patient/hue.x"))).replace("{}", text)
        refused(pushed(hub, told.encode()), 400, r"entry\[0\]|number")
        assert name


def test_of_one_version_alone_it_is_said_what_is_wrong(province):
    hub = province.enrolled("hue")
    for n, (name, (text, parents, outcome)) in enumerate(RECORDS.items()):
        url = "{resourceType}/{id}".format(**json.loads(text.replace("1e999", "7")))
        bad = json.dumps(entry({}, url, parents)).replace("{}", text)
        good = json.dumps(entry(person(f"hue.l{n}", "hue"), group=2))
        head = json.dumps(chunk(hub.client, incarnation=f"life{n}"))
        answer = pushed(hub, head.replace("[]", f"[{bad}, {good}]").encode())
        assert outcomes(answer.text) == [outcome, "stored"], name
        assert '"diagnostics":' in answer.text


def test_tokens_cursors_and_receipts_are_of_who_was_given_them(province):
    one, other = registered(province, "hue.t1"), registered(province, "ninh.t1", "ninh")
    refused(pushed(one.hub, body(other.hub.client)), 403, other.hub.client)
    one.pull()
    other.pull()
    colleague = province.enrolled("hue")
    for hub, cursor in ((one.hub, other.disk.cursor), (colleague, one.disk.cursor)):
        refused(hub.ask("GET", "$sync-pull", asked={"cursor": cursor}), 400, "`cursor`")
    for part in (one.disk.cursor[:-5], one.disk.cursor[:-1] + "é", "A" * 5000, "."):
        refused(one.hub.ask("GET", "$sync-pull", asked={"cursor": part}), 400, "`cursor`")
    said, signed = other.disk.kept[0]
    with pytest.raises(Forged):  # another's receipts are of other versions
        receipts.verified(said, signed, one.keys, {1: one.disk.numbers[1][2]})
    replayed = [*one.disk.kept, one.disk.kept[0]]
    assert not receipts.chain_holds(replayed)
    stranger = Hub(province.process.base, one.hub.client)  # with a key of its own
    with pytest.raises(Told) as no_token:
        stranger.bearer()
    stranger.close()
    assert no_token.value.status == 401


def test_parameters_of_a_pull_are_bounded(province):
    hub = province.enrolled("hue")
    for asked in (
        {"wait": "-1"}, {"wait": "nan"}, {"wait": "9" * 400}, {"waiting": "9" * 5000},
        {"waiting": "-1"}, {"parked": "x"}, {"incarnation": "a" * 65}, {"cursor": "a\0"},
        {"_since": "2026"},
    ):  # fmt: skip
        refused(hub.ask("GET", "$sync-pull", asked=asked), 400)
    refused(hub.ask("GET", "$sync-pull", asked={"parked": ",".join([MADE_UP] * 1001)}), 414)
    many = {"name": "parked", "valueString": ",".join([MADE_UP] * 1001)}
    posted = json.dumps({"resourceType": "Parameters", "parameter": [many]}).encode()
    refused(hub.ask("POST", "$sync-pull", posted), 400, "1000")
    posted = posted.replace(f"{MADE_UP},".encode(), b"", 1)
    assert hub.ask("POST", "$sync-pull", posted).status_code == 200


def test_what_is_out_of_reach_is_told_as_what_is_not_there(province):
    other = registered(province, "ninh.s1", "ninh")
    other.write("Observation", "ninh.s2", measured("ninh.s2", "ninh.s1"))
    other.push()
    hub = province.enrolled("hue")
    (held,) = other.of("Observation", "ninh.s2")
    asked = [("GET", path, None) for path in ("", "/_history", "/$conflict", "/$sync-origin")]
    choice = {"resourceType": "Parameters", "parameter": [
        {"name": "head", "valueString": held.name}, {"name": "head", "valueString": MADE_UP},
        {"name": "choose", "valueString": held.name}]}  # fmt: skip
    asked.append(("POST", "/$resolve-conflict", json.dumps(choice).encode()))
    for type, there in (("Patient", "ninh.s1"), ("Observation", "ninh.s2")):
        for method, path, data in asked:
            found = [hub.ask(method, f"{type}/{id}{path}", data) for id in (there, "ninh.nobody")]
            texts = [re.sub(r"ninh\.\w+", "it", one.text) for one in found]
            assert texts[0] == texts[1]
            assert [one.status_code for one in found] == [404, 404]
    texts = []
    for n, id in enumerate(("ninh.s1", "ninh.nobody")):
        one = entry(measured(f"hue.s{n}", id))
        sent = chunk(hub.client, one, incarnation=f"leak{n}")
        answer = pushed(hub, json.dumps(sent).encode())
        assert outcomes(answer.text) == ["parked"]
        (said,) = re.findall(r'"diagnostics":"(.*?)"', answer.text)
        texts.append(said.replace(id, "it"))
    assert texts[0] == texts[1]


def test_a_circle_that_comes_together_is_stored(province):
    node = registered(province, "hue.c1")
    for one, other in (("hue.c2", "hue.c3"), ("hue.c3", "hue.c2")):
        round = {"derivedFrom": [{"reference": f"Observation/{other}"}]}
        node.write("Observation", one, measured(one, "hue.c1") | round)
    node.push()
    assert not node.unsent
    assert not [one for one in node.disk.versions.values() if one.reason]


def test_the_same_node_twice_at_once_is_stored_once(province):
    node = province.node("hue")
    node.write("Patient", "hue.w1", person("hue.w1", "hue"))
    for n in range(20):
        node.write("Observation", f"hue.w1.{n}", measured("x", "hue.w1") | {"id": f"hue.w1.{n}"})
    node.number()
    node.hub.bearer()
    sent = node.chunk(1, 21)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: node.hub.push(sent), range(4)))
    for answer in answers:
        node.take_answer(answer, 21)
    node.push()
    assert not node.unsent
    history = province.worker("hue").ask("GET", "Patient/hue.w1/_history").json()
    assert len(history["entry"]) == 1


def test_who_holds_connections_open_holds_nobody_up(province):
    port = int(re.findall(r":(\d+)/", province.process.base)[0])
    head = b"POST /fhir/$sync-push HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{"
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        for one in held:
            one.sendall(head)
        assert registered(province, "hue.h1").disk.reached == 1
    finally:
        for one in held:
            one.close()


def test_a_clock_past_every_date_orders_nothing_and_is_told(province):
    hub = province.enrolled("hue")
    one = entry(person("hue.k1", "hue"))
    one["response"]["lastModified"] = "9999-12-31T23:59:59.999Z"
    answer = pushed(hub, json.dumps(chunk(hub.client, one, sent="9" * 18)).encode())
    assert outcomes(answer.text) == ["stored"]
    stands = province.operator.ask("GET", "$sync-status")
    assert stands.status_code == 200
    assert hub.client in stands.text
    seen = province.worker("hue").ask("GET", "Patient/hue.k1").json()
    assert seen["meta"]["lastUpdated"] < "9999"
    origin = province.worker("hue").ask("GET", "Patient/hue.k1/$sync-origin")
    assert origin.status_code == 200


def test_a_node_that_was_revoked_is_told_nothing_more(province):
    node = registered(province, "hue.r1")
    url, id = province.process.url, node.hub.client
    row = access.client(url, id)
    assert row is not None
    ended = replace(row, revoked=row.changed + 1, changed=row.changed + 1)
    assert access.register(url, ended, replaces=row.changed)
    for _ in range(200):
        answer = pushed(node.hub, b"{")
        if answer.status_code == 401:
            break
        time.sleep(0.1)
    refused(answer, 401)
    refused(node.hub.ask("GET", "$sync-pull"), 401)
    again = Hub(node.hub.base, node.hub.client, node.hub.key)
    with pytest.raises(Told):
        again.bearer()
    again.close()


def test_a_code_is_good_once(province):
    code = province.process.code("node-once", "node", "hue")
    first, second = Hub(province.process.base), Hub(province.process.base)
    first.enrol(code)
    with pytest.raises(Told) as used:
        second.enrol(code)
    first.close()
    second.close()
    assert used.value.status == 400
