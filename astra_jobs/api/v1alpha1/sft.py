"""SFTRun: supervised fine-tuning on judged conversations (SPEC 5)."""

from typing import Literal, Self

from pydantic import model_validator

from astra_jobs.api.base import Model, spec_field
from astra_jobs.api.v1alpha1.common import CommonSpec, LetteredMetadata, Resource, RunReference
from astra_jobs.api.v1alpha1.sandbox import SandboxPool
from astra_jobs.api.v1alpha1.training import Checkpointing, EvaluationSpec, Optimizer, RandomModel


class SftModel(Model):
    """The model to start from."""

    random: RandomModel = spec_field(about="a Qwen3 with random weights")


class SftSchedule(Model):
    """Learning-rate schedule: linear warm-up, then cosine to zero, or constant and a linear tail."""

    name: Literal["Cosine", "ConstantThenLinear"] = spec_field("Cosine", about="shape after the warm-up", source="paper")
    warmup: float = spec_field(0.05, about="share of the steps with a linearly growing rate", unit="share", source="paper", ge=0, le=0.9)
    constant: float = spec_field(0.4, about="ConstantThenLinear: share of the steps before the decay begins", unit="share", ge=0, le=1)
    floor: float = spec_field(0.0, about="share of the peak rate that is left at the end", unit="share", ge=0, le=1)


class SftTraining(Model):
    """Data order, batch and update."""

    epochs: float = spec_field(2.0, about="passes over the data", source="paper", gt=0, le=100)
    max_length: int = spec_field(
        20_000, about="longest conversation; longer ones are dropped and counted", unit="tokens", source="paper", ge=16, le=131_072
    )
    batch_size: int = spec_field(
        32, about="conversations in one update, over all ranks", unit="conversations", source="paper", ge=1, le=8192
    )
    optimizer: Optimizer = spec_field(lambda: Optimizer(learning_rate=5e-6), about="update rule", source="paper")
    schedule: SftSchedule = spec_field(SftSchedule, about="learning-rate schedule")
    prompt_loss: float = spec_field(
        0.0, about="weight of the mean loss on tokens that the assistant did not write, beside the loss on its own", ge=0, le=1
    )
    ranks: int = spec_field(1, about="data-parallel processes", unit="ranks", ge=1, le=64)


class SFTRunSpec(CommonSpec):
    """What is trained on what, and how it is measured."""

    model: SftModel = spec_field(about="model to start from")
    data: list[RunReference] = spec_field(about="ChainSynthesis runs whose selected conversations are used", min_length=1, max_length=20)
    training: SftTraining = spec_field(SftTraining, about="training settings")
    launcher: Literal["PyTorchJob", "Job"] = spec_field("PyTorchJob", about="workload that runs the training stage", operational=True)
    checkpoints: Checkpointing = spec_field(Checkpointing, about="checkpoints", operational=True)
    sandbox: SandboxPool = spec_field(
        SandboxPool,
        about="pool of pods in which the evaluation's tool code runs where the team's isolation is gVisor; a laptop ignores it",
        operational=True,
    )
    evaluation: EvaluationSpec | None = spec_field(None, about="measurement before and after; left out, there is none")

    @model_validator(mode="after")
    def _one_rank_on_a_job(self) -> Self:
        if self.launcher == "Job" and self.training.ranks > 1:
            raise ValueError("launcher Job runs one rank; use PyTorchJob for training.ranks above 1")
        return self


class SFTRun(Resource):
    """Supervised fine-tuning on judged conversations."""

    kind: Literal["SFTRun"] = "SFTRun"
    metadata: LetteredMetadata
    spec: SFTRunSpec
