"""The form in which texts are equal: a true equivalence that loses case, width and white space and nothing else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.text.fold import fold, storable


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (" New\tYork\n", "new york", True),
        ("ＡＢＣ", "abc", True),
        ("re\u0301sume\u0301", "RÉSUMÉ", True),
        ("Straße", "STRASSE", True),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", True),
        ("C++", "C#", False),
        ("O+", "O-", False),
        ("newyork", "new york", False),
        ("दिन", "दीन", False),
        ("שָׁלוֹם", "שלום", False),
        ("👍", "👍🏽", False),
        ("مي\u200cخواهم", "ميخواهم", False),
        ("-5", "5", False),
    ],
)
def test_what_counts_as_one_text(one: str, other: str, same: bool) -> None:
    assert (fold(one) == fold(other)) is same


@given(st.text(st.characters()))
def test_folding_never_raises_and_folds_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper().lower()) == fold(fold(text.upper().lower()))


@given(st.text())
def test_normal_forms_are_one_text(text: str) -> None:
    assert len({fold(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}) == 1


@given(st.text(st.characters()))
def test_any_text_can_be_made_storable_and_storable_text_stays(text: str) -> None:
    kept = storable(text)
    assert kept.encode().decode() == kept == storable(kept)
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert kept == text


def test_a_pair_of_surrogates_is_the_character_it_stands_for() -> None:
    assert storable("a\ud83d\ude00b\ud83d") == "a😀b\ufffd"
