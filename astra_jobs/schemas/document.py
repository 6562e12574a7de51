"""A schema document: where its schemas stand, what they are called, and what its references lead to.

References are resolved here and nowhere else: by JSON pointer (percent-encoded or not), by anchor, by the ``$id`` of the
document or of a schema within it. Whatever leads out of the document is refused, so there is nothing left to fetch.
``$ref`` inside ``enum``, ``const``, ``default`` and ``examples`` is data; a property may be called ``$ref``.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from astra_jobs.schemas.dialects import DEFINITIONS, LISTS, MAPS, SINGLE, Dialect
from astra_jobs.schemas.errors import SchemaRefused, pointer, shown
from astra_jobs.schemas.plain import Path

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def children(schema: Any, dialect: Dialect) -> Iterator[tuple[str, Path, Any]]:
    """Yield the schemas directly inside a schema: keyword, place below it, schema."""
    for keyword, value in schema.items() if isinstance(schema, dict) else ():
        if keyword in DEFINITIONS or (keyword in dialect.keywords and keyword in MAPS):
            for name, inner in value.items() if isinstance(value, dict) else ():
                if keyword != "dependencies" or not isinstance(inner, list):
                    yield keyword, (keyword, name), inner
        elif keyword not in dialect.keywords:
            continue
        elif keyword in LISTS or (keyword == "items" and isinstance(value, list)):
            for index, inner in enumerate(value if isinstance(value, list) else ()):
                yield keyword, (keyword, index), inner
        elif keyword in SINGLE:
            yield keyword, (keyword,), value


class Document:
    """A document whose references all lead to schemas within it; SchemaRefused otherwise."""

    def __init__(self, root: Any, dialect: Dialect) -> None:
        self.root = root
        self.dialect = dialect
        self.schemas: dict[Path, Any] = {}
        self.targets: dict[Path, dict[str, Path]] = {}
        """Place of a schema → keyword of a reference → place that it leads to."""
        self._owners: dict[Path, Path] = {}
        self._bases: dict[Path, str] = {(): ""}
        self._resources: dict[str, Path] = {"": ()}
        self._anchors: dict[tuple[Path, str], Path] = {}
        self._dynamic: dict[str, list[Path]] = {}
        self._pending: list[Path] = []
        self._walk(root, (), ())
        while self._pending:
            place = self._pending.pop()
            self.targets[place] = self._followed(place)

    @property
    def referenced(self) -> list[Path]:
        """The places that references lead to, in the order in which they were found."""
        return list(dict.fromkeys(target for found in self.targets.values() for target in found.values()))

    def _walk(self, schema: Any, place: Path, owner: Path) -> None:
        waiting = [(schema, place, owner)]
        while waiting:
            found, where, above = waiting.pop()
            if where in self.schemas:
                continue
            own = self._named(found, where, above)
            self.schemas[where], self._owners[where] = found, own
            if isinstance(found, dict) and any(isinstance(found.get(keyword), str) for keyword in REFERENCES):
                self._pending.append(where)
            waiting += [(inner, (*where, *below), own) for _, below, inner in children(found, self.dialect)]

    def _named(self, schema: Any, place: Path, owner: Path) -> Path:
        """Note what a schema is called; return the resource that it belongs to."""
        if not isinstance(schema, dict):
            return owner
        identity = schema.get(self.dialect.identity)
        if isinstance(identity, str):
            address, fragment = urldefrag(identity)
            if address:
                base = _joined(self._bases[owner], address)
                self._resources.setdefault(base, place)
                self._bases[place], owner = base, place
            if fragment:
                self._anchors.setdefault((owner, fragment), place)
        for keyword in ("$anchor", "$dynamicAnchor"):
            name = schema.get(keyword)
            if isinstance(name, str):
                self._anchors.setdefault((owner, name), place)
                if keyword == "$dynamicAnchor":
                    self._dynamic.setdefault(name, []).append(place)
        return owner

    def _followed(self, place: Path) -> dict[str, Path]:
        schema, found = self.schemas[place], {}
        for keyword in REFERENCES:
            reference = schema.get(keyword)
            if isinstance(reference, str):
                found[keyword] = self._resolved(reference, place)
                if keyword == "$dynamicRef":
                    found[keyword] = self._outermost(reference, found[keyword], place)
        return found

    def _resolved(self, reference: str, place: Path) -> Path:
        owner = self._owners[place]
        address, fragment = urldefrag(reference)
        if address:
            found = self._resources.get(_joined(self._bases[owner], address))
            if found is None:
                raise SchemaRefused(
                    "ReferenceOutside", f"{pointer(place)}: {shown(reference)} is outside the document; nothing is fetched, include it"
                )
            owner = found
        try:
            name = unquote(fragment, errors="strict")
        except UnicodeDecodeError:
            name = "\0"
        target = self._pointed(owner, name) if not name or name.startswith("/") else self._anchors.get((owner, name))
        if target is None:
            raise SchemaRefused("ReferenceUnresolved", f"{pointer(place)}: {shown(reference)} is not in the document")
        return target

    def _pointed(self, owner: Path, fragment: str) -> Path | None:
        """Follow a JSON pointer from a resource to a schema; walk what stands there if nothing did before."""
        place, node = owner, self.schemas[owner]
        for raw in fragment.split("/")[1:]:
            part: str | int = raw.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and raw.isascii() and raw.isdigit() and int(raw) < len(node):
                part = int(raw)
            elif not isinstance(node, dict) or part not in node:
                return None
            node, place = node[part], (*place, part)
            owner = self._owners.get(place, owner)
        if not isinstance(node, dict | bool):
            return None
        self._walk(node, place, owner)
        return place

    def _outermost(self, reference: str, found: Path, place: Path) -> Path:
        """Return what a dynamic reference leads to when judging begins at the document: its own anchor, or the only one."""
        name = urldefrag(reference).fragment
        places = self._dynamic.get(name, [])
        if found not in places or len(places) == 1:
            return found
        mine = self._anchors.get(((), name))
        if mine not in places:
            raise SchemaRefused("ReferenceUnresolved", f"{pointer(place)}: {shown(reference)} may lead to {len(places)} schemas; name one")
        return mine


def _joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:
        return address
