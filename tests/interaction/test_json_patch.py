"""test_json_patch — a JSON Patch does what RFC 6902 says, wholly or not at all.

https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.foundation.outcome import FhirError, Invalid, Unprocessable
from fhir_server.interaction.json_patch import MAX_DEPTH, MAX_OPERATIONS, apply

AB: dict[str, Any] = {"foo": "bar", "list": ["a", "b"], "deep": {"x": 1}}


def op(op: str, path: str, **members: Any) -> dict[str, Any]:
    named = {"from" if name == "source" else name: value for name, value in members.items()}
    return {"op": op, "path": path, **named}


# the document, the operations, the result; the first ones follow RFC 6902, appendix A
WORKS: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"foo": "bar"}, [op("add", "/baz", value="qux")], {"foo": "bar", "baz": "qux"}),
    ({"foo": ["a", "c"]}, [op("add", "/foo/1", value="b")], {"foo": ["a", "b", "c"]}),
    ({"foo": 1, "baz": 2}, [op("remove", "/baz")], {"foo": 1}),
    ({"foo": ["a", "b", "c"]}, [op("remove", "/foo/1")], {"foo": ["a", "c"]}),
    ({"foo": 1, "baz": 2}, [op("replace", "/foo", value=3)], {"foo": 3, "baz": 2}),
    (
        {"foo": {"bar": 1, "waldo": 2}, "qux": {"corge": 3}},
        [op("move", "/qux/thud", source="/foo/waldo")],
        {"foo": {"bar": 1}, "qux": {"corge": 3, "thud": 2}},
    ),
    ({"f": ["a", "b", "c", "d"]}, [op("move", "/f/3", source="/f/1")], {"f": ["a", "c", "d", "b"]}),
    ({"baz": "q", "l": ["a", 2]}, [op("test", "/l/1", value=2)], {"baz": "q", "l": ["a", 2]}),
    ({"foo": "bar"}, [op("add", "/child", value={"g": {}})], {"foo": "bar", "child": {"g": {}}}),
    ({"foo": "bar"}, [op("add", "/baz", value="q", xyz=1)], {"foo": "bar", "baz": "q"}),
    ({"/": 9, "~1": 10}, [op("test", "/~01", value=10)], {"/": 9, "~1": 10}),
    ({"/": 9, "~1": 10}, [op("remove", "/~1")], {"~1": 10}),
    ({"foo": ["bar"]}, [op("add", "/foo/-", value=["abc"])], {"foo": ["bar", ["abc"]]}),
    ({"foo": None}, [op("test", "/foo", value=None)], {"foo": None}),
    ({"a": 1}, [op("replace", "", value={"b": 2})], {"b": 2}),
    ({"a": 1}, [op("add", "", value={"b": 2})], {"b": 2}),
    ({"a": 1}, [op("test", "", value={"a": 1})], {"a": 1}),
    ({"a": 1}, [op("add", "/", value=2)], {"a": 1, "": 2}),
    (
        {"a": [1]},
        [op("copy", "/b", source="/a"), op("add", "/b/0", value=0)],
        {"a": [1], "b": [0, 1]},
    ),
    ({"a": [1, 2]}, [op("replace", "/a/1", value=3)], {"a": [1, 3]}),
    ({"a": 1}, [op("move", "/a", source="/a")], {"a": 1}),
    ({"a": Decimal("1.50")}, [op("test", "/a", value=Decimal("1.5"))], {"a": Decimal("1.50")}),
    ({"a": {"x": 1, "y": 2}}, [op("test", "/a", value={"y": 2, "x": 1})], {"a": {"x": 1, "y": 2}}),
    ({"a": 1}, [], {"a": 1}),
    # what a patch empties is gone, since FHIR has no empty arrays; not before its end
    ({"n": [{"g": ["x"]}], "k": 1}, [op("remove", "/n/0/g/0")], {"k": 1}),
    ({"n": ["x"]}, [op("remove", "/n/0"), op("add", "/n/-", value="y")], {"n": ["y"]}),
    ({"k": 1}, [op("add", "/n", value=[])], {"k": 1, "n": []}),
]

REFUSED: list[tuple[Any, Any, type[FhirError], str]] = [
    (AB, op("add", "/foo"), Invalid, "`value` is missing"),
    (AB, [1], Invalid, "Operation 0 of the JSON Patch: it is not a JSON object"),
    (AB, [op("test", "/foo", value="bar"), op("spam", "/foo")], Invalid, "Operation 1"),
    (AB, [{"op": "add", "value": 1}], Invalid, "`path` must be there"),
    (AB, [{"op": ["add"], "path": ""}], Invalid, "`op` must be one of"),
    (AB, [op("add", "foo", value=1)], Invalid, "begin with `/`"),
    (AB, [op("remove", "/a~2b")], Invalid, "`~0`"),
    (AB, [op("remove", "/a~")], Invalid, "`~0`"),
    (AB, [op("move", "/a")], Invalid, "`from` must be there"),
    (AB, [op("add", "/foo")], Invalid, "`value` is missing"),
    (AB, [op("test", "/foo", value="baz")], Unprocessable, "Operation 0 (`test` at `/foo`)"),
    ({"a": 1}, [op("test", "/a", value=True)], Unprocessable, "another"),
    ({"a": 1}, [op("test", "/a", value="1")], Unprocessable, "another"),
    (AB, [op("remove", "/none")], Unprocessable, "nothing at `/none`"),
    (AB, [op("replace", "/none", value=1)], Unprocessable, "nothing at `/none`"),
    (AB, [op("add", "/none/x", value=1)], Unprocessable, "nothing at `/none`"),
    (AB, [op("add", "/foo/x", value=1)], Unprocessable, "neither an object nor an array"),
    (AB, [op("add", "/list/3", value=1)], Unprocessable, "beyond the array's end"),
    (AB, [op("remove", "/list/2")], Unprocessable, "beyond the array's end"),
    (AB, [op("remove", "/list/-")], Unprocessable, "no index"),
    (AB, [op("test", "/list/00", value="a")], Unprocessable, "no index"),
    (AB, [op("add", "/list/-1", value="a")], Unprocessable, "no index"),
    (AB, [op("add", "/list/1e0", value="a")], Unprocessable, "no index"),
    (AB, [op("add", "/list/١", value="a")], Unprocessable, "no index"),
    (AB, [op("move", "/deep/y", source="/deep")], Unprocessable, "into itself"),
    (AB, [op("move", "/y", source="/none")], Unprocessable, "nothing at"),
    (AB, [op("remove", "")], Unprocessable, "DELETE"),
    (AB, [op("replace", "", value=[1])], Unprocessable, "not a resource"),
    (AB, [op("add", "/a" * 101, value=1)], Invalid, "names deep"),
    (AB, {"op": "add"}, Invalid, "array of operations"),
    (AB, [op("test", "", value=1)] * (MAX_OPERATIONS + 1), Invalid, "more than"),
    (AB, [op("copy", "/list/-", source="/list")] * 60, Unprocessable, "Operation"),
    (AB, [op("copy", "/deep/y", source="")] * MAX_OPERATIONS, Unprocessable, "levels deep"),
]


@pytest.mark.parametrize(("document", "operations", "result"), WORKS)
def test_the_operations_are_done_in_order(document: Any, operations: Any, result: Any) -> None:
    before = copy.deepcopy((document, operations))
    found = apply(document, operations)
    assert found == result
    assert list(found) == list(result)
    assert (document, operations) == before


@pytest.mark.parametrize(("document", "operations", "kind", "told"), REFUSED)
def test_what_cannot_be_done_is_refused_by_number_and_path(
    document: Any, operations: Any, kind: type[FhirError], told: str
) -> None:
    before = copy.deepcopy(document)
    if isinstance(operations, dict) and told == "`value` is missing":
        operations = [operations]
    with pytest.raises(kind) as refusal:
        apply(document, operations)
    assert told in str(refusal.value)
    assert document == before


def test_a_value_put_in_twice_is_two_values() -> None:
    value = {"v": [1]}
    found = apply(
        {},
        [
            op("add", "/a", value=value),
            op("add", "/b", value=value),
            op("add", "/a/v/-", value=2),
        ],
    )
    assert found == {"a": {"v": [1, 2]}, "b": {"v": [1]}}
    assert value == {"v": [1]}


def test_depth_is_bounded_by_path_and_value_together() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert apply({}, [op("add", "/a", value=deep)])
    with pytest.raises(Unprocessable):
        apply({}, [op("add", "/a", value=[deep])])


tokens = st.sampled_from(["a", "b", "0", "1", "-", "01", "~0", "~", "", "é"])
paths = st.lists(tokens, max_size=3).map(lambda t: "".join("/" + x for x in t)) | st.text(
    max_size=3
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=2) | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(tokens, inner, max_size=2),
    max_leaves=6,
)
operations = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"])},
        optional={"path": paths, "from": paths, "value": values},
    )
    | values,
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(tokens, values, max_size=3), operations | values)
def test_no_patch_raises_anything_but_a_refusal_or_changes_its_argument(
    document: dict[str, Any], asked: Any
) -> None:
    before = copy.deepcopy((document, asked))
    try:
        assert isinstance(apply(document, asked), dict)
    except FhirError as refusal:
        assert refusal.status in (400, 422)
    assert (document, asked) == before
