"""The law of every kind: whatever is indexed can be found."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from urllib.parse import quote

from hypothesis import assume, given
from hypothesis import strategies as st

from fhir_server.foundation.folding import fold, words

from .ask import found

TEXT = st.text(min_size=1, max_size=40).filter(lambda text: text.strip() == text)
FOUR_DIGITS = st.dates(min_value=date(1000, 1, 1), max_value=date(8999, 12, 31))
DECIMAL = st.decimals(
    min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=4
)


def asked(text: str) -> str:
    """A value as a client writes it: escaped as R4 says, then for the URL."""
    for sign in "\\,|$":
        text = text.replace(sign, "\\" + sign)
    return quote(text, safe="")


@given(TEXT, TEXT)
def test_a_token_is_found_by_its_code_its_system_and_both(system: str, code: str) -> None:
    patient = {"resourceType": "Patient", "identifier": [{"system": system, "value": code}]}
    assert found(patient, f"identifier={asked(code)}")
    assert found(patient, f"identifier={asked(system)}|")
    assert found(patient, f"identifier={asked(system)}|{asked(code)}")
    assert not found(patient, f"identifier={asked(system)}|{asked(code)}x")
    assert not found(patient, f"identifier:not={asked(code)}")


@given(TEXT)
def test_a_text_is_found_by_itself_and_by_the_beginning_of_each_word(text: str) -> None:
    assume(words(text))
    patient = {"resourceType": "Patient", "name": [{"family": text}]}
    assert found(patient, f"family={asked(text)}")
    for word in words(text):
        assert found(patient, f"name={asked(word[: max(1, len(word) // 2)])}")


@given(TEXT, st.data())
def test_a_text_is_found_by_all_of_it_and_by_any_part_of_it(text: str, data: st.DataObject) -> None:
    folded = fold(text)
    assume(folded)
    patient = {"resourceType": "Patient", "name": [{"text": text}]}
    assert found(patient, f"name:exact={asked(text)}")
    assert not found(patient, f"name:exact={asked(text)}x")
    start = data.draw(st.integers(0, len(folded) - 1))
    part = folded[start : data.draw(st.integers(start + 1, len(folded)))].strip()
    assume(part)
    assert found(patient, f"name:contains={asked(part)}")


@given(st.from_regex(r"[A-Za-z0-9\-.]{1,64}", fullmatch=True))
def test_a_reference_is_found_by_id_by_type_and_id_and_by_url(id: str) -> None:
    visit = {"resourceType": "Encounter", "subject": {"reference": f"Patient/{id}"}}
    for text in (
        f"subject={id}",
        f"subject=Patient/{id}",
        f"subject:Patient={id}",
        f"patient={id}",
        f"subject=https://here.example/fhir/Patient/{id}",
    ):
        assert found(visit, text)


@given(st.datetimes(), st.sampled_from(["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S+07:00"]))
def test_a_date_is_found_by_itself_however_precise(moment, precision: str) -> None:
    assume(moment.year >= 1000)
    text = moment.strftime(precision)
    result = {"resourceType": "Observation", "effectiveDateTime": text}
    for prefix in ("", "eq", "ge", "le", "ap"):
        assert found(result, f"date={prefix}{text}")
    for prefix in ("ne", "gt", "lt", "sa", "eb"):
        assert not found(result, f"date={prefix}{text}")


@given(FOUR_DIGITS, st.integers(min_value=0, max_value=4000), FOUR_DIGITS, st.booleans())
def test_every_interval_is_either_before_within_or_reaches_beyond(
    start, days, other, has_end
) -> None:
    end = start.fromordinal(start.toordinal() + days).isoformat()
    period = {"start": start.isoformat(), **({"end": end} if has_end else {})}
    visit = {"resourceType": "Encounter", "period": period}
    is_equal = found(visit, f"date=eq{other}")
    assert found(visit, f"date=ne{other}") is not is_equal
    assert found(visit, f"date=ge{other}") is (found(visit, f"date=gt{other}") or is_equal)
    assert found(visit, f"date=le{other}") is (found(visit, f"date=lt{other}") or is_equal)
    assert not (found(visit, f"date=sa{other}") and found(visit, f"date=lt{other}"))


@given(DECIMAL)
def test_a_quantity_is_found_by_itself(value: Decimal) -> None:
    quantity = {"value": value, "system": "http://unitsofmeasure.org", "code": "mg"}
    result = {"resourceType": "Observation", "valueQuantity": quantity}
    for prefix in ("", "eq", "ge", "le", "ap"):
        assert found(result, f"value-quantity={prefix}{value:f}")
        assert found(result, f"value-quantity={prefix}{value:f}||mg")
    for prefix in ("ne", "gt", "lt", "sa", "eb"):
        assert not found(result, f"value-quantity={prefix}{value:f}")


@given(DECIMAL, DECIMAL)
def test_numbers_are_less_equal_or_greater(value: Decimal, other: Decimal) -> None:
    risk = {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": value}]}
    assert found(risk, f"probability=gt{other:f}") is (value > other)
    assert found(risk, f"probability=lt{other:f}") is (value < other)
    assert found(risk, f"probability=ge{other:f}") is (value >= other)
    assert found(risk, f"probability=le{other:f}") is (value <= other)


@given(TEXT)
def test_a_uri_is_found_by_itself(uri: str) -> None:
    assert found({"resourceType": "ValueSet", "url": uri}, f"url={asked(uri)}")
