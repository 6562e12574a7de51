"""The training loop: fill a batch, settle what is carried, update, checkpoint (the paper's RL stage, SPEC 5).

Synchronous: all rollouts of a step use one version of the weights. Every rank generates and trains its share; filling is
the same object on each of them, fed with the same gathered groups, so that nothing has to be decided for another.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from astra_jobs.api.errors import BadInput, Preempted, Transient
from astra_jobs.api.job import JobContext
from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.model.dist import Group as Ranks
from astra_jobs.records.environment import Environment
from astra_jobs.records.episode import Episode
from astra_jobs.rl import state as run_state
from astra_jobs.rl.filling import Batch, Filling
from astra_jobs.rl.rollouts import Finished, Rollouts
from astra_jobs.rl.state import CurveRow, RunState
from astra_jobs.rl.trainer import Trainer, UpdateStats

STAGES = 5
"""Moments of the training at which transcripts are kept, first and last step included."""
MOST_MASKED = 0.5
"""Share of a step's episodes that infrastructure may lose before the run is tried again instead of going on without them."""
KEPT = 4
"""Transcripts kept at each of them."""
GAP_DIGITS = 5
"""Decimals of the curve's engine gap. Smaller ones depend on which sequences were generated side by side, and that on how soon tools
answered: the artifact must not."""


@dataclass
class Seconds:
    """Time that the phases of the last step took on rank 0: told as progress, kept out of the artifact, which must not depend on it."""

    generation: float = 0.0
    update: float = 0.0


@dataclass
class StepLog:
    """The episodes of a step as they come in."""

    episodes: list[Episode] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    rounds: int = 0


@dataclass
class Training:
    """One training stage on one rank."""

    spec: RLRunSpec
    environments: Mapping[str, Environment]
    rollouts: Rollouts
    trainer: Trainer
    ranks: Ranks
    ctx: JobContext
    state: RunState = field(default_factory=RunState)
    clock: Callable[[], float] = time.monotonic
    seconds: Seconds = field(default_factory=Seconds)

    def resume(self) -> None:
        """Go on from the newest checkpoint that rank 0 finds, if there is one."""
        latest = self.ctx.checkpoints.latest() if self.ranks.rank == 0 else None
        found = self.ranks.broadcast(None if latest is None else run_state.read(latest[1]))
        if found is not None:
            self.state = run_state.restore(found, self.trainer)

    async def run(self) -> Filling:
        """Take all steps that are left; return filling with its ledger."""
        total = self.spec.algorithm.steps
        filling = Filling(list(self.environments), self.spec.algorithm, self.spec.seed, self.state.filling)
        self._tell(self.state.step, total)
        for step in range(self.state.step + 1, total + 1):
            await self._step(filling, step)
            self.state.step, self.state.filling = step, filling.state()
            self._tell(step, total)
            stop = any(self.ranks.gather(self.ctx.should_stop()))
            if (stop or step % self.spec.checkpoints.every_steps == 0) and step < total:
                self._checkpoint(step)
            if stop and step < total:
                raise Preempted("training", "Preempted", f"told to stop after step {step} of {total}; a checkpoint was kept")
        return filling

    async def _step(self, filling: Filling, step: int) -> None:
        log = StepLog()
        filling.begin(step)
        start = self.clock()
        while filling.missing() and not filling.exhausted():
            await self._round(filling, step, log)
        self.seconds.generation = self.clock() - start
        lost = sum(episode.reward.masked for episode in log.episodes)
        if lost > MOST_MASKED * len(log.episodes):
            raise Transient("sandbox", "SandboxFailing", f"step {step}: infrastructure lost {lost} of {len(log.episodes)} episodes")
        batch = self._batch(filling, step)
        start = self.clock()
        fresh = [group for group in filling.carried() if group.version == step - 1]
        if fresh and step < self.spec.algorithm.steps:
            filling.settle(self.trainer.old_logprobs(fresh))
        stats = self.trainer.update(batch.groups)
        self.seconds.update = self.clock() - start
        self.state.curve.append(curve_row(step, log, stats, len(batch.groups), len(filling.carried())))
        if step in _stages(self.spec.algorithm.steps):
            self.state.transcripts += [entry.model_copy(update={"labels": {**entry.labels, "step": str(step)}}) for entry in _shown(log)]

    async def _round(self, filling: Filling, step: int, log: StepLog) -> None:
        sent = filling.open_round()
        mine = await self.rollouts.generate(sent[self.ranks.rank :: self.ranks.world], self.environments, step - 1)
        parts: list[list[Finished]] = self.ranks.gather(mine)
        done = sorted((entry for part in parts for entry in part), key=lambda entry: entry.group.number)
        log.verdicts += filling.close_round([entry.group for entry in done])
        log.episodes += [episode for entry in done for episode in entry.episodes]
        log.rounds += 1
        if self.ranks.rank == 0:
            found, wanted = self.spec.algorithm.groups_per_step - filling.missing(), self.spec.algorithm.groups_per_step
            self._tell(step - 1, self.spec.algorithm.steps, f"step {step}: {found} of {wanted} groups after round {log.rounds}")

    def _batch(self, filling: Filling, step: int) -> Batch:
        batch = filling.take()
        if batch.starved and (self.spec.algorithm.when_starved == "Stop" or not batch.groups):
            shares = f"{len(batch.groups)} of {self.spec.algorithm.groups_per_step} groups had reward variance"
            mend = "use environments that the model solves sometimes, or raise algorithm.maxRounds"
            raise BadInput(
                "algorithm.maxRounds", "LearningStarved", f"step {step}: {shares} after {self.spec.algorithm.max_rounds} rounds; {mend}"
            )
        return batch

    def _checkpoint(self, step: int) -> None:
        if self.ranks.rank == 0:
            folder = self.ctx.scratch / f"checkpoint-{step}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            run_state.save(folder, self.state, self.trainer)
            self.ctx.checkpoints.save(step, folder)
            shutil.rmtree(folder, ignore_errors=True)
        self.ranks.barrier()

    def _tell(self, step: int, total: int, message: str = "") -> None:
        if self.ranks.rank:
            return
        metrics = {}
        if self.state.curve:
            last = self.state.curve[-1]
            metrics = {"reward": round(last.reward, 4), "validShare": round(last.valid_share, 4), "loss": round(last.loss, 5)}
            metrics |= {"generationSeconds": round(self.seconds.generation, 3), "updateSeconds": round(self.seconds.update, 3)}
            message = message or f"step {step}: reward {last.reward:.3f}"
        self.ctx.progress.update(step, total, message, metrics)


