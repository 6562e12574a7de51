"""RLRun: multi-turn reinforcement on verifiable environments (SPEC 5)."""

from typing import Literal, Self

from pydantic import model_validator

from astra_jobs.api.base import Model, spec_field
from astra_jobs.api.v1alpha1.common import CommonSpec, LetteredMetadata, Resource, RunReference
from astra_jobs.api.v1alpha1.sandbox import SandboxPool
from astra_jobs.api.v1alpha1.training import Checkpointing, EvaluationSpec, Optimizer


class RlModel(Model):
    """The policy to start from."""

    run: RunReference = spec_field(about="SFTRun whose final weights and tokenizer are used")


class RlRollout(Model):
    """Online multi-turn rollouts, token in and token out."""

    engine: Literal["Transformers"] = spec_field(
        "Transformers", about="generation engine; Transformers is one KV-cached batch stepped token by token"
    )
    max_turns: int = spec_field(32, about="most model turns of an episode", unit="turns", source="paper", ge=1, le=64)
    max_prompt_tokens: int = spec_field(
        25_600, about="longest prompt; longer ones are dropped and counted", unit="tokens", source="paper", ge=16, le=131_072
    )
    max_response_tokens: int = spec_field(
        49_152, about="most tokens of the whole multi-turn tail, observations included", unit="tokens", source="paper", ge=16, le=131_072
    )
    temperature: float = spec_field(1.0, about="sampling temperature", source="paper", gt=0, le=2)
    max_tool_chars: int = spec_field(4096, about="longest tool text in an observation", unit="characters", ge=64, le=1_000_000)
    max_parallel_calls: int = spec_field(
        8, about="most calls of one turn that run, one after the other; further ones get an error and count", unit="calls", ge=1, le=64
    )


class RlAlgorithm(Model):
    """GRPO with adaptive batch filling."""

    group_size: int = spec_field(8, about="rollouts of one prompt", unit="rollouts", ge=2, le=256)
    groups_per_step: int = spec_field(256, about="groups with reward variance in one update", unit="groups", source="paper", ge=1, le=8192)
    steps: int = spec_field(100, about="updates", unit="steps", ge=1, le=1_000_000)
    clip: float = spec_field(0.2, about="symmetric clip of the probability ratio", gt=0, lt=1)
    std_floor: float = spec_field(0.02, about="least standard deviation that an advantage is divided by", gt=0, le=1)
    min_std: float = spec_field(1e-4, about="groups whose rewards deviate by no more are not trained on", ge=0, le=1)
    max_rounds: int = spec_field(10, about="generation rounds in one step before whenStarved applies", unit="rounds", ge=1, le=1000)
    when_starved: Literal["Stop", "SmallerBatch"] = spec_field(
        "Stop", about="what too few groups with variance do: end the run with a reason, or train on what there is"
    )
    reward: Literal["F1", "Recall", "Precision"] = spec_field("F1", about="reward of an episode", source="paper")


class RlTraining(Model):
    """The update."""

    optimizer: Optimizer = spec_field(lambda: Optimizer(learning_rate=2e-6), about="update rule; the rate is constant", source="paper")
    ranks: int = spec_field(1, about="processes; every one generates and trains", unit="ranks", ge=1, le=64)
    micro_batch_tokens: int = spec_field(
        16_384, about="most padded tokens of one forward and backward pass", unit="tokens", ge=64, le=100_000_000
    )


class RLRunSpec(CommonSpec):
    """What is reinforced on what, and how it is measured."""

    model: RlModel = spec_field(about="policy to start from")
    environments: list[RunReference] = spec_field(about="EnvSynthesis runs whose training split is used", min_length=1, max_length=20)
    rollout: RlRollout = spec_field(RlRollout, about="rollouts")
    algorithm: RlAlgorithm = spec_field(RlAlgorithm, about="objective and batch filling")
    training: RlTraining = spec_field(RlTraining, about="the update")
    launcher: Literal["PyTorchJob", "Job"] = spec_field("PyTorchJob", about="workload that runs the training stage", operational=True)
    checkpoints: Checkpointing = spec_field(lambda: Checkpointing(every_steps=5), about="checkpoints", operational=True)
    sandbox: SandboxPool = spec_field(
        SandboxPool,
        about="pool of pods in which tool code runs where the team's isolation is gVisor; a laptop ignores it",
        operational=True,
    )
    evaluation: EvaluationSpec | None = spec_field(None, about="measurement before and after; left out, there is none")

    @model_validator(mode="after")
    def _one_rank_on_a_job(self) -> Self:
        if self.launcher == "Job" and self.training.ranks > 1:
            raise ValueError("launcher Job runs one rank; use PyTorchJob for training.ranks above 1")
        return self


class RLRun(Resource):
    """Reinforcement of a policy on verifiable environments."""

    kind: Literal["RLRun"] = "RLRun"
    metadata: LetteredMetadata
    spec: RLRunSpec
