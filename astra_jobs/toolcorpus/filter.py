"""The filters over tool documents, in order: reachable, schema, description, tools of a server, duplicates (SPEC 1).

Tools fall to schema and description, servers to the others. Nothing leaves without a reason code, and no filter reads a label.
"""

from dataclasses import dataclass, field

from astra_jobs.api.v1alpha1.corpus import CorpusFilters
from astra_jobs.records.tool import Server, Tool
from astra_jobs.text.fold import storable
from astra_jobs.text.tokens import word_count
from astra_jobs.toolcorpus.duplicates import Clusters
from astra_jobs.toolcorpus.names import function_names
from astra_jobs.toolcorpus.normalise import CannotConvert, normalise
from astra_jobs.toolcorpus.raw import RawServer, RawTool
from astra_jobs.toolcorpus.report import Funnel, Verdict


@dataclass
class Sieve:
    """Takes raw servers one by one; what stays is in ``kept``, everything else in the funnel."""

    filters: CorpusFilters
    kept: list[Server] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    """What conversion lost, one sentence each, naming server and tool."""
    funnel: Funnel = field(default_factory=Funnel)
    clusters: Clusters = field(default_factory=Clusters)

    def add(self, raw: RawServer) -> None:
        """Put one server through all filters."""
        if not self._reached(raw):
            return
        tools: list[Tool] = []
        taken: set[str] = set()
        names = function_names(tool.name for tool in raw.tools if tool.fault is None)
        for tool in raw.tools:
            document = self._tool(raw, tool, names.get(tool.name, ""), taken)
            if document is not None:
                tools.append(document)
                taken.add(document.name)
        enough = Verdict("toolsPerServer", "server", raw.name, *_too_few(len(tools), self.filters.min_tools_per_server))
        if not self.funnel.judge(enough, raw.labels):
            return
        first = self.clusters.add(raw.name, tools)
        repeated = ("SameTools", f"offers the same tools as {first}") if first else ()
        if self.funnel.judge(Verdict("duplicates", "server", raw.name, *repeated), raw.labels):
            self.kept.append(
                Server(
                    name=raw.name,
                    domain=raw.domain,
                    origin=raw.origin,
                    program=raw.program,
                    world=raw.world,
                    tools=tools,
                    labels=raw.labels,
                )
            )

    def _reached(self, raw: RawServer) -> bool:
        """Tell if a server could be read; one that could not is counted as dropped."""
        why = ("Unreachable", raw.unreachable) if raw.unreachable else ()
        return self.funnel.judge(Verdict("reachable", "server", raw.name, *why), raw.labels)

    def _tool(self, server: RawServer, tool: RawTool, function: str, taken: set[str]) -> Tool | None:
        """Return the tool's document under its ``function`` name if both filters of tools let it pass."""
        labels = {**server.labels, **tool.labels}
        name = f"{server.name}/{storable(tool.name)}"
        document, reason = self._converted(server, tool, function, taken)
        if not self.funnel.judge(Verdict("schema", "tool", name, *reason), labels) or document is None:
            return None
        vague = _vague(document.description, self.filters.min_description_words)
        return document if self.funnel.judge(Verdict("description", "tool", name, *vague), labels) else None

    def _converted(self, server: RawServer, tool: RawTool, function: str, taken: set[str]) -> tuple[Tool | None, tuple[str, ...]]:
        if tool.fault is not None:
            return None, tool.fault
        try:
            document, losses = normalise(server, tool, function)
        except CannotConvert as error:
            return None, (error.reason, str(error))
        if document.name in taken:
            return None, ("NameTaken", f"an earlier tool of the server is called {tool.name}")
        self.losses += [f"{server.name}/{tool.name}: {loss}" for loss in (*tool.losses, *losses)]
        return document, ()


def _too_few(count: int, least: int) -> tuple[str, ...]:
    return ("TooFewTools", f"{count} sound tools, {least} needed") if count < least else ()


def _vague(description: str, least: int) -> tuple[str, ...]:
    words = word_count(description)
    if not description.strip():
        return ("MissingDescription", "")
    return ("VagueDescription", f"{description!r} has {words} words, {least} needed") if words < least else ()
