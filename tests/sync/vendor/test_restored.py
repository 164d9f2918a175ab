"""The other vendor's node at a hub that came back from a backup: by the command, and by a copy of
which nobody has told the hub."""

from __future__ import annotations

import pytest

from tests.attack import LONG
from tests.sync.setback import copied
from tests.sync.vendor.test_story import measured, person, registered, state, told

# A hub takes seconds to start: on both databases in the long form.
DATABASES = ["sqlite", "postgresql"] if LONG else ["sqlite"]
pytestmark = pytest.mark.parametrize("province", DATABASES, indirect=True, scope="package")


def by_the_command(process, folder):
    """As docs/how-to/backup-and-restore.md says it."""
    file = folder / "backup"
    process.must("backup", str(file))

    def back():
        process.must("restore", str(file), "--replace", "--no-verify")

    return back


def by_a_copy(process, folder):
    return copied(process.url)


# So does each command.
@pytest.mark.parametrize("way", [by_a_copy, by_the_command] if LONG else [by_a_copy])
def test_what_the_hub_has_lost_it_is_sent_again_by_whoever_holds_it(province, tmp_path, way):
    name = way.__name__.replace("_", "-")
    patient, kept, lost, bad, of_hub = (f"hue.{name}-{what}" for what in "pklbh")
    node = registered(province, patient)
    node.write("Observation", kept, measured(kept, patient))
    node.push()
    told(node, lambda: node.of("Patient", patient)[0].patient)
    process, worker = province.process, province.worker("hue")
    back = way(process, tmp_path)

    missed = node.write("Observation", lost, measured(lost, patient))
    wrong = node.write("Observation", bad, measured(bad, patient, status="nope"))
    node.push()
    assert worker.ask("PUT", f"Observation/{of_hub}", measured(of_hub, patient)).status_code == 201
    told(node, lambda: node.shown("Observation", of_hub))
    epochs = node.disk.epochs

    process.kill()
    back()
    process.start()
    for id in (lost, of_hub):
        assert worker.ask("GET", f"Observation/{id}").status_code == 404
    new = f"hue.{name}-n"
    assert worker.ask("PUT", f"Patient/{new}", person(new, "hue")).status_code == 201
    node.heard -= 60  # a minute has passed
    node.pull()
    assert len(node.disk.epochs.split()) == len(epochs.split()) + 1
    assert {state(node, "Observation", lost, missed), state(node, "Observation", bad, wrong)} == {
        "unsent"
    }
    node.push()
    for id in (kept, lost, of_hub):
        assert worker.ask("GET", f"Observation/{id}").status_code == 200
        history = worker.ask("GET", f"Observation/{id}/_history").json()
        assert len(history["entry"]) == 1
    assert state(node, "Observation", lost, missed) == "confirmed"
    assert state(node, "Observation", bad, wrong) == "kept apart"
    told(node, lambda: node.shown("Patient", new))
    assert not node.unsent
