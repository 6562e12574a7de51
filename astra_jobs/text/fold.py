"""The form in which two texts count as one: compatibility forms, case and white space aside, everything else kept (SPEC 5)."""

import unicodedata


def fold(text: str) -> str:
    """Return a text after NFKC, full case folding and collapsing of white space; symbols, signs and combining marks stay.

    Two texts are equal exactly when this form is (Unicode's compatibility caseless match, definition D146), so that the
    comparison is symmetric and transitive. Never raises, half surrogates included.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    caseless = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold()).casefold()
    return " ".join(unicodedata.normalize("NFKC", caseless).split())


def storable(text: str) -> str:
    """Return a text that UTF-8 can hold: surrogate pairs joined, what is half a pair replaced by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
