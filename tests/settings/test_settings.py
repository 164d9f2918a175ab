"""Settings are read from options, then variables, then defaults; a bad one is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.settings import TABLE, Line, SettingRefused, Settings, gather

# how it is told                     the value read
READ = [
    ({"FHIR_PORT": "9000"}, "port", 9000),
    ({"FHIR_PORT": " 9000 "}, "port", 9000),
    ({"FHIR_MAX_BODY": "50M"}, "max_body", 50 * 2**20),
    ({"FHIR_MAX_BODY": "64 kB"}, "max_body", 64 * 2**10),
    ({"FHIR_MAX_BODY": "1GiB"}, "max_body", 2**30),
    ({"FHIR_MAX_BODY": "65536"}, "max_body", 65536),
    ({"FHIR_MANY_DELETES": "yes"}, "many_deletes", True),
    ({"FHIR_MIGRATE": "0"}, "migrate", False),
    ({"FHIR_ZONE": "Z"}, "zone", "+00:00"),
    ({"FHIR_ZONE": "-03:30"}, "zone", "-03:30"),
    ({"FHIR_BASE_PATH": "/r4/"}, "base_path", "/r4"),
    ({"FHIR_PUBLIC_BASE_URL": "https://a.vn/fhir/"}, "public_base_url", "https://a.vn/fhir"),
    ({"FHIR_CORS_ORIGINS": "https://a.vn, http://b:81"}, "cors_origins", ("https://a.vn", "http://b:81")),
    ({"FHIR_CORS_ORIGINS": ""}, "cors_origins", ()),
    ({"FHIR_ALLOWED_HOSTS": "A.vn., [::1],*"}, "allowed_hosts", ("a.vn", "[::1]", "*")),
    ({"FHIR_CLIENT_RATE": "0"}, "client_rate", 0),
    ({"FHIR_REQUEST_TIMEOUT": "2.5"}, "request_timeout", 2.5),
    ({"FHIR_LOG_LEVEL": "WARNING"}, "log_level", "warning"),
]  # fmt: skip

# what cannot be meant               what the sentence says
REFUSED = [
    ({"FHIR_PORT": "abc"}, "`FHIR_PORT` is `abc`"),
    ({"FHIR_PORT": "70000"}, "0 to 65535"),
    ({"FHIR_PORT": "-1"}, "`FHIR_PORT`"),
    ({"FHIR_PORT": "８０００"}, "`FHIR_PORT`"),
    ({"FHIR_PORT": "tcp://10.0.0.1:80"}, "`FHIR_PORT`"),
    ({"FHIR_PORT": ""}, "`FHIR_PORT` is ``"),
    ({"FHIR_MAX_BODY": "3T"}, "`50M`"),
    ({"FHIR_MAX_BODY": "9" * 5000}, "`FHIR_MAX_BODY`"),
    ({"FHIR_MANY_DELETES": "perhaps"}, "`true` or `false`"),
    ({"FHIR_ZONE": "7"}, "`+07:00`"),
    ({"FHIR_ZONE": "+15:00"}, "`+07:00`"),
    ({"FHIR_BASE_PATH": "fhir"}, "`/fhir`"),
    ({"FHIR_BASE_PATH": "/a b"}, "`/fhir`"),
    ({"FHIR_PUBLIC_BASE_URL": "ftp://a"}, "`https://fhir.example.vn/fhir`"),
    ({"FHIR_PUBLIC_BASE_URL": "https://a/?x=1"}, "`FHIR_PUBLIC_BASE_URL`"),
    ({"FHIR_PUBLIC_BASE_URL": "https://[a"}, "`FHIR_PUBLIC_BASE_URL`"),
    ({"FHIR_CORS_ORIGINS": "a.vn"}, "commas"),
    ({"FHIR_HOST": "a b"}, "`127.0.0.1`"),
    ({"FHIR_ALLOWED_HOSTS": "https://a.vn"}, "`FHIR_ALLOWED_HOSTS`"),
    ({"FHIR_ALLOWED_HOSTS": "a.vn:8000"}, "`fhir.example.vn`"),
    ({"FHIR_CLIENT_RATE": "-1"}, "`FHIR_CLIENT_RATE`"),
    ({"FHIR_MAX_CONNECTIONS": "1"}, "4 to 100000"),
    ({"FHIR_TLS_MINIMUM": "1.1"}, "`1.2`"),
    ({"FHIR_TLS_CERTIFICATE": "a.pem"}, "`FHIR_TLS_KEY` is empty"),
    ({"FHIR_TLS_KEY": "a.pem"}, "`FHIR_TLS_CERTIFICATE` is empty"),
    ({"FHIR_REQUEST_TIMEOUT": "nan"}, "seconds"),
    ({"FHIR_LOG_LEVEL": "loud"}, "`debug`"),
    ({"FHIR_DATABASE_URL": "mysql://x"}, "`sqlite:///./data/fhir.db`"),
    ({"FHIR_DATABASE_URL": "sqlite:///"}, "`FHIR_DATABASE_URL`"),
    ({"FHIR_SECRET": "short"}, "`FHIR_SECRET` is shorter"),
    ({"FHIR_ACCESS": "maybe"}, "`off`, `on`"),
    ({"FHIR_PROVIDER": "https://idp.vn"}, "`FHIR_PUBLIC_BASE_URL`"),
    ({"FHIR_REFRESH_DAYS": "-1"}, "`FHIR_REFRESH_DAYS`"),
    (
        {
            "FHIR_PROVIDER": "https://idp.vn",
            "FHIR_PUBLIC_BASE_URL": "https://fhir.vn",
            "FHIR_PROVIDER_CONFIGURATION": "off",
        },
        "`FHIR_PROVIDER_KEYS`",
    ),
    ({"FHIR_PAGE_SIZE": "2000"}, "`FHIR_MAX_PAGE_SIZE`"),
    ({"FHIR_WORKERS": "2"}, "SQLite has one writer"),
]


@pytest.mark.parametrize(("told", "name", "value"), READ)
def test_a_value_is_read_as_it_is_meant(told: dict[str, str], name: str, value: object) -> None:
    assert getattr(gather(told).settings, name) == value


@pytest.mark.parametrize(("told", "said"), REFUSED)
def test_what_cannot_be_meant_is_refused_by_its_name(told: dict[str, str], said: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        gather(told)
    assert said in str(refused.value)


def test_an_option_comes_before_a_variable_and_that_before_the_default() -> None:
    found = gather({"FHIR_PORT": "1", "FHIR_HOST": "::1"}, {"port": "2"})
    assert (found.settings.port, found.settings.host, found.settings.workers) == (2, "::1", 1)
    assert (found.sources["port"], found.sources["host"]) == ("--port", "FHIR_HOST")
    assert found.sources["workers"] == "default"


def test_a_refused_option_is_named_as_an_option() -> None:
    with pytest.raises(SettingRefused, match="`--port` is `x`"):
        gather({"FHIR_PORT": "1"}, {"port": "x"})


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.name)
def test_every_default_is_read_back_from_how_it_is_shown(line: Line) -> None:
    assert line.told.kind.read(line.shown(line.default)) == line.default


def test_no_refusal_and_no_table_shows_a_password() -> None:
    url = "postgresql://fhir:hidden@db/fhir?password=hidden"
    settings = gather({"FHIR_DATABASE_URL": url, "FHIR_SECRET": "hidden-hidden-hidden"}).settings
    assert "hidden" not in " ".join(line.shown(getattr(settings, line.name)) for line in TABLE)
    with pytest.raises(SettingRefused) as refused:
        gather({"FHIR_DATABASE_URL": "mysql://fhir:hidden@db/fhir"})
    assert "hidden" not in str(refused.value)


# --- secrets -------------------------------------------------------------------------------------

HIDDEN = "postgresql://fhir:hidden@db/fhir"


def test_v5_0_0_13_3_1_a_secret_is_read_from_the_file_a_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{HIDDEN}\n")
    found = gather({"FHIR_DATABASE_URL_FILE": str(file)})
    assert found.settings.database_url == HIDDEN
    assert found.sources["database_url"] == "FHIR_DATABASE_URL_FILE"
    assert found.strangers == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "is empty or longer"),
        (b" \n", "is empty or longer"),
        (b"x" * 70_000, "is empty or longer"),
        (b"\xff\xfe\x00", "it is not text"),
        (b"hidden", "shorter than 16"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_by_its_variable(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingRefused, match=said) as refused:
        gather({"FHIR_SECRET_FILE": str(file)})
    assert "`FHIR_SECRET_FILE`" in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_a_secret_told_twice_is_refused() -> None:
    with pytest.raises(SettingRefused, match="both set"):
        gather({"FHIR_SECRET": "s" * 20, "FHIR_SECRET_FILE": "s"})


def test_only_what_may_be_secret_is_read_from_a_file() -> None:
    found = gather({"FHIR_PORT_FILE": "p"})
    assert found.settings.port == 8000


def test_v5_0_0_13_3_1_no_secret_is_taken_from_the_command_line() -> None:
    """What a program was started with is shown by `ps` to everybody on the machine."""
    assert not any(line.has_option for line in TABLE if line.name == "secret")
    with pytest.raises(SettingRefused, match="`FHIR_DATABASE_URL_FILE`") as refused:
        gather({}, {"database_url": HIDDEN})
    assert "hidden" not in str(refused.value)
    assert gather({}, {"database_url": "postgresql://fhir@db/fhir"}).settings.database_url


def test_a_slip_of_the_finger_is_told() -> None:
    assert "`FHIR_PORT`" in gather({"FHIR_PRT": "1"}).strangers[0]
    assert gather({"FHIR_TEST_SOMETHING_ELSE": "1", "PATH": "/"}).strangers == ()


@pytest.mark.parametrize(("zone", "minutes"), [("+07:00", 420), ("-03:30", -210), ("Z", 0)])
def test_the_zone_is_known_in_minutes(zone: str, minutes: int) -> None:
    assert gather({"FHIR_ZONE": zone}).settings.zone_minutes == minutes


def test_the_defaults_are_the_settings_of_a_laptop() -> None:
    defaults = Settings()
    assert defaults.host == "127.0.0.1"
    assert not defaults.allow_open
    assert defaults.cors_origins == ()
