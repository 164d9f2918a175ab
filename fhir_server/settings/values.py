"""values — reading what a setting is told as text, and showing it again.

Each Kind reads a text or raises ValueError with what it wants instead, as in `say true or false`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

Value = TypeVar("Value")
KI, MI, GI = 2**10, 2**20, 2**30


def same(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Kind(Generic[Value]):
    """A kind of value. `redact` shows what was said without what must not be shown."""

    read: Callable[[str], Value]
    show: Callable[[Value], str] = str
    redact: Callable[[str], str] = same

    def has_secret(self, text: str) -> bool:
        """Whether what was said must not be shown as it is."""
        return self.redact(text) != text

    @property
    def is_secret(self) -> bool:
        """Whether all that could be said must not be shown."""
        return self.redact("") != ""

    @property
    def may_be_secret(self) -> bool:
        return self.redact is not same


def read_flag(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True}
    known |= {"0": False, "false": False, "no": False, "off": False}
    if text.strip().lower() not in known:
        raise ValueError("say `true` or `false`")
    return known[text.strip().lower()]


def whole(low: int, high: int) -> Kind[int]:
    """A whole number in ASCII digits, within both bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text.strip()) or not low <= int(text) <= high:
            raise ValueError(f"say a whole number from {low} to {high}")
        return int(text)

    return Kind(read)


def seconds(low: float, high: float) -> Kind[float]:
    def read(text: str) -> float:
        found = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text.strip())
        if not found or not low <= float(text) <= high:
            raise ValueError(f"say a number of seconds from {low:g} to {high:g}")
        return float(text)

    return Kind(read, lambda value: f"{value:g}")


def size_text(bytes: int) -> str:
    for unit, letter in ((GI, "G"), (MI, "M"), (KI, "k")):
        if bytes and bytes % unit == 0:
            return f"{bytes // unit}{letter}"
    return str(bytes)


def size(low: int, high: int) -> Kind[int]:
    """Bytes: `65536`, `64k`, `50M`, `2G`."""

    def read(text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,12})\s*([kKmMgG]?)(?:i?[bB])?", text.strip())
        if found:
            bytes = int(found[1]) * {"": 1, "k": KI, "m": MI, "g": GI}[found[2].lower()]
            if low <= bytes <= high:
                return bytes
        raise ValueError(f"say a size such as `50M`, from {size_text(low)} to {size_text(high)}")

    return Kind(read, size_text)


def choice(*values: str) -> Kind[str]:
    def read(text: str) -> str:
        if text.strip().lower() not in values:
            raise ValueError("say one of " + ", ".join(f"`{each}`" for each in values))
        return text.strip().lower()

    return Kind(read)


def read_zone(text: str) -> str:
    if text.strip().upper() == "Z":
        return "+00:00"
    # The same hours as R4 datatypes#dateTime allows in a zone.
    if not re.fullmatch(r"[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00)", text.strip()):
        raise ValueError("say an offset from UTC such as `+07:00`")
    return text.strip()


def read_path(text: str) -> str:
    """A path that begins with a slash and ends without one, such as `/fhir`."""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text.strip().rstrip("/")):
        raise ValueError("say a path such as `/fhir`")
    return text.strip().rstrip("/")


def read_web_url(text: str) -> str:
    """An http or https URL without query, fragment or password; empty where none is set."""
    if not text.strip():
        return ""
    try:
        parts = urlsplit(text.strip())
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        good = good and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        good = False
    if not good:
        raise ValueError("say a URL such as `https://fhir.example.vn/fhir`")
    return text.strip().rstrip("/")


def read_host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_%-]{1,255}", text.strip()):
        raise ValueError("say an address such as `127.0.0.1`, or a host name")
    return text.strip()


def read_hosts(text: str) -> tuple[str, ...]:
    """Names of hosts as a request's `Host` has them, without a port; `*` is any."""
    found = tuple(part.strip().rstrip(".").lower() for part in text.split(",") if part.strip())
    for each in found:
        if each != "*" and not re.fullmatch(r"[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\]", each):
            raise ValueError("say names such as `fhir.example.vn`, with commas between, or `*`")
    return found


def read_origins(text: str) -> tuple[str, ...]:
    found = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for each in found:
        if each != "*" and not re.fullmatch(r"https?://[^\s/?#@,]+", each):
            raise ValueError("say origins such as `https://app.example.vn`, with commas between")
    return found


def read_database_url(text: str) -> str:
    if not re.match(r"(sqlite:///|postgres(ql)?://).", text.strip()):
        raise ValueError(
            "say `sqlite:///./data/fhir.db` (a file) or `postgresql://USER:PASSWORD@HOST/NAME`"
        )
    return text.strip()


def without_password(url: str) -> str:
    """A database URL as it may be shown."""
    without = re.sub(r"(?<=://)([^/@:]*):[^/]*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&]password=)[^&]*", r"\1***", without)


FLAG = Kind(read_flag, lambda value: "true" if value else "false")
ZONE = Kind(read_zone)
PATH = Kind(read_path)
FOLDER = Kind(str.strip)
HOST = Kind(read_host)
WEB_URL = Kind(read_web_url)
ORIGINS = Kind(read_origins, ",".join)
HOSTS = Kind(read_hosts, ",".join)
DATABASE_URL = Kind(read_database_url, without_password, without_password)
SECRET = Kind(same, lambda value: "***" if value else "", lambda _: "***")
