"""One tokeniser: symbols, signs, marks and emoji are kept, scripts without spaces are cut by character."""

import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from astra_jobs.text.fold import fold
from astra_jobs.text.tokens import holds, particular, tokens, visible, word_count, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I use C++, not C#.", ["i", "use", "c++", "not", "c#"]),
        ("donors with O+ and O- blood", ["donors", "with", "o+", "and", "o-", "blood"]),
        ("rows above -5 (or +5)", ["rows", "above", "-5", "or", "+5"]),
        ("-.5 .5 5-3 2024-03-01 10:30 1,500 v1.2", ["-.5", ".5", "5-3", "2024-03-01", "10:30", "1,500", "v1.2"]),
        ("€100 $100 50% 20°C", ["€", "100", "$", "100", "50", "%", "20", "°", "c"]),
        ("a/b a_b a&b x<5", ["a", "/", "b", "a_b", "a", "&", "b", "x", "<", "5"]),
        ("“Paris” — `node.js`!", ["paris", "node.js"]),
        ("दिन कितने हैं", ["दिन", "कितने", "हैं"]),
        ("Vie\u0323\u0302t Nam", ["việt", "nam"]),
        ("שָׁלוֹם", [fold("שָׁלוֹם")]),
        ("Send 👍🏽 now👎", ["send", "👍🏽", "now", "👎"]),
        ("👨‍👩‍👧🇩🇪", ["👨‍👩‍👧", "🇩🇪"]),
        ("未来7天", ["未", "来", "7", "天"]),
        ("天気を取得", ["天", "気", "を", "取", "得"]),
        ("سلام\u200f دنیا", ["سلام", "دنیا"]),
        ("。、，？！", []),
        ("", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A tool", 2),
        ("查询指定城市未来七天的天气预报", 8),
        ("指定された都市の天気予報を取得します", 9),
        ("天气", 1),
        ("气", 1),
        ("สภาพอากาศวันนี้", 6),
        ("ព្យាករណ៍អាកាសធាតុ", 5),
        ("မိုးလေဝသခန့်မှန်းချက်", 5),
        ("ພະຍາກອນອາກາດ", 6),
        ("날씨 예보", 2),
        ("मौसम का पूर्वानुमान", 3),
        ("توقعات الطقس", 2),
        ("查询 weather 预报", 3),
        ("...", 0),
        ("👍", 0),
        (" ", 0),
    ],
)
def test_words_are_counted_in_scripts_with_and_without_spaces(text: str, count: int) -> None:
    assert word_count(text) == count


@pytest.mark.parametrize(
    ("text", "part", "found"),
    [
        ("the red sea coast", "Red Sea", True),
        ("the red and sea", "red sea", False),
        ("jobs for C++ people", "C#", False),
        ("jobs for C++ people", "C", False),
        ("rows above 5", "-5", False),
        ("rows above -5", "5", False),
        ("a flight under $100", "100", True),
        ("明天北京有雨", "北京", True),
        ("明天北京有雨", "京北", False),
        ("anything", "", False),
    ],
)
def test_words_in_a_row(text: str, part: str, found: bool) -> None:
    assert holds(words(text), words(part)) is found


def test_words_that_no_rewording_may_change() -> None:
    text = "Find 5 well-known O+ donors, -3 to 7°, C# for €100 or 50% 👍 don't"
    assert [word for word in words(text) if particular(word)] == ["5", "o+", "-3", "7", "°", "c#", "€", "100", "50", "%", "👍"]


SYMBOLS = st.characters(categories=["Sm", "Sc", "So"]) | st.sampled_from("#%&*@/\\-+_")


@given(st.text(st.characters()))
@example("\ud83d x\0y")
def test_tokens_lose_white_space_and_nothing_else(text: str) -> None:
    assert "".join(tokens(text)) == visible(text).replace(" ", "")
    assert all(token and " " not in token for token in tokens(text))


@given(st.text("ab5 ,."), SYMBOLS, SYMBOLS, st.text("ab5 ,."))
@example("", "+", "#", "")
@example("5 ", "-", "+", "5")
def test_texts_that_differ_in_a_symbol_have_other_words(before: str, one: str, other: str, after: str) -> None:
    assume(fold(one) != fold(other) and fold(one) and fold(other))
    first, second, bare = (words(before + symbol + after) for symbol in (one, other, ""))
    assert first != second
    assert first != bare


@given(st.text("कखगदनABC", min_size=1), st.characters(categories=["Mn", "Mc"]), st.text("कखगदन"))
def test_texts_that_differ_in_a_combining_mark_have_other_words(before: str, mark: str, after: str) -> None:
    assume(fold(before + mark + after) != fold(before + after))
    assume(unicodedata.normalize("NFKC", mark).strip() and visible(before + mark + after) != visible(before + after))
    assert words(before + mark + after) != words(before + after)
