"""wire — bytes to resource and back, keeping every number as it was written.

https://hl7.org/fhir/R4/json.html

Nothing else turns bytes into a resource or a resource into bytes. What JSON leaves open is refused
here: a name given twice, lone surrogates, NUL, anything deeper than the bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, Self

import msgspec
import orjson

from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.foundation.resource import Resource

MAX_DEPTH = 100

BOM = b"\xef\xbb\xbf"  # RFC 8259 8.1: a parser may ignore it
# RFC 8259 6:  [ - ] int [ frac ] [ exp ]
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
RESOURCE_TYPE = re.compile(r"[A-Z][A-Za-z]{0,63}")
SURROGATE = re.compile("[\ud800-\udfff]")
SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
BYTE = re.compile(r"\(byte (\d+)\)")
STRING = re.compile(rb'"[^"]*"')
NOT_STRUCTURE = bytes(set(range(256)) - set(b'{}[]"'))
TO_BRACES = bytes.maketrans(b"[]", b"{}")
INTEGER_64 = range(-(2**63), 2**64)  # what orjson writes by itself


class Written(Decimal):
    """A decimal whose text Python would write differently: `1e-7`, `1E400`."""

    text: str

    def __new__(cls, text: str) -> Self:
        if not NUMBER.fullmatch(text):
            raise ValueError(f"`{text}` is not a JSON number")
        new = super().__new__(cls, text)
        new.text = text
        return new

    def __str__(self) -> str:
        return self.text


def _decimal(text: str) -> Decimal:
    """The decimal a JSON number means. Raises InvalidOperation where the exponent is absurd."""
    value = Decimal(text)
    return value if str(value) == text else Written(text)


def decimal(text: str) -> Decimal:
    """A decimal from its text, for other formats than JSON. Raises Invalid."""
    try:
        if NUMBER.fullmatch(text):
            return _decimal(text)
    except InvalidOperation:
        pass
    raise Invalid(f"`{text[:50]}` is not a decimal. Write digits, with `.` before the fraction.")


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"{value!r} has no JSON")


def render(value: Any) -> bytes:
    """The value as compact JSON. Raises Invalid where no valid JSON says it."""
    return _render(value, 0)


def render_pretty(value: Any) -> bytes:
    """The value as JSON for people, indented by two."""
    return _render(value, orjson.OPT_INDENT_2)


def _render(value: Any, option: int) -> bytes:
    try:
        return orjson.dumps(value, default=_fragment, option=option)
    except TypeError as error:
        reason = str(error)
    if "64-bit" in reason:
        return orjson.dumps(_with_fragments(value), default=_fragment, option=option)
    if "surrogate" in reason:
        raise Invalid("The content has half of a surrogate pair, which is not a character.")
    if "ecursion" in reason:
        raise Invalid("The content is nested too deep to be written as JSON.")
    raise TypeError(reason)


def _with_fragments(value: Any) -> Any:
    """The same value, integers that orjson cannot write being ready as text."""
    match value:
        case dict():
            return {name: _with_fragments(item) for name, item in value.items()}
        case list() | tuple():
            return [_with_fragments(item) for item in value]
        case int() if value not in INTEGER_64:
            return orjson.Fragment(str(value))
        case _:
            return value


# --- reading -------------------------------------------------------------------------------------

_decoder = msgspec.json.Decoder(float_hook=_decimal)


def parse(body: bytes, *, max_depth: int = MAX_DEPTH) -> Resource:
    """The resource a JSON body holds. Raises Invalid, naming the place where it can be told."""
    value = parse_json(body, max_depth=max_depth)
    if value.__class__ is not dict:
        raise Invalid('The body is not a JSON object. Send one resource, `{"resourceType": ...}`.')
    type = value.get("resourceType")
    if type is None:
        raise Invalid("`resourceType` is missing: name the resource's type, such as `Patient`.")
    if type.__class__ is not str or not RESOURCE_TYPE.fullmatch(type):
        raise Invalid(
            f"`resourceType` is {_shown(type)}; it must be the name of a resource's type, "
            "such as `Patient`.",
            expression="resourceType",
        )
    return value


def parse_json(body: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Any JSON value, under the same rules: a JSON Patch is a list."""
    body = bytes(body)
    if body.startswith(BOM):
        body = body[len(BOM) :]
    if _deeper(body, max_depth):
        raise Invalid(f"The body is nested deeper than {max_depth} levels.")
    try:
        value = _decoder.decode(body)
        again = render(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidOperation) as error:
        _refuse(body, error)
    # A name given twice loses its quotes on the way, `-0` its sign: only then look closer.
    if body != again and (_quotes(body) != _quotes(again) or body.count(b"-") != again.count(b"-")):
        value = _slowly(body)
    if b"\\u0000" in again:
        _refuse_characters(value)
    return value


def _quotes(text: bytes) -> int:
    """How many quotes begin or end a string."""
    return _without_escapes(text).count(b'"')


def _without_escapes(text: bytes) -> bytes:
    """The text without escaped backslashes and quotes: each quote left is one of JSON's own."""
    if b"\\\\" in text:
        text = text.replace(b"\\\\", b"")
    return text.replace(b'\\"', b"") if b"\\" in text else text


