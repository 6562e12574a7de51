"""One tokeniser for every comparison of words: nothing that tells two texts apart is dropped.

A token is a word or number with what changes its meaning: the sign of a number ("-5"), the ending of a name ("C++", "C#",
"O-"), joined parts ("node.js", "2024-03-01", "well-known"), all combining marks. A symbol ("€", "%", "/") and an emoji
with its modifiers are tokens of their own. Scripts that put no spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar
and their relatives) give one token for each character with its marks, since no rule finds their words without a
dictionary. Unicode properties come from the pinned ``regex`` library and so do not depend on the interpreter.
"""

from collections.abc import Sequence

import regex

from astra_jobs.text.fold import fold

_UNSPACED = (
    r"\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Yi}\p{Script=Tangut}\p{Script=Nushu}"
    r"\p{Line_Break=SA}\u30fc\u3005\u3006\u3007"
)
# Marks belong to what they stand on. The two joiners shape words in Indic and Arabic scripts.
_WORDLIKE = rf"(?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d])"
_WORD = (
    rf"(?:(?<![\p{{L}}\p{{M}}\p{{N}}_.)\]])(?:[-+\u2212\u00b1]\.?|\.)(?=\d))?"  # a sign, a leading decimal point
    rf"{_WORDLIKE}+(?:(?:[-'’.]|(?<=\d)[,:](?=\d)){_WORDLIKE}+)*"
    rf"(?:(?<=[\p{{L}}\p{{M}}])[+#]+|-(?![-\p{{L}}\p{{M}}\p{{N}}_]))?"
)
_TOKEN = regex.compile(rf"{_WORD}|(?!\s)\X")
_SINGLE = regex.compile(rf"[{_UNSPACED}]")
_PARTICULAR = regex.compile(r"[\p{N}\p{Sc}\p{So}%\u2030]|[\p{L}\p{M}][-+#]+$")
_SPOKEN = regex.compile(r"[\p{L}\p{N}]")
# Invisible formatting that no reader sees; ZERO WIDTH SPACE separates words.
_INVISIBLE = regex.compile(r"[\u00ad\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_PUNCTUATION = regex.compile(r"(?![-_\u2010\u2013#%&*@/\\\u2030\u2031\u2020\u2021\u00a7\u00b6\u2032\u2033\u2034])[\p{P}`]\p{M}*")


def visible(text: str) -> str:
    """Return the folded text that is cut into tokens: without invisible formatting."""
    return fold(text if text.isascii() else _INVISIBLE.sub("", text).replace("\u200b", " "))


def tokens(text: str) -> list[str]:
    """Return the case-folded tokens of a text in order, punctuation included; nothing but white space is left out."""
    return [str(token) for token in _TOKEN.findall(visible(text))]


def words(text: str) -> list[str]:
    """Return the tokens without the punctuation of sentences (full stops, quotation marks, brackets …); symbols stay."""
    return [token for token in tokens(text) if not _PUNCTUATION.fullmatch(token)]


def holds(text: Sequence[str], part: Sequence[str]) -> bool:
    """Tell whether tokens stand in a row within others; no tokens stand nowhere."""
    if not part:
        return False
    return f" {' '.join(part)} " in f" {' '.join(text)} "


def particular(word: str) -> bool:
    """Tell whether a word names a thing that no rewording may change: a digit, a currency, "%", an emoji, or a sign at its end."""
    return _PARTICULAR.search(word) is not None


def word_count(text: str) -> int:
    """Return how many words a text has: two characters of a script without spaces count as one word.

    A measure for "says enough", not a segmentation: words of those scripts mostly have two characters or more.
    """
    spoken = [token for token in tokens(text) if _SPOKEN.search(token)]
    unspaced = sum(_SINGLE.match(token) is not None for token in spoken)
    return len(spoken) - unspaced + (unspaced + 1) // 2
