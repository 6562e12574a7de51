"""Servers that offer the same tools: the first one stays, the cluster is recorded (SPEC 1).

Two servers are equal when the sets of their tools' function schemas are, whatever they are called and in whatever order
they list them. Near duplicates are not looked for.
"""

from typing import Literal

from pydantic import Field

from astra_jobs.api.base import Model, digest_of
from astra_jobs.records.tool import Tool


class DuplicateCluster(Model):
    """One line of ``duplicates.jsonl``: servers with equal tools."""

    version: Literal[1] = 1
    digest: str = Field(description="digest of the sorted digests of the tools' function schemas")
    kept: str = Field(description="name of the server that stayed")
    copies: list[str] = Field(description="names of the servers that were dropped, in order")


class Clusters:
    """Servers seen so far by what they offer."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, name: str, tools: list[Tool]) -> str | None:
        """Record a server; return the name of the earlier one with equal tools, if there is one."""
        names = self._names.setdefault(digest_of(sorted(tool.digest() for tool in tools)), [])
        names.append(name)
        return names[0] if len(names) > 1 else None

    def found(self) -> list[DuplicateCluster]:
        """Return the clusters of two or more servers, in the order of their first members."""
        return [DuplicateCluster(digest=digest, kept=names[0], copies=names[1:]) for digest, names in self._names.items() if len(names) > 1]
