"""One server from tools to judged conversations: the unit of work, of the journal and of the random streams (SPEC 2).

Nothing here depends on other servers, on the shard or on timing, so that any number of shards gives the same records.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from astra_jobs.api.base import digest_of
from astra_jobs.api.v1alpha1.chains import ChainSynthesisSpec
from astra_jobs.authors.base import Author, AuthorCannot
from astra_jobs.chains.funnel import Funnel
from astra_jobs.chains.graph import agreement, build_graph
from astra_jobs.chains.judge import judge, select
from astra_jobs.chains.propose import propose
from astra_jobs.chains.rollout import Rolled, Rollout, offer
from astra_jobs.chains.tasks import Task, make_tasks
from astra_jobs.chains.verify import Reason, verify
from astra_jobs.chains.walks import draw_walks
from astra_jobs.records.conversation import Conversation
from astra_jobs.records.funnel import CANNOT
from astra_jobs.records.tool import Server


@dataclass
class ServerResult:
    """What one server gave, in JSON form, as the journal keeps it."""

    server: str
    samples: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass
class Synthesis:
    """The stages over servers, with what they share."""

    spec: ChainSynthesisSpec
    author: Author

    def stream(self, purpose: str, *names: str) -> random.Random:
        """Return a stream named by the run's seed, a purpose and a server or conversation."""
        return random.Random(digest_of([self.spec.seed, "chains", purpose, *names]))

    async def run(self, server: Server) -> ServerResult:
        """Synthesise the conversations of a server; a server that the author cannot speak for is one counted drop."""
        funnel = Funnel()
        kept: list[Conversation] = []
        rejected: list[Conversation] = []
        try:
            await self._converse(server, funnel, kept, rejected)
            funnel.passes("authorCannot", server.labels)
        except AuthorCannot as error:
            funnel, kept, rejected = Funnel(), [], []
            funnel.drop("authorCannot", ("server", server.name), (CANNOT, str(error)), server.labels)
        funnel.numbers["servers"] += 1
        return ServerResult(
            server=server.name,
            samples=[record.to_dict() for record in kept],
            rejected=[record.to_dict() for record in rejected],
            dropped=[record.to_dict() for record in funnel.dropped],
            counts=[row.to_dict() for row in funnel.counts()],
            numbers=dict(sorted(funnel.numbers.items())),
        )

    async def _converse(self, server: Server, funnel: Funnel, kept: list[Conversation], rejected: list[Conversation]) -> None:
        chains = await self._chains(server, funnel)
        tasks = await make_tasks(server, chains, self.author, self.spec, funnel)
        player = Rollout(server, self.author, self.spec.rollout)
        judged = await asyncio.gather(*(self._roll_and_judge(server, task, player) for task in tasks))
        provenance = digest_of([tool.digest() for tool in server.tools])
        for task, (rolled, scores) in zip(tasks, judged, strict=True):
            record = conversation_of(server, task, rolled, scores, provenance)
            _count_rollout(rolled, funnel.numbers)
            reason = self._select(record, rolled, scores, funnel)
            if reason is None:
                kept.append(record)
            else:
                rejected.append(record.model_copy(update={"labels": {**record.labels, "filter": reason[0], "reason": reason[1][0]}}))

    async def _chains(self, server: Server, funnel: Funnel) -> list[list[str]]:
        proposals = await propose(server, self.author, funnel)
        graph = build_graph(server.tools, [chain.tools for chain in proposals])
        funnel.numbers.update(agreement(graph))
        walks = draw_walks(graph, self.spec.walks, self.stream("walks", server.name))
        funnel.numbers["walks"] += len(walks)
        sound = await asyncio.gather(*(verify(server, walk, self.author, self.spec.verify, funnel) for walk in walks))
        return [walk for walk, stands in zip(walks, sound, strict=True) if stands]

    async def _roll_and_judge(self, server: Server, task: Task, player: Rollout) -> tuple[Rolled, dict[str, float] | None]:
        tools = offer(server, task, self.stream("offer", task.id))
        rolled = await player.play(task, tools, self.stream("faults", task.id))
        if rolled.off_schema or not rolled.closed:
            return rolled, None
        return rolled, await judge(server, tools, rolled.messages, rolled.calls, self.author)

    def _select(self, record: Conversation, rolled: Rolled, scores: dict[str, float] | None, funnel: Funnel) -> tuple[str, Reason] | None:
        """Lead a conversation through the last filters; return the one that drops it, with the reason."""
        item = ("conversation", record.id)
        off = ("ResultOffSchema", f"{rolled.off_schema} gave no result of its schema") if rolled.off_schema else None
        late = None if rolled.closed else ("TurnLimit", f"no answer after {self.spec.rollout.max_turns} turns")
        met: list[tuple[str, Reason | None]] = [("resultSchema", off)]
        if off is None:
            met.append(("turnLimit", late))
            if late is None:
                met += select(scores, self.spec.judge)
        for name, reason in met:
            if reason is not None:
                funnel.drop(name, item, reason, record.labels)
                return name, reason
            funnel.passes(name, record.labels)
        funnel.numbers["selected"] += 1
        return None


def conversation_of(server: Server, task: Task, rolled: Rolled, scores: dict[str, float] | None, tools: str) -> Conversation:
    """Return a rollout as a record; its origin stays with it for ever."""
    return Conversation(
        id=task.id,
        server=server.name,
        tools=rolled.tools,
        messages=rolled.messages,
        calls=rolled.calls,
        scores=scores or {},
        labels={**rolled.labels, "origin": server.origin.lower()},
        provenance=[tools, digest_of(list(task.targets)), digest_of(task.text)],
    )


def _count_rollout(rolled: Rolled, numbers: Counter[str]) -> None:
    faults = [call.fault for call in rolled.calls if call.fault is not None]
    numbers["conversations"] += 1
    numbers["calls"] += len(rolled.calls)
    numbers["faultsDrawn"] += rolled.faults_drawn
    numbers["faultsInjected"] += len(faults)
    for fault in faults:
        numbers[f"faults.{fault}"] += 1
    if "imperfection" in rolled.labels:
        numbers[f"imperfect.{rolled.labels['imperfection']}"] += 1