def _deeper(body: bytes, bound: int) -> bool:
    """Whether the brackets of a body are nested deeper, told without recursion.

    With its strings gone and every bracket a brace, a body loses one level of nesting with each
    removal of `{}`. What is left of a malformed body is braces that never close.
    """
    if body.count(b"{") + body.count(b"[") <= bound:
        return False
    structure = _without_escapes(body).translate(TO_BRACES, NOT_STRUCTURE)
    braces = STRING.sub(b"", structure.replace(b'""', b""))
    for _ in range(bound):
        fewer = braces.replace(b"{}", b"")
        if len(fewer) == len(braces):
            break
        braces = fewer
    return b"{}" in braces or braces.count(b"{") > bound


# --- telling what is wrong: only for a body already known to be odd ------------------------------


class _Doubled(dict[str, Any]):
    """An object that gave a name twice."""

    name: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = _Doubled(found)
    seen = set[str]()
    for name, _ in pairs:
        if name in seen:
            doubled.name = name
            break
        seen.add(name)
    return doubled


def _integer(text: str) -> int | Decimal:
    return Written(text) if text == "-0" else int(text)


def _slowly(body: bytes) -> Any:
    """The value of a well-formed body, after a look for names given twice."""
    value = json.loads(body, object_pairs_hook=_object, parse_float=_decimal, parse_int=_integer)
    for path, item in _walk(value):
        if isinstance(item, _Doubled):
            place = f" in `{path}`" if path else ""
            raise Invalid(
                f"`{_short(item.name)}` is given twice{place}. Give each name once; a repeating "
                "element is one array.",
                expression=path or None,
            )
    return value


def _refuse(body: bytes, error: Exception) -> NoReturn:
    """Raise Invalid with the best account of why a body cannot be read."""
    if isinstance(error, RecursionError):
        raise Invalid("The body is nested too deep to be read.") from None
    if isinstance(error, UnicodeDecodeError):
        _refuse_encoding(body)
    if isinstance(error, (InvalidOperation, msgspec.ValidationError)):
        raise Invalid("The body has a number too long or too large to be read.") from None
    if SURROGATE_ESCAPE.search(body):
        _refuse_surrogates(body)
    if b"\0" in body[:4] or body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise Invalid("The body looks like UTF-16 or UTF-32. Send JSON in UTF-8.") from None
    if not body.strip():
        raise Invalid("The body is empty. Send a resource as JSON.") from None
    reason = str(error).partition("(byte")[0].removeprefix("JSON is malformed:").strip()
    if found := BYTE.search(str(error)):
        at = int(found[1])
    else:
        at, reason = len(body), "it ends too early"
    place = _where(body, at)
    told = f"The body is not well-formed JSON: {reason}{place}."
    line, column = _line_and_column(body, at)
    issue = Issue("error", "invalid", told, line=line, column=column)
    raise Invalid(told, issues=[issue]) from None


def _refuse_encoding(body: bytes) -> NoReturn:
    try:
        place = f" ({len(body.decode())} characters)"
    except UnicodeDecodeError as error:
        place = _where(body, error.start)
    raise Invalid(f"The body is not UTF-8{place}. Send JSON in UTF-8.") from None


def _refuse_surrogates(body: bytes) -> None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    _refuse_characters(value)


def _refuse_characters(value: Any) -> None:
    """Raise Invalid where a text has NUL, which no database keeps, or half a character."""
    for path, item in _walk(value):
        texts = [item] if isinstance(item, str) else item if isinstance(item, dict) else ()
        for text in texts:
            wrong = "NUL (`\\u0000`)" if "\0" in text else "half of a surrogate pair"
            if "\0" in text or SURROGATE.search(text):
                place = f"`{path}`" if path else "The body"
                raise Invalid(
                    f"{place} has {wrong}, which is not a character. Remove it.",
                    expression=path or None,
                )


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every value with its path, as FHIRPath: `Patient.name[0].family`."""
    root = value.get("resourceType", "") if isinstance(value, dict) else ""
    waiting: list[tuple[str, Any]] = [(root if isinstance(root, str) else "", value)]
    while waiting:
        path, item = waiting.pop()
        yield path, item
        if isinstance(item, dict):
            below = [(f"{path}.{_short(k)}".lstrip("."), v) for k, v in item.items()]
        elif isinstance(item, list):
            below = [(f"{path}[{index}]", v) for index, v in enumerate(item)]
        else:
            continue
        waiting.extend(reversed(below))


def _where(body: bytes, position: int) -> str:
    line, column = _line_and_column(body, position)
    return f", at line {line}, column {column}"


def _line_and_column(body: bytes, position: int) -> tuple[int, int]:
    before = body[:position]
    return before.count(b"\n") + 1, len(before) - before.rfind(b"\n")


def _short(text: str) -> str:
    """Enough of a client's text to know it by, and nothing that UTF-8 cannot carry."""
    text = SURROGATE.sub("\ufffd", text).replace("\0", "\ufffd")
    return text if len(text) <= 50 else text[:50] + "…"


def _shown(value: Any) -> str:
    return f"`{_short(value)}`" if isinstance(value, str) else "not a text"
