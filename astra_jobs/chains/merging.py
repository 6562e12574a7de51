"""The merge of all shards: copies across servers, the quota of recoveries, an order that no shard count can change (SPEC 2.10).

Two samples are copies when their servers offer the same documents and their tasks the same words (exact) or the same
content words (near). The same words about other tools are another task. Within a server, copies went before the rollout.
"""

from collections.abc import Callable, Iterable, Sequence

from astra_jobs.api.base import digest_of
from astra_jobs.chains.card import is_recovered
from astra_jobs.chains.funnel import Funnel
from astra_jobs.chains.words import exact_key, near_key
from astra_jobs.records.conversation import Conversation
from astra_jobs.records.funnel import QUOTA

Key = Callable[[str], tuple[str, ...]]


def in_order(records: Iterable[Conversation]) -> list[Conversation]:
    """Sort conversations by server and id."""
    return sorted(records, key=lambda record: (record.server, record.id))


def without_copies(samples: Sequence[Conversation], funnel: Funnel) -> tuple[list[Conversation], list[Conversation]]:
    """Return the samples without copies of earlier ones, and the copies, labelled with the filter."""
    left, out = list(samples), []
    for name, reason, key in (("globalExactDuplicate", "SameText", exact_key), ("globalNearDuplicate", "SameContent", near_key)):
        left, copies = _split(left, key, (name, reason), funnel)
        out += copies
    return left, out


def _split(samples: list[Conversation], key: Key, why: tuple[str, str], funnel: Funnel) -> tuple[list[Conversation], list[Conversation]]:
    first: dict[tuple[str, ...], str] = {}
    left, copies = [], []
    for sample in samples:
        place = (sample.provenance[0], *key(sample.messages[0].content))
        other = first.setdefault(place, sample.id)
        if other == sample.id:
            funnel.passes(why[0], sample.labels)
            left.append(sample)
        else:
            copies.append(_rejected(sample, why, f"a copy of {other}", funnel))
    return left, copies


def within_quota(samples: Sequence[Conversation], share: float, funnel: Funnel) -> tuple[list[Conversation], list[Conversation]]:
    """Leave out recoveries above their share of what is left; which ones is decided by a hash of their ids."""
    name = "recoveryQuota"
    recovered = sorted((digest_of(["quota", sample.id]), sample.id) for sample in samples if is_recovered(sample))
    clean = len(samples) - len(recovered)
    most = len(recovered) if share >= 1 else int(share * clean / (1 - share) + 1e-9)
    over = {identifier for _, identifier in recovered[most:]}
    left, out = [], []
    for sample in samples:
        if sample.id in over:
            out.append(_rejected(sample, (name, QUOTA), f"more than {share} of the samples hold a fault", funnel))
        else:
            funnel.passes(name, sample.labels)
            left.append(sample)
    return left, out


def _rejected(sample: Conversation, why: tuple[str, str], detail: str, funnel: Funnel) -> Conversation:
    funnel.drop(why[0], ("conversation", sample.id), (why[1], detail), sample.labels)
    return sample.model_copy(update={"labels": {**sample.labels, "filter": why[0], "reason": why[1]}})
