"""The two stages of an SFTRun before its evaluation (SPEC 5).

``prepare`` finds every error before training begins: it trains the tokenizer on the run's own conversations, renders and
masks them and writes tokenizer/, rows.safetensors, dropped.jsonl and report.json. ``train`` starts from random weights and
writes model/, curve.jsonl and report.json. Killed or told to stop, it goes on from its newest checkpoint with the same
losses, bit for bit on one rank.
"""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3ForCausalLM

from astra_jobs.api.base import canonical
from astra_jobs.api.errors import BadInput, Preempted
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import StageRequest
from astra_jobs.api.v1alpha1.sft import SFTRunSpec
from astra_jobs.model import dist, load, tokenizer
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.conversation import Conversation
from astra_jobs.records.funnel import Dropped, StageReport, Tally
from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.sft.data import Rows, plan
from astra_jobs.sft.loop import StepNumbers, Trainer

_STATE = "state.pt"


def prepare(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Check the spec against the data; write tokenizer, rows to train on, what was dropped, and the plan."""
    spec = SFTRunSpec.model_validate(request.spec)
    _check(spec)
    conversations = _conversations(inputs)
    ctx.progress.update(0, 2, f"training the tokenizer on {len(conversations)} conversations")
    trained = tokenizer.train(conversations, spec.model.random.vocabulary)
    ctx.progress.update(1, 2, "rendering")
    rows, dropped = _rendered(conversations, Renderer(trained), spec.training.max_length)
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(entry.reason for entry in dropped).items()))
        raise BadInput("training.maxLength", "NothingKept", f"none of {len(conversations)} conversations is left ({reasons}); raise it")
    packed = Rows.of(rows)
    trained.save_pretrained(out / "tokenizer")
    packed.save(out / "rows.safetensors")
    write_lines(out / "dropped.jsonl", dropped)
    report = _report(packed, dropped, spec, len(trained), len(conversations))
    (out / "report.json").write_bytes(canonical(report.to_dict()) + b"\n")
    ctx.progress.update(2, 2, f"{len(rows)} rows, {len(dropped)} dropped")
    numbers = report.numbers
    return {"rows": len(rows), "dropped": len(dropped), "tokens": int(numbers["tokens"]), "steps": int(numbers["steps"])}


def _check(spec: SFTRunSpec) -> None:
    shape, training = spec.model.random, spec.training
    if training.max_length > shape.max_length:
        raise BadInput(
            "training.maxLength",
            "TooLong",
            f"{training.max_length} tokens are more than model.random.maxLength {shape.max_length}; lower it or raise that",
        )
    if training.ranks > training.batch_size:
        raise BadInput("training.ranks", "TooManyRanks", f"{training.ranks} ranks share a batch of {training.batch_size}; lower ranks")
    if spec.evaluation is not None and spec.evaluation.max_response_tokens >= shape.max_length:
        raise BadInput(
            "evaluation.maxResponseTokens",
            "TooLong",
            f"{spec.evaluation.max_response_tokens} tokens leave no room for a prompt in model.random.maxLength {shape.max_length}",
        )


def _conversations(inputs: Inputs) -> list[Conversation]:
    found = [entry for folder in inputs.many("data") for entry in read_lines(folder / "samples.jsonl", Conversation)]
    if not found:
        raise BadInput("data", "NothingKept", "the ChainSynthesis runs selected no conversation; look at their reports")
    return found


def _rendered(
    conversations: Sequence[Conversation], renderer: Renderer, longest: int
) -> tuple[list[tuple[list[int], list[bool]]], list[Dropped]]:
    """Return token rows with masks, and what cannot be used."""
    rows: list[tuple[list[int], list[bool]]] = []
    dropped: list[Dropped] = []
    for entry in conversations:
        if not any(message.role == "assistant" and message.train for message in entry.messages):
            dropped.append(_drop(entry, "NothingToTrain", "no assistant message with train true"))
            continue
        found = renderer.rows(entry.tools, entry.messages)
        most = max(len(ids) for ids, _ in found)
        if most > longest:
            dropped.append(_drop(entry, "TooLong", f"{most} tokens"))
        else:
            rows += found
    return rows, dropped


def _drop(entry: Conversation, reason: str, detail: str) -> Dropped:
    return Dropped(what="conversation", name=entry.id, filter="length", reason=reason, detail=detail, labels=entry.labels)


def _report(rows: Rows, dropped: Sequence[Dropped], spec: SFTRunSpec, vocabulary: int, seen: int) -> StageReport:
    lengths = rows.lengths()
    steps = len(plan(lengths, spec.training.batch_size, spec.training.epochs, spec.seed))
    tally = Tally()
    for reason in [*(entry.reason for entry in dropped), *[""] * (seen - len(dropped))]:
        tally.add(planted=False, reason=reason)
    numbers = {
        "rows": len(rows),
        "tokens": sum(lengths),
        "labels": int(rows.mask.sum()),
        "meanTokens": round(sum(lengths) / len(lengths), 2),
        "longest": max(lengths),
        "vocabulary": vocabulary,
        "steps": steps,
    }
    return StageReport(kind="SFTRun", funnel=[tally.count("length")], numbers={name: float(value) for name, value in numbers.items()})


def train(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Train; rank 0 writes the artifact."""
    torch.set_num_threads(1)
    spec = SFTRunSpec.model_validate(request.spec)
    prepared = inputs.stages["prepare/0"]
    words = load.load_tokenizer(prepared / "tokenizer")
    rows = Rows.load(prepared / "rows.safetensors")
    model = load.fresh(spec.model.random, words, ctx.seed)
    batches = plan(rows.lengths(), spec.training.batch_size, spec.training.epochs, ctx.seed)
    with dist.joined(ctx.rank, ctx.world) as group:
        run = _Run(Trainer(model, rows, batches, spec.training, group), group, spec.checkpoints.every_steps, ctx)
        run.resume()
        run.finish()
        group.barrier()
    metrics = _summary(run.curve, model)
    if ctx.rank == 0:
        load.save(model, words, out / "model")
        (out / "curve.jsonl").write_bytes(b"".join(canonical(line) + b"\n" for line in run.curve))
        report = {**metrics, "ranks": ctx.world, "settings": spec.training.to_dict(), "model": spec.model.random.to_dict()}
        (out / "report.json").write_text(json.dumps(report, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return metrics


class _Run:
    """The loop around the trainer: checkpoints, curve, progress, and the order to stop."""

    def __init__(self, trainer: Trainer, group: dist.Group, every: int, ctx: JobContext) -> None:
        self.curve: list[dict[str, Any]] = []
        self._trainer, self._group, self._every, self._ctx = trainer, group, every, ctx

    def resume(self) -> None:
        """Go on from the newest checkpoint, the same on all ranks."""
        state = None
        if self._ctx.rank == 0 and (found := self._ctx.checkpoints.latest()) is not None:
            state = torch.load(found[1] / _STATE, weights_only=True)
        state = self._group.broadcast(state)
        if state is not None:
            self._trainer.restore(state["trainer"])
            self.curve = state["curve"]

    def finish(self) -> None:
        """Do all updates that are left; raise Preempted after a checkpoint when told to stop before the end."""
        total = len(self._trainer.batches)
        while self._trainer.done < total:
            numbers = self._trainer.step(self._ctx.should_stop())
            self.curve.append(_line(self._trainer.done, numbers))
            if self._ctx.rank == 0:
                self._tell(total, numbers)
            stops = numbers.stopping and self._trainer.done < total
            if stops or self._trainer.done % self._every == 0:
                self._save()
            if stops:
                self._group.barrier()
                raise Preempted("", "Preempted", f"told to stop; a checkpoint of step {self._trainer.done} of {total} is kept")

    def _tell(self, total: int, numbers: StepNumbers) -> None:
        metrics = {"loss": round(numbers.loss, 4), "gradientNorm": round(numbers.gradient_norm, 3)}
        self._ctx.progress.update(self._trainer.done, total, f"loss {numbers.loss:.3f}", metrics)

    def _save(self) -> None:
        if self._ctx.rank != 0:
            return
        folder = self._ctx.scratch / f"saving-{self._trainer.done}"
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"trainer": self._trainer.state(), "curve": self.curve}, folder / _STATE)
        self._ctx.checkpoints.save(self._trainer.done, folder)
        shutil.rmtree(folder, ignore_errors=True)


def _line(step: int, numbers: StepNumbers) -> dict[str, Any]:
    return {
        "step": step,
        "loss": numbers.loss,
        "promptLoss": numbers.prompt_loss,
        "gradientNorm": numbers.gradient_norm,
        "tokens": numbers.tokens,
        "labels": numbers.labels,
    }


def _summary(curve: Sequence[dict[str, Any]], model: Qwen3ForCausalLM) -> dict[str, float | int | str]:
    tail = curve[-10:]
    return {
        "steps": len(curve),
        "loss": round(sum(line["loss"] for line in tail) / len(tail), 4),
        "tokens": sum(line["tokens"] for line in curve),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
