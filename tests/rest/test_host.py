"""By which names the server may be asked for: not by one that a page has made for itself.

https://hl7.org/fhir/R4/http.html#root
"""

from __future__ import annotations

import pytest

from fhir_server.cli.running import hosts_of, rest_options
from fhir_server.rest.app import create_app
from fhir_server.rest.host import name_of
from fhir_server.rest.options import Options
from fhir_server.settings import Settings
from tests.rest.client import Client, on_one_database

LOCAL = ("127.0.0.1", "[::1]", "localhost")

# the settings                                                      the names; none: any
SETTINGS = [
    ({}, LOCAL),
    ({"host": "::1"}, LOCAL),
    ({"host": "127.0.0.2"}, ("127.0.0.1", "127.0.0.2", "[::1]", "localhost")),
    ({"host": "0.0.0.0"}, ()),
    ({"allowed_hosts": ("*",)}, ()),
    ({"allowed_hosts": ("a.vn",)}, ("127.0.0.1", "[::1]", "a.vn", "localhost")),
    ({"public_base_url": "https://B.vn:8/fhir"}, ("127.0.0.1", "[::1]", "b.vn", "localhost")),
    (
        {"host": "0.0.0.0", "allowed_hosts": ("a.vn",)},
        ("0.0.0.0", "127.0.0.1", "[::1]", "a.vn", "localhost"),
    ),
]


@pytest.mark.parametrize(("told", "names"), SETTINGS)
def test_a_laptops_server_is_asked_for_by_the_laptops_names(told, names):
    assert hosts_of(Settings(**told)) == names
    assert rest_options(Settings(**told)).allowed_hosts == names


NAMES = [
    ("localhost", "localhost"),
    ("LOCALHOST:8000", "localhost"),
    ("127.0.0.1:8000", "127.0.0.1"),
    ("[::1]:8000", "[::1]"),
    ("a.vn.:80", "a.vn"),
    ("localhost.evil.example", "localhost.evil.example"),
    ("127.0.0.1.nip.io:8000", "127.0.0.1.nip.io"),
    ("", ""),
    ("[", "["),
]


@pytest.mark.parametrize(("told", "name"), NAMES)
def test_a_host_is_told_by_its_name(told, name):
    assert name_of(told) == name


PATHS = ["/fhir/Patient", "/fhir/metadata", "/", "/metrics", "/openapi.json", "/nowhere"]


@on_one_database
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8000"])
async def test_a_page_that_gave_its_own_name_this_address_reads_nothing(client_with, path, host):
    client = client_with(allowed_hosts=LOCAL)
    told = await client.get(path, headers={"Host": host})
    assert told.status == 400
    assert "`allowed_hosts`" in told.issue["diagnostics"]
    assert "evil" not in told.body.decode()
    for own in ("localhost:8000", "127.0.0.1", "[::1]:9"):
        assert (await client.get("/fhir/Patient", headers={"Host": own})).status == 200


@on_one_database
async def test_whether_it_lives_is_told_under_any_name(client_with):
    client = client_with(allowed_hosts=LOCAL)
    for path in ("/livez", "/readyz"):
        assert (await client.get(path, headers={"Host": "10.1.2.3:8000"})).status == 200


@on_one_database
async def test_what_the_proxy_says_it_was_asked_by_is_one_of_them_too(server):
    options = Options(allowed_hosts=(*LOCAL, "fhir.example.vn"), trust_proxy=True)
    client = Client(create_app(server, options), host="localhost")
    for host, status in (("fhir.example.vn", 200), ("evil.example", 400)):
        told = await client.get("/fhir/Patient", headers={"X-Forwarded-Host": host})
        assert told.status == status
