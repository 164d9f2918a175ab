"""site — whose definitions these are: the base of our own URLs, and the systems of identifiers.

https://hl7.org/fhir/R4/references.html#canonical
https://hl7.org/fhir/R4/identifier-registry.html

What VN Core names is taken as it names it. Where its guide names nothing, or its name is known only
second-hand, the URL begins with OWN, so that nobody takes ours for theirs. OWN is told once, in
`terminology/site.toml`.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from fhir_server.terminology.files import folder, identifier_systems

VN_CORE = "http://fhir.hl7.org.vn/core"
BASE = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*[^\s/?#])?")


@cache
def site(path: Path | None = None) -> dict[str, str]:
    """What `site.toml` says: base, publisher, jurisdiction."""
    told = path or folder() / "site.toml"
    try:
        found = tomllib.loads(told.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as wrong:
        raise ValueError(f"`{told}` is not TOML: {wrong}.") from wrong
    needed = ("base", "publisher", "jurisdiction")
    for name in (name for name in needed if not isinstance(found.get(name), str)):
        raise ValueError(f'`{told}` needs `{name}`, a text: {name} = "...".')
    if not BASE.fullmatch(found["base"]):
        raise ValueError(
            f"`base` in `{told}` is `{found['base']}`; it is a URL without a slash at its end, as "
            "`https://fhir.cantho.example`."
        )
    return found


OWN = site()["base"]


def _system(key: str, told: str | None) -> str:
    named = (told or "").strip()
    return named.split()[0] if named.startswith("http") else f"{OWN}/sid/{key}"


SID = {row["key"]: _system(row["key"], row["vncore"]) for row in identifier_systems()}


def mrn_system(facility: str) -> str:
    """Each facility numbers its own patients, so each has its own system."""
    return f"{SID['mrn']}/{facility}"
