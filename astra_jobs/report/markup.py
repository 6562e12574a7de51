"""Building HTML so that nothing from data can become markup: text is escaped unless it was built here.

``Markup`` is text that this package made; every other string is data. There is no way to mark data as safe.
"""

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "br", "hr", "rect", "line", "path", "circle", "polyline", "stop"})


class Markup(str):
    """HTML or SVG source that was built by ``tag``."""

    __slots__ = ()


def tag(element: str, *children: object, **attributes: object) -> Markup:
    """Return an element. Attribute names: a trailing underscore is dropped, others become dashes; None leaves one out."""
    names = {name.removesuffix("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    written = "".join(f' {name}="{escape(str(value))}"' for name, value in names.items())
    if element in _VOID and not children:
        return Markup(f"<{element}{written}/>")
    return Markup(f"<{element}{written}>{join(children)}</{element}>")


def join(children: Iterable[object]) -> Markup:
    """Return children one after the other, escaping what is not markup and leaving out None."""
    return Markup("".join(_text(child) for child in children))


def _text(child: object) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return str(child)
    if isinstance(child, (list, tuple)):
        return join(child)
    return escape(str(child))
