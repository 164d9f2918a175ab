"""`fhir-server terminology`, run as a person runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.terminology.test_release import SAMPLES
from tests.test_cli import PROGRAM, environment, fhir_server

HEAD = "LOINC_NUM,LONG_COMMON_NAME,STATUS\n"


def test_a_release_is_loaded_listed_and_removed(tmp_path) -> None:
    loaded = fhir_server("terminology", "load", str(SAMPLES / "code-system.json"), at=tmp_path)
    assert loaded.stdout.startswith("Loaded Large 1: 3 concepts, data/terminology/")
    listed = fhir_server("terminology", "list", at=tmp_path)
    assert "http://example.org/large|1  3 concepts  from code-system.json" in listed.stdout
    again = fhir_server("terminology", "load", str(SAMPLES / "code-system.json"), at=tmp_path)
    assert again.returncode == 0
    removed = fhir_server("terminology", "remove", "http://example.org/large|1", at=tmp_path)
    assert removed.returncode == 0
    assert "No code system was loaded" in fhir_server("terminology", "list", at=tmp_path).stdout


# what is asked                                                what is said of it
REFUSED = [
    (("load", "nothing.zip"), "There is no file `nothing.zip`."),
    (("load", str(SAMPLES / "icd10-table.csv")), "does not say its version"),
    (("load", "x", "--since", "soon"), "`--since` is `soon`"),
    (("load", "x", "--column", "code"), "say a column and its place"),
    (("remove", "http://loinc.org"), "was not loaded"),
    (("remove", "../x"), "was not loaded"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_what_cannot_be_meant_is_refused_in_a_sentence(tmp_path, words, said) -> None:
    refused = fhir_server("terminology", *words, at=tmp_path)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_load_that_was_killed_goes_on_and_is_whole(tmp_path) -> None:
    release = tmp_path / "Loinc_9.9" / "Loinc.csv"
    release.parent.mkdir()
    rows = (f"{n}-1,Invented number {n},ACTIVE\n" for n in range(60_000))
    release.write_text(HEAD + "".join(rows))
    words = [*PROGRAM, "terminology", "load", str(release.parent)]
    begun = subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)
    folder = tmp_path / "data" / "terminology"
    until = time.monotonic() + 60
    while not any(each.stat().st_size > 500_000 for each in folder.glob("*.part*")):
        assert begun.poll() is None, "it was done before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    assert not list(folder.glob("*.concepts"))
    assert "was broken off" in fhir_server("terminology", "list", at=tmp_path).stderr
    done = fhir_server("terminology", "load", str(release.parent), at=tmp_path)
    assert "60,000 concepts" in done.stdout, done.stderr
    assert [each.suffix for each in folder.iterdir()] == [".concepts"]
