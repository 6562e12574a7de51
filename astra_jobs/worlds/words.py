"""The vocabulary that all procedural worlds share (SPEC 6).

A model of under a million parameters has to read these words, so they are few, short and disjoint by role: what a
type or an attribute is called never occurs as a value, and values never look like identifiers. Worlds differ in how
they pair the words, not in the words, so that training and held-out worlds are new combinations of known pieces.
"""

from typing import Literal

Kind = Literal["text", "number", "date", "list", "set"]

TYPES: tuple[str, ...] = (
    "crew", "ship", "port", "farm", "mill", "shop", "club", "team",
    "band", "lake", "road", "bank", "firm", "hall", "park", "tram",
)  # fmt: skip
"""Entity types; each world takes a few of them in random order."""

TEXT_ATTRIBUTES: tuple[str, ...] = ("color", "style", "grade", "motto", "crop", "brand", "model", "theme")
NUMBER_UNITS: dict[str, str] = {"depth": "m", "mass": "kg", "width": "cm", "speed": "kn", "area": "ha", "power": "kw", "fee": "eur"}
DATE_ATTRIBUTES: tuple[str, ...] = ("birth", "start", "review")
LIST_ATTRIBUTES: tuple[str, ...] = ("route", "menu", "recipe")
SET_ATTRIBUTES: tuple[str, ...] = ("kit", "stock", "cargo")

ATTRIBUTES: tuple[str, ...] = (*TEXT_ATTRIBUTES, *NUMBER_UNITS, *DATE_ATTRIBUTES, *LIST_ATTRIBUTES, *SET_ATTRIBUTES)
"""Leaf attributes; the kind of value belongs to the word, the type that carries it is random in each world."""

VALUES: tuple[str, ...] = (
    "oak", "elm", "fir", "ash", "yew", "bay", "fig", "ivy", "red", "blue", "gray", "pink", "gold", "jade", "ruby", "opal",
    "iron", "zinc", "salt", "sand", "clay", "lime", "wolf", "hare", "lynx", "swan", "dove", "hawk", "crow", "seal",
    "moth", "wasp", "rose", "lily", "mint", "sage", "dill", "reed", "moss", "fern",
)  # fmt: skip
"""Words that text, list and set values are made of; as many as the largest table has rows."""

DOMAINS: tuple[str, ...] = (
    "harbour", "railway", "clinic", "museum", "theatre", "library", "airport", "school", "forest", "market", "mining", "sports",
)  # fmt: skip
"""Theme of a world: the domain of its server. It is a label only; no tool or question shows it."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""First characters of identifiers; two digits follow."""


def kind_of(attribute: str) -> Kind:
    """Return the kind of value that an attribute holds; an entity type's name gives text, the kind of identifiers."""
    if attribute in NUMBER_UNITS:
        return "number"
    if attribute in DATE_ATTRIBUTES:
        return "date"
    if attribute in LIST_ATTRIBUTES:
        return "list"
    return "set" if attribute in SET_ATTRIBUTES else "text"