def curve_row(step: int, log: StepLog, stats: UpdateStats, trained: int, carried: int) -> CurveRow:
    """Return the curve's line of a step. A step that trains on carried groups alone generated nothing: its means are 0."""
    kept = [episode for episode in log.episodes if not episode.reward.masked]

    def mean(values: list[float]) -> float:
        return sum(values) / max(1, len(values))

    return CurveRow(
        step=step,
        reward=mean([episode.reward.value for episode in kept]),
        valid_share=mean([float(verdict == "Valid") for verdict in log.verdicts]),
        solved=mean([float(episode.reward.solved == episode.reward.targets) for episode in kept]),
        calls=mean([float(episode.reward.calls) for episode in kept]),
        turns=mean([float(episode.turns) for episode in kept]),
        truncated=mean([float(episode.ending in ("TurnLimit", "TokenLimit")) for episode in kept]),
        masked=mean([float(episode.reward.masked) for episode in log.episodes]),
        malformed=mean([float(sum(call.outcome == "malformed" for call in episode.calls)) for episode in kept]),
        echoed=mean([float(episode.reward.echoed) for episode in kept]),
        response_tokens=mean([float(episode.response_tokens) for episode in kept]),
        episodes=len(log.episodes),
        rounds=log.rounds,
        trained=trained,
        carried=carried,
        loss=stats.loss,
        gradient_norm=stats.gradient_norm,
        clipped=stats.clipped,
        entropy_estimate=stats.entropy_estimate,
        engine_gap=round(stats.engine_gap, GAP_DIGITS),
    )


def _stages(steps: int) -> set[int]:
    """Return the steps whose transcripts are kept, evenly spaced."""
    return {1 + round(index * (steps - 1) / (STAGES - 1)) for index in range(STAGES)}


def _shown(log: StepLog) -> list[Episode]:
    """Return the transcripts to keep of a step: the first rollout of its first groups."""
    return [episode for episode in log.episodes if episode.sample == 0][:KEPT]
