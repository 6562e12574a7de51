"""Chains with a task each, proposed by the author from all tools of a server (paper 3.1, SPEC 2.1).

A chain that names a tool the server does not have is refused whole. The authors' code skips over the unknown name, which
joins its neighbours by an edge that nobody proposed.
"""

from astra_jobs.authors.base import Author
from astra_jobs.authors.chain_requests import ProposeChains, ProposedChain
from astra_jobs.chains.funnel import Funnel
from astra_jobs.records.tool import Server


async def propose(server: Server, author: Author, funnel: Funnel) -> list[ProposedChain]:
    """Return the proposed chains whose tools all exist; the others are dropped with their reason."""
    answer = await author.answer(ProposeChains(server=server))
    known = {tool.name for tool in server.tools}
    kept = []
    for index, chain in enumerate(answer.chains):
        unknown = [name for name in chain.tools if name not in known]
        if unknown or not chain.tools:
            reason = ("UnknownTool", f"no tool {unknown[0]}") if unknown else ("EmptyChain", "the chain has no tool")
            funnel.drop("knownTools", ("chain", f"{server.name}/proposal-{index:03d}"), reason, chain.labels)
        else:
            funnel.passes("knownTools", chain.labels)
            kept.append(chain)
    funnel.numbers["proposals"] += len(answer.chains)
    return kept
