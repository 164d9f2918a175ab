"""demo_sync — a hub and two health posts on this machine, and a line between them that is cut.

https://hl7.org/fhir/R4/http.html

    python -m tools.demo_sync

Everything is in a temporary folder, and gone at the end. With a terminal it stays until Enter.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.sync.real.place import Place
from tests.sync.real.province import Post, Province

MY_KHANH, NHON_AI = "my-khanh", "nhon-ai"
NAMES = {MY_KHANH: "Trạm Y tế Mỹ Khánh", NHON_AI: "Trạm Y tế Nhơn Ái"}
PATIENCE = 90.0  # seconds
LAN, HUNG, MAI = (f"{MY_KHANH}.{name}" for name in ("lan", "hung", "mai"))

Resource = dict[str, Any]


def say(english: str, vietnamese: str = "") -> None:
    print(f"\n* {english}")
    if vietnamese:
        print(f"  {vietnamese}")
    sys.stdout.flush()


def patient(id: str, name: str, born: str, **more: Any) -> Resource:
    return {
        "resourceType": "Patient", "id": id, "name": [{"text": name}], "birthDate": born,
        "gender": "unknown", "managingOrganization": {"reference": f"Organization/{MY_KHANH}"},
        **more,
    }  # fmt: skip


def referral(whom: str) -> Resource:
    """To the other post, which then cares for the patient too."""
    return {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "code": {"text": "Khám chuyên khoa"}, "subject": {"reference": f"Patient/{whom}"},
        "requester": {"reference": f"Organization/{MY_KHANH}"},
        "performer": [{"reference": f"Organization/{NHON_AI}"}],
    }  # fmt: skip


def visit(id: str, whom: str, facility: str) -> Resource:
    return {
        "resourceType": "Encounter", "id": id, "status": "finished", "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{whom}"},
        "serviceProvider": {"reference": f"Organization/{facility}"},
    }  # fmt: skip


def prescription(whom: str, drug: str) -> Resource:
    return {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "subject": {"reference": f"Patient/{whom}"}, "medicationCodeableConcept": {"text": drug},
    }  # fmt: skip


class Demo:
    """The province, and the people in it."""

    def __init__(self, province: Province) -> None:
        self.province = province
        self.post = {post.facility: post for post in province.posts}
        self.at = province.at_post
        self.hub = province.at_hub[MY_KHANH]

    def keep(self, place: Place, body: Resource) -> None:
        id = body.get("id")
        path = f"{body['resourceType']}/{id}" if id else body["resourceType"]
        answer = place.ask("PUT" if id else "POST", path, body)
        assert answer.status_code in (200, 201), answer.text

    def change(self, facility: str, id: str, **fields: Any) -> None:
        """As a nurse does: what is there, with something else in it."""
        found = self.at[facility].ask("GET", f"Patient/{id}").json()
        self.keep(self.at[facility], {**found, **fields})

    def has(self, place: Place, path: str, **fields: Any) -> bool:
        answer = place.ask("GET", path)
        told = answer.json() if answer.status_code == 200 else {}
        return answer.status_code == 200 and fields.items() <= told.items()

    def counts(self, place: Place) -> str:
        kinds = ("Patient", "Encounter", "MedicationRequest", "ServiceRequest")
        found = [place.ask("GET", f"{kind}?_summary=count").json()["total"] for kind in kinds]
        return ", ".join(f"{number} {kind}" for number, kind in zip(found, kinds, strict=True))

    def show_counts(self) -> None:
        print(f"    hub:      {self.counts(self.hub)} (of those whom Mỹ Khánh may see)")
        for facility, place in self.at.items():
            print(f"    {facility}: {self.counts(place)}")

    # --- the story ---

    def tell(self) -> None:
        self.begin()
        self.work_with_the_line()
        self.work_without_it()
        self.meet()
        self.conflict()

    def begin(self) -> None:
        say(
            "A hub and two health posts run, each with its own database and key.",
            "Máy chủ tỉnh và hai trạm y tế đang chạy, mỗi nơi có cơ sở dữ liệu và khóa riêng.",
        )
        print(f"    hub       {self.province.hub.base}  (asks for tokens)")
        for facility, place in self.at.items():
            print(f"    {facility}  {place.base}  {NAMES[facility]}")
            print(f"              enrolled by: {self.enrolment(self.post[facility])}")

    def enrolment(self, post: Post) -> str:
        return f"fhir-server sync enrol --hub {post.settings['hub']} --code XXXX-XXXX-..."

    def work_with_the_line(self) -> None:
        say(
            "Mỹ Khánh registers Lan and Hùng, and refers both to Nhơn Ái.",
            "Mỹ Khánh đăng ký cô Lan và ông Hùng, rồi chuyển cả hai đến Nhơn Ái.",
        )
        here = self.at[MY_KHANH]
        self.keep(here, patient(LAN, "Nguyễn Thị Lan", "1980-04-01"))
        self.keep(here, patient(HUNG, "Trần Văn Hùng", "1955"))
        for whom in (LAN, HUNG):
            self.keep(here, referral(whom))
        there = self.at[NHON_AI]
        took = until(lambda: all(self.has(there, f"Patient/{id}") for id in (LAN, HUNG)))
        print(f"    Nhơn Ái has their records {took:.1f} s later, by way of the hub.")

    def work_without_it(self) -> None:
        for post in self.province.posts:
            post.line.cut()
        say(
            "The lines of both posts are cut. Both go on working.",
            "Đường truyền của cả hai trạm bị đứt. Cả hai vẫn làm việc bình thường.",
        )
        here, there = self.at[MY_KHANH], self.at[NHON_AI]
        self.keep(here, patient(MAI, "Lê Thị Mai", "2001-09-30"))
        self.keep(here, visit(f"{MAI}-1", MAI, MY_KHANH))
        self.keep(here, prescription(MAI, "Paracetamol 500 mg"))
        self.keep(there, visit(f"{NHON_AI}.lan-1", LAN, NHON_AI))
        self.keep(there, prescription(LAN, "Amlodipin 5 mg"))
        self.change(MY_KHANH, LAN, telecom=[{"system": "phone", "value": "0914 000 111"}])
        self.change(NHON_AI, LAN, gender="female")
        self.change(MY_KHANH, HUNG, birthDate="1955-03-12")
        self.change(NHON_AI, HUNG, birthDate="1955-12-03")
        print("    Mỹ Khánh: a new patient with a prescription; Lan's telephone; Hùng's birthday.")
        print("    Nhơn Ái:  a visit of Lan's with a prescription; her gender; Hùng's birthday.")
        time.sleep(3)  # the nodes look at their own logs
        for facility, post in self.post.items():
            print(f"\n    {facility}$ fhir-server sync status")
            print(indented(post.command("sync", "status").stdout))
        self.show_counts()

    def meet(self) -> None:
        for post in self.province.posts:
            post.line.mend()
        say("The lines are back.", "Đường truyền đã có lại.")
        there = self.at[NHON_AI]
        took = until(
            lambda: (
                self.has(there, f"Patient/{LAN}", gender="female")
                and "telecom" in there.ask("GET", f"Patient/{LAN}").json()
                and self.has(self.hub, f"Patient/{MAI}")
                and all(self.heads(facility) for facility in NAMES)
            )
        )
        print(f"    Everything has met {took:.1f} s later:")
        self.show_counts()
        lan = there.ask("GET", f"Patient/{LAN}").json()
        phone = lan["telecom"][0]["value"]
        say(
            f"Lan has the telephone ({phone}) from Mỹ Khánh and the gender ({lan['gender']}) from"
            " Nhơn Ái: two changes of two things are one record.",
            "Cô Lan có số điện thoại do Mỹ Khánh ghi và giới tính do Nhơn Ái ghi: đã được gộp.",
        )

    def heads(self, facility: str) -> list[str]:
        """The versions of Hùng that a post shows side by side."""
        answer = self.at[facility].ask("GET", f"Patient/{HUNG}/$conflict")
        if answer.status_code != 200:
            return []
        return [
            one["valueReference"]["reference"]
            for one in answer.json()["parameter"]
            if one["name"] == "head"
        ]

    def conflict(self) -> None:
        say(
            "Hùng has two birthdays. Nobody but a person can say which is right; both are kept.",
            "Ông Hùng có hai ngày sinh. Chỉ con người mới biết ngày nào đúng; cả hai được giữ lại.",
        )
        tasks = self.at[NHON_AI].ask("GET", "Task?status=requested").json()
        for entry in tasks.get("entry", ()):
            print(indented(entry["resource"].get("description", "")))
        base, heads = self.at[NHON_AI].base, self.heads(NHON_AI)
        print(f"\n    curl -s '{base}/Patient/{HUNG}/$conflict'")
        print("\n    Choose one of them / Chọn một trong hai bản:")
        for head in heads:
            born = self.at[NHON_AI].ask("GET", head).json()["birthDate"]
            print(f"\n    # {born}\n    {self.command(base, heads, head)}")

    def command(self, base: str, heads: list[str], chosen: str) -> str:
        body = shlex.quote(json.dumps(choice(heads, chosen)))
        url = shlex.quote(f"{base}/Patient/{HUNG}/$resolve-conflict")
        return f"curl -s -H 'Content-Type: application/fhir+json' -d {body} {url}"

    def resolve(self) -> None:
        """As the printed command does, where nobody has."""
        heads = self.heads(NHON_AI)
        if len(heads) > 1:
            asked = choice(heads, heads[0])
            answer = self.at[NHON_AI].ask("POST", f"Patient/{HUNG}/$resolve-conflict", asked)
            assert answer.status_code < 300, answer.text
        places = [self.hub, *self.at.values()]
        took = until(lambda: not any(map(self.heads, NAMES)) and len(set(self.born(places))) == 1)
        born = self.born(places)[0]
        say(
            f"It is decided: Hùng was born on {born}, everywhere {took:.1f} s later.",
            f"Đã chọn xong: ông Hùng sinh ngày {born}, ở mọi nơi như nhau.",
        )

    def born(self, places: list[Place]) -> list[str]:
        return [place.ask("GET", f"Patient/{HUNG}").json()["birthDate"] for place in places]


def choice(heads: list[str], chosen: str) -> Resource:
    parts = [{"name": "head", "valueString": head.rpartition("/")[2]} for head in heads]
    return {
        "resourceType": "Parameters",
        "parameter": [*parts, {"name": "choose", "valueString": chosen.rpartition("/")[2]}],
    }


def indented(text: str) -> str:
    return "\n".join(f"      {line}" for line in text.splitlines())


def until(holds: Callable[[], bool]) -> float:
    """Seconds it took. Raises AssertionError where it takes too long."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < PATIENCE, "The hub and the posts do not meet."
        time.sleep(0.3)
    return time.monotonic() - begun


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="demo-sync-") as name:
        folder = Path(name)
        print("Starting a hub and two posts ... / Đang khởi động máy chủ tỉnh và hai trạm ...")
        with Province("", folder, seed=1, posts=(MY_KHANH, NHON_AI)) as province:
            demo = Demo(province)
            demo.tell()
            if sys.stdin.isatty():
                with suppress(EOFError):  # Ctrl-D ends it, too
                    input("\nIt all runs until you press Enter. / Bấm Enter để kết thúc. ")
            demo.resolve()
    say("Nothing of it is left.", "Mọi thứ đã được dọn sạch.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # its servers have ended with it
        say("Stopped. Nothing of it is left.", "Đã dừng. Mọi thứ đã được dọn sạch.")
        sys.exit(130)
