"""The language of a text, and the forms in which two tasks count as copies of each other.

Identification needs no model: the script decides for most languages, and frequent function words tell those that share a
script apart. A text with too little evidence is ``und`` (undetermined), which is never equal to anything (fail closed).
Not covered: languages of the Latin script that are not listed; they come out as ``und`` or as a listed neighbour.
"""

import unicodedata
from collections import Counter
from functools import lru_cache

from astra_jobs.text.fold import fold
from astra_jobs.text.tokens import words

UNDETERMINED = "und"

_FUNCTION_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(text.split())
    for language, text in {
        "en": "the of and to in is are was what which who for with that this it on as by from at me my i you your find tell look up an be "
        "please give need could would have has been there",
        "de": "der die das und ist von dem den des ein eine einer zu mit für auf was welche welcher wer nicht ich du sie es bitte mir wie "
        "im finde sage gib suche",
        "fr": "le la les de du des et est un une à pour avec que qui quel quelle dans sur je tu il elle vous nous ne pas dis au aux moi",
        "es": "el la los las de del y es un una para con que qué cuál quién en por se no me mi yo tú busca dime al su como",
        "it": "il lo la gli le di del della e è un una per con che chi quale in da non mi io trova dimmi al nel sono cosa qual",
        "pt": "o a os as de do da dos das e é um uma para com que quem qual em por não me eu procura diga ao no na como",
        "nl": "de het een en is van te dat die in op met voor wat welke wie niet ik je zoek zeg mij aan bij",
    }.items()
}
# Unicode names begin with the script; these scripts stand for one language well enough to see a change.
_SCRIPTS = {"CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CYRILLIC": "ru", "ARABIC": "ar", "GREEK": "el"} | {
    "HEBREW": "he", "DEVANAGARI": "hi", "THAI": "th", "LAO": "lo", "KHMER": "km", "MYANMAR": "my", "TIBETAN": "bo", "BENGALI": "bn",
    "TAMIL": "ta", "TELUGU": "te", "KANNADA": "kn", "MALAYALAM": "ml", "GUJARATI": "gu", "GURMUKHI": "pa", "SINHALA": "si",
    "GEORGIAN": "ka", "ARMENIAN": "hy", "ETHIOPIC": "am",
}  # fmt: skip
_FILLERS = _FUNCTION_WORDS["en"] | {"kindly", "just", "now", "so", "then", "s", "a"}


@lru_cache(maxsize=65536)
def language_of(text: str) -> str:
    """Return the language code of a text, or ``und``."""
    scripts = Counter(unicodedata.name(char, "").split(" ")[0] for char in fold(text) if char.isalpha())
    if not scripts:
        return UNDETERMINED
    if scripts["HIRAGANA"] + scripts["KATAKANA"] > 0:
        return "ja"
    script, count = scripts.most_common(1)[0]
    if 2 * count <= scripts.total():
        return UNDETERMINED
    return _latin_language(words(text)) if script == "LATIN" else _SCRIPTS.get(script, UNDETERMINED)


def _latin_language(found: list[str]) -> str:
    """Pick the language with the most function words; at least two, and strictly more than any other."""
    hits = sorted(((sum(word in known for word in found), language) for language, known in _FUNCTION_WORDS.items()), reverse=True)
    (most, language), (second, _) = hits[0], hits[1]
    return language if most >= 2 and most > second else UNDETERMINED


def near_key(text: str) -> tuple[str, ...]:
    """Return a text's words in order without English function words: tasks that share it differ in wording only.

    A text of nothing else keeps them all. Symbols, signs and marks stay: "O+" and "O-" make two tasks.
    """
    found = words(text)
    return tuple(word for word in found if word not in _FILLERS) or tuple(found)


def exact_key(text: str) -> tuple[str, ...]:
    """Return a text's words: tasks that share them differ in case, spaces and the punctuation of sentences only."""
    return tuple(words(text))
