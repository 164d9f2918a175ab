"""language — BCP 47 language tags, by their grammar.

https://hl7.org/fhir/R4/valueset-all-languages.html
https://www.rfc-editor.org/rfc/rfc5646#section-2.1

Of the registry only the languages of two letters and the countries are checked; languages of
three letters, scripts and variants by their form.
"""

from __future__ import annotations

import re

from fhir_server.terminology.syntax.lists import table
from fhir_server.terminology.syntax.rules import Rules

# RFC 5646 2.1:  langtag = language ["-" script] ["-" region] *("-" variant)
#                          *("-" extension) ["-" privateuse]
TAG = re.compile(
    r"(?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{5,8})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3})){0,8})"
    r"(?P<extensions>(?:-[a-wy-z0-9](?:-[a-z0-9]{2,8}){1,8}){0,8})"
    r"(?P<private>-x(?:-[a-z0-9]{1,8}){1,8})?"
)
PRIVATE = re.compile(r"x(?:-[a-z0-9]{1,8}){1,8}")
# RFC 5646 2.2.8: tags that were registered before the grammar and do not fit it
IRREGULAR = frozenset(
    [
        "en-gb-oed",
        "i-ami",
        "i-bnn",
        "i-default",
        "i-enochian",
        "i-hak",
        "i-klingon",
        "i-lux",
        "i-mingo",
        "i-navajo",
        "i-pwn",
        "i-tao",
        "i-tay",
        "i-tsu",
        "sgn-be-fr",
        "sgn-be-nl",
        "sgn-ch-de",
    ]
)
# Codes the registry keeps that are no country of ISO 3166 today, and those for private use
OTHER_REGIONS = frozenset(
    [
        "AA",
        "AC",
        "AN",
        "BU",
        "CP",
        "CS",
        "DD",
        "DG",
        "EA",
        "EU",
        "EZ",
        "FX",
        "IC",
        "NT",
        "SU",
        "TA",
        "TP",
        "UN",
        "YD",
        "YU",
        "ZR",
        "ZZ",
    ]
)
PRIVATE_REGION = re.compile("Q[M-Z]|X[A-Z]")


class Languages(Rules):
    url = "urn:ietf:bcp:47"
    name = "BCP47"

    def __init__(self) -> None:
        self._languages = {row["code"]: row["name"] for row in table("languages")}
        self._regions = {row["alpha2"]: row["name"] for row in table("countries")}

    def reading(self, code: str) -> tuple[str, str] | None:
        folded = code.lower()
        if folded in IRREGULAR or PRIVATE.fullmatch(folded):
            return folded, folded
        found = TAG.fullmatch(folded)
        if found is None:
            return None
        language, region = found["language"], (found["region"] or "").upper()
        name = self._languages.get(language.partition("-")[0])
        if name is None and len(language.partition("-")[0]) == 2:
            return None
        if region and not self._is_region(region):
            return None
        parts = [language, (found["script"] or "").title(), region]
        written = "-".join(filter(None, parts)) + "".join(
            found[part] or "" for part in ("variants", "extensions", "private")
        )
        where = self._regions.get(region, region)
        display = f"{name or language} ({where})" if region else name or language
        return written, display

    def _is_region(self, region: str) -> bool:
        known = region.isdigit() or region in self._regions or region in OTHER_REGIONS
        return known or PRIVATE_REGION.fullmatch(region) is not None
