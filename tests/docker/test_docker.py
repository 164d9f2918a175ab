"""The image and the compose files keep the rules that matter; no container engine is needed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from fhir_server.settings import gather

ROOT = Path(__file__).parent.parent.parent
DOCKER = ROOT / "docker"
COMPOSE = ("compose.yaml", "compose.postgres.yaml")
OURS = re.compile(r"server(-\d+)?")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its whole text."""
    text = (DOCKER / "Dockerfile").read_text("utf-8")
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    found = [line.partition(" ")[::2] for line in lines]
    assert all(re.fullmatch("[A-Z]+", word) for word, _ in found)
    return [(word, rest.strip()) for word, rest in found]


def last(word: str) -> str:
    return [rest for each, rest in instructions() if each == word][-1]


def environment() -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", last("ENV")))


def compose(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((DOCKER / name).read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def servers(name: str) -> dict[str, dict[str, Any]]:
    services = compose(name)["services"]
    return {each: services[each] for each in services if OURS.fullmatch(each)}


def test_the_image_is_built_in_two_stages_from_pinned_releases() -> None:
    stages = [rest for word, rest in instructions() if word == "FROM"]
    assert len(stages) == 2
    assert all(re.match(r"python:3\.\d+-slim-\w+", stage) for stage in stages)


def test_the_server_does_not_run_as_root() -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last("USER"))
    after = [word for word, _ in instructions()]
    assert "RUN" not in after[len(after) - after[::-1].index("USER") :]


def test_the_image_says_when_it_is_well() -> None:
    assert "/readyz" in last("HEALTHCHECK")
    assert "curl" not in last("HEALTHCHECK"), "the image has none"
    code = re.search(r'"-c", "(.*)"\]', last("HEALTHCHECK"))
    assert code
    compile(code[1].replace('\\"', '"'), "HEALTHCHECK", "exec")


def test_what_is_copied_is_there_and_let_through() -> None:
    kept = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source.removeprefix("./")).exists(), source
                assert f"!{source.removeprefix('./')}" in kept, source


def test_what_the_package_is_built_from_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*wheel["packages"], *wheel.get("force-include", {}), project["project"]["readme"]]
    copied = " ".join(rest for word, rest in instructions() if word == "COPY")
    assert all(re.search(rf"(^|\s)(\./)?{re.escape(name)}\s", copied) for name in needed), needed


def test_the_image_is_not_open_until_somebody_says_so() -> None:
    assert "FHIR_ALLOW_OPEN" not in environment()


def test_what_the_image_sets_are_settings() -> None:
    told = {name: value for name, value in environment().items() if name.startswith("FHIR_")}
    found = gather(told)
    assert found.strangers == ()
    assert set(told) <= set(found.sources.values())
    assert found.settings.database_url == "sqlite:////data/fhir.db"


@pytest.mark.parametrize("name", COMPOSE)
def test_what_compose_sets_are_settings(name: str) -> None:
    for service in servers(name).values():
        told = {**environment(), **service["environment"]}
        told = {key: value for key, value in told.items() if key.startswith("FHIR_")}
        assert all(isinstance(value, str) for value in told.values())
        found = gather(told)
        assert set(told) <= set(found.sources.values())
        assert found.settings.allow_open


@pytest.mark.parametrize("name", COMPOSE)
def test_only_loopback_is_published(name: str) -> None:
    for service in compose(name)["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", COMPOSE)
def test_a_server_has_no_rights_it_does_not_need(name: str) -> None:
    for service in servers(name).values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]
        assert not service.get("privileged")


@pytest.mark.parametrize("name", COMPOSE)
def test_a_server_is_given_time_to_finish(name: str) -> None:
    for service in servers(name).values():
        given = int(service["stop_grace_period"].removesuffix("s"))
        assert given > gather({}).settings.stop_timeout


@pytest.mark.parametrize("name", COMPOSE)
def test_records_are_on_a_volume_that_is_declared(name: str) -> None:
    loaded = compose(name)
    used = [
        volume.partition(":")[0]
        for service in loaded["services"].values()
        for volume in service.get("volumes", [])
    ]
    assert "records" in used
    assert {volume for volume in used if not volume.startswith(".")} == set(loaded["volumes"])
    for volume in used:
        if volume.startswith("."):
            assert (DOCKER / volume).is_file(), volume


def test_two_servers_share_one_database_behind_a_proxy() -> None:
    name = "compose.postgres.yaml"
    services = compose(name)["services"]
    assert len(servers(name)) == 2
    proxy = (DOCKER / "Caddyfile").read_text("utf-8")
    for server in servers(name):
        assert f"{server}:8000" in proxy
        assert server in services["proxy"]["depends_on"]
    assert "/readyz" in proxy
    assert proxy.count("{") == proxy.count("}")


def test_no_password_is_written_down() -> None:
    text = (DOCKER / "compose.postgres.yaml").read_text("utf-8")
    for value in re.findall(r"^ +POSTGRES_PASSWORD: *(\S+)", text, re.MULTILINE):
        assert value.startswith("${POSTGRES_PASSWORD:?")
