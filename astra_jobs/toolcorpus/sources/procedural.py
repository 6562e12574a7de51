"""Procedural servers: one world, one server, at a declared rate with one planted, labelled defect (SPEC 6).

The defects go round the filters so that each has its share. A tool's defect spoils one tool of a server, whose label
stands on that tool; a server's defect stands on the server. Filters never look at labels.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from astra_jobs.api.base import digest_of
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.api.v1alpha1.corpus import CorpusFilters, ProceduralSource
from astra_jobs.records.tool import Tool, WorldReference
from astra_jobs.toolcorpus.document import planted, raw_tool
from astra_jobs.toolcorpus.raw import RawServer, RawTool
from astra_jobs.worlds.world import make_world

DEFECTS = ("tooFewTools", "vagueDescription", "brokenSchema", "duplicate")
Streams = Callable[..., random.Random]


def collect_procedural(name: str, source: ProceduralSource, filters: CorpusFilters, stream: Streams) -> list[RawServer]:
    """Make the servers of a source; ``stream(*names)`` gives the run's named random streams.

    ``filters`` is what the planted defects must offend. World seeds are even; worlds that show the same tools as an
    earlier one are passed over, so that the only duplicates are planted ones.
    """
    plan = _plan(source, stream("defects", name))
    servers = _worlds(name, source, 2 * stream("worlds", name).randrange(2**51))
    for index, defect in plan.items():
        rng = stream("defect", name, index)
        if defect == "duplicate":
            original = servers[rng.choice([earlier for earlier in range(index) if earlier not in plan])]
            servers[index] = replace(original, name=servers[index].name, labels={**original.labels, "defect": defect})
        else:
            servers[index] = _spoil(servers[index], defect, filters, rng)
    return servers


def _plan(source: ProceduralSource, rng: random.Random) -> dict[int, str]:
    """Choose which servers carry which defect; a duplicate needs a sound server before it."""
    chosen = sorted(rng.sample(range(source.servers), round(source.defects * source.servers)))
    plan: dict[int, str] = {}
    for number, index in enumerate(chosen):
        defect = DEFECTS[number % len(DEFECTS)]
        alone = index == len(plan)  # every earlier server is planted
        plan[index] = "tooFewTools" if defect == "duplicate" and alone else defect
    return plan


def _worlds(name: str, source: ProceduralSource, first_seed: int) -> list[RawServer]:
    servers: list[RawServer] = []
    seen: set[str] = set()
    seed = first_seed
    while len(servers) < source.servers:
        server = _server(f"{name}.{len(servers)}", seed, source.worlds)
        seed += 2
        shown = digest_of(sorted([tool.name, tool.description] for tool in server.tools))
        if shown not in seen:
            seen.add(shown)
            servers.append(server)
    return servers


def _server(name: str, seed: int, worlds: ProceduralWorlds) -> RawServer:
    world = make_world(seed, worlds)
    documents = [tool.document() for tool in world.tools]
    return RawServer(
        name=name,
        origin="Procedural",
        domain=world.domain,
        tools=[raw_tool(_document(tool), place) for place, tool in enumerate(documents)],
        source=documents[0].source,
        version=documents[0].version,
        licence=documents[0].licence,
        world=WorldReference(seed=seed, worlds=worlds),
        labels={"origin": "procedural"},
    )


def _spoil(server: RawServer, defect: str, filters: CorpusFilters, rng: random.Random) -> RawServer:
    """Plant a defect: too few tools for the filter, or one tool that a filter of tools must drop."""
    if defect == "tooFewTools":
        fewer = rng.sample(server.tools, min(len(server.tools), filters.min_tools_per_server - 1))
        return replace(server, tools=fewer, labels={**server.labels, "defect": defect})
    index = rng.randrange(len(server.tools))
    tool = server.tools[index]
    document = _document(tool)
    if defect == "vagueDescription":
        words = (tool.description or "").split()[: max(0, filters.min_description_words - 1)]
        document |= {"description": rng.choice([None, "", " ".join(words)])}
    else:
        document |= rng.choice(_broken(tool.parameters))
    spoilt = planted(document, index, {"defect": defect})
    return replace(server, tools=[*server.tools[:index], spoilt, *server.tools[index + 1 :]])


def _document(tool: RawTool | Tool) -> dict[str, Any]:
    """Return a tool as an MCP server writes it."""
    document = {"name": tool.name, "description": tool.description, "inputSchema": tool.parameters}
    return document if tool.returns is None else document | {"outputSchema": tool.returns}


def _broken(parameters: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Return what cannot be converted, as members of a document, one for each way that real servers get them wrong."""
    (argument,) = parameters["properties"]
    return [
        *({"inputSchema": schema} for schema in (False, "object", [parameters], {"type": "string"})),
        {"inputSchema": {**parameters, "properties": [argument]}},
        *({"inputSchema": {**parameters, "properties": {argument: inner}}} for inner in _BROKEN_ARGUMENTS),
        {"inputSchema": {**parameters, "required": argument}},
        {"description": ["a", "list"]},
        {"description": "half a pair \ud83d"},
    ]


_BROKEN_ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"type": "str"},
    {"$ref": "#/$defs/Missing"},
    {"type": "number", "default": float("nan")},
    {"type": "number", "maximum": float("inf")},
)
