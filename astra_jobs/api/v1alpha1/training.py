"""What SFTRun and RLRun share: the model's shape, the optimizer, checkpoints, evaluation."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from astra_jobs.api.base import Model, spec_field
from astra_jobs.api.v1alpha1.common import RunReference


class RandomModel(Model):
    """A Qwen3 with random weights, and a tokenizer trained on the run's own data in prepare."""

    hidden_size: int = spec_field(128, about="width of the residual stream", ge=32, le=8192, multiple_of=8)
    layers: int = spec_field(3, about="decoder layers", ge=1, le=128)
    heads: int = spec_field(4, about="query heads", ge=1, le=128)
    kv_heads: int = spec_field(2, about="key and value heads", ge=1, le=128)
    head_dim: int = spec_field(32, about="width of a head; 32 is the least that vLLM takes on CPU", ge=8, le=256, multiple_of=2)
    mlp_size: int = spec_field(384, about="width of the gated MLP", ge=32, le=65536)
    vocabulary: int = spec_field(768, about="tokens of the trained tokenizer, special tokens included", unit="tokens", ge=320, le=200_000)
    rope_theta: float = spec_field(10_000.0, about="base of the rotary position encoding", gt=0, le=1e9)
    max_length: int = spec_field(2048, about="longest sequence", unit="tokens", ge=64, le=1_048_576)

    @model_validator(mode="after")
    def _grouped(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError("heads must be a multiple of kvHeads")
        return self


class Optimizer(Model):
    """AdamW, or Muon for the matrices with AdamW for embeddings and norms."""

    name: Literal["AdamW", "Muon"] = spec_field("AdamW", about="update rule", source="paper")
    learning_rate: float = spec_field(about="peak learning rate (of the matrices with Muon)", gt=0, le=1)
    embedding_learning_rate: float | None = spec_field(None, about="peak learning rate of embeddings and norms with Muon", gt=0, le=1)
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = spec_field(
        lambda: [0.9, 0.95], about="AdamW's two decay rates", min_length=2, max_length=2
    )
    weight_decay: float = spec_field(0.01, about="decoupled weight decay", ge=0, le=1)
    max_gradient_norm: float = spec_field(1.0, about="gradients are scaled to at most this norm", gt=0, le=1e9)


class Checkpointing(Model):
    """How often training state is committed."""

    every_steps: int = spec_field(20, about="steps between checkpoints", unit="steps", operational=True, ge=1, le=1_000_000)


class EvaluationSpec(Model):
    """Held-out environments that a model is measured on."""

    environments: list[RunReference] = spec_field(about="EnvSynthesis runs whose held-out split is used", min_length=1, max_length=20)
    episodes: int = spec_field(400, about="held-out environments, the same ones for every model", unit="episodes", ge=1, le=100_000)
    max_turns: int = spec_field(6, about="most model turns of an episode", unit="turns", ge=1, le=64)
    max_response_tokens: int = spec_field(384, about="most tokens of the whole multi-turn tail", unit="tokens", ge=16, le=131_072)
    resamples: int = spec_field(2000, about="bootstrap resamples for each interval", ge=100, le=100_000)
