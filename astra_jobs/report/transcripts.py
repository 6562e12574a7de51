"""A reader for ten transcripts: the first held-out worlds as the fine-tuned and the reinforced policy went through them.

Not chosen by how well they went: the first five worlds of the held-out order, each policy once, sampled at T = 1.
"""

import json
from collections.abc import Sequence

from astra_jobs.records.conversation import Message
from astra_jobs.records.episode import Episode, EpisodeCall
from astra_jobs.records.lines import read_lines
from astra_jobs.report.figures import counted, number, share
from astra_jobs.report.heldout import NAMES
from astra_jobs.report.markup import Markup, tag
from astra_jobs.report.parts import missing, section
from astra_jobs.report.runs import Run

MOST = 10
_ENDINGS = {
    "Answered": "answered",
    "TurnLimit": "cut by the turn limit",
    "TokenLimit": "cut by the token limit",
    "Infrastructure": "lost to infrastructure",
}


def transcripts(runs: Sequence[Run]) -> Markup:
    """Return the section with the reader; without JavaScript it is a list of folded transcripts."""
    shown, words = choose(runs)
    return section(
        "transcripts",
        "Transcripts",
        words,
        tag("div", [_transcript(episode, place, len(shown)) for place, episode in enumerate(shown)], class_="reader", id="reader")
        if shown
        else missing("No episodes have been kept yet."),
    )


def choose(runs: Sequence[Run]) -> tuple[list[Episode], str]:
    """Return at most ten episodes and the words that say how they were chosen."""
    measured: dict[tuple[str, str], dict[str, Episode]] = {}
    for run in runs:
        for episode in _episodes(run, "evaluate", "episodes.jsonl"):
            group = measured.setdefault((episode.labels.get("policy", ""), episode.labels.get("mode", "")), {})
            group.setdefault(episode.environment, episode)
    policies = [name for name in ("sft", "rl") if (name, "Sampled") in measured]
    if policies:
        worlds = list(measured[(policies[-1], "Sampled")])[: MOST // len(policies)]
        found = [measured[(name, "Sampled")].get(world) for world in worlds for name in policies]
        words = "The first held-out worlds in their fixed order, at T = 1, not chosen by how well they went"
        both = ": each world once by every trained policy." if len(policies) > 1 else "."
        return [episode for episode in found if episode is not None][:MOST], words + both
    for run in reversed(runs):
        kept = _episodes(run, "train", "transcripts.jsonl")
        if kept:
            return kept[:MOST], "Episodes kept during reinforcement; nothing was measured on held-out worlds yet."
    return [], "Episodes of held-out worlds, as far as they have been measured."


def _episodes(run: Run, stage_name: str, file: str) -> list[Episode]:
    stage = run.stage(stage_name)
    if stage is None or not (stage.folder / file).exists():
        return []
    return list(read_lines(stage.folder / file, Episode))


def _transcript(episode: Episode, place: int, count: int) -> Markup:
    reward = episode.reward
    policy = NAMES.get(episode.labels.get("policy", ""), "Policy in training")
    step = f", step {episode.labels['step']}" if "step" in episode.labels else ""
    summary = tag(
        "summary",
        tag("span", f"{place + 1} of {count}", class_="place"),
        tag("span", f"{policy}{step}", class_="who"),
        tag("span", f"reward {share(reward.value)}", class_=f"reward {_grade(reward.value)}"),
        tag(
            "span",
            f"{reward.solved} of {reward.targets} targets · {counted(reward.calls, 'call')} · {_ENDINGS[episode.ending]}",
            class_="muted",
        ),
    )
    answers = iter(episode.calls)
    body = [_message(message, next(answers, None) if message.role == "tool" else None) for message in episode.messages]
    foot = f"World {episode.environment} · {counted(episode.turns, 'turn')} · {number(episode.prompt_tokens)} prompt and "
    foot += f"{number(episode.response_tokens)} response tokens"
    return tag(
        "details",
        summary,
        tag("div", body, class_="talk"),
        tag("p", foot, class_="muted"),
        class_="transcript",
        open="" if place == 0 else None,
    )


def _grade(value: float) -> str:
    return "full" if value >= 0.999 else "part" if value > 0 else "none"


def _message(message: Message, call: EpisodeCall | None) -> Markup:
    """Return one message; ``call`` is the one that a tool message answers. What could not be read of it is shown above the answer."""
    outcome = "ok" if call is None else call.outcome
    parts: list[object] = []
    if call is not None and call.text is not None:
        parts.append(tag("code", call.text, class_="call"))
    if message.reasoning:
        parts.append(tag("p", message.reasoning, class_="reasoning"))
    if message.content:
        parts.append(tag("p", message.content, class_="said"))
    parts += [tag("code", _written(call.name, call.arguments), class_="call") for call in message.tool_calls]
    role = tag("span", _who(message), tag("em", outcome.replace("_", " "), class_="outcome") if outcome != "ok" else None, class_="role")
    return tag("div", role, tag("div", parts or tag("p", "(nothing)", class_="muted"), class_="turn"), class_=f"message {message.role}")


def _who(message: Message) -> str:
    if message.role == "tool":
        return message.name or "No tool"
    return {"system": "System", "user": "Question", "assistant": "Model"}[message.role]


def _written(name: str, arguments: dict[str, object]) -> str:
    inner = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    return f"{name}({inner})"
