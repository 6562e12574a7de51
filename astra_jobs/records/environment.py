"""Question graphs and the verifiable environments made of them (SPEC 3)."""

import datetime
import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from astra_jobs.api.base import Model, Named, digest_of
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.records.tool import Tool

Scenario = Literal["SingleHop", "ParallelSingleHop", "MultiHop", "ParallelMultiHop"]
Band = Literal["High", "Medium", "Low"]


_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,), "date": (str,), "number": (int, float), "boolean": (bool,), "list": (list,), "set": (list,)
}  # fmt: skip


class Answer(Model):
    """A typed answer. ``value`` is text, a number, an ISO date, a boolean, or a list of texts, numbers or booleans by ``kind``."""

    kind: Literal["text", "number", "date", "boolean", "list", "set"]
    value: bool | str | int | float | list[bool | str | int | float]
    unit: str = ""
    tolerance: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="absolute, for numbers; 0 states none: integers are exact, others to 1e-9"
    )

    @model_validator(mode="after")
    def _typed(self) -> Self:
        if not isinstance(self.value, _KINDS[self.kind]) or isinstance(self.value, bool) != (self.kind == "boolean"):
            raise ValueError(f"value of a {self.kind} answer has the wrong type: {_shown(self.value)}")
        if not all(map(_storable, self.items())):
            raise ValueError(f"value of a {self.kind} answer has no form in a record: {_shown(self.value)}")
        if self.kind == "date":
            datetime.date.fromisoformat(str(self.value))
        return self

    def items(self) -> "list[bool | str | int | float]":
        """Return the plain values that the answer is made of: its items, or itself."""
        return self.value if isinstance(self.value, list) else [self.value]


def _storable(item: bool | str | float) -> bool:
    """Tell whether a value is written and read back unchanged: finite, printable, no half of a surrogate pair."""
    if isinstance(item, str):
        return not any("\ud800" <= char <= "\udfff" for char in item)
    return math.isfinite(item) if isinstance(item, float) else abs(item) < 10**4000


def _shown(value: Any) -> str:
    try:
        return ascii(value)[:80]
    except ValueError:
        return "an integer longer than Python prints"


class QaNode(Model):
    """A sub-question. ``hop`` is 1 + the greatest hop of what it depends on."""

    id: int = Field(ge=1)
    hop: int = Field(ge=1)
    question: str
    answer: Answer
    depends_on: list[int] = Field(default_factory=list)
    needs_tool: bool = True
    parallel: bool = False


class QaGraph(Model):
    """A main question decomposed into sub-questions."""

    question: str
    nodes: list[QaNode]
    scenario: Scenario


class EnvTool(Model):
    """A tool with the Python that answers it: a function of the tool's name that takes the arguments by keyword."""

    tool: Tool
    code: str
    band: Band | None = Field(default=None, description="similarity band of an irrelevant tool; None is in scope")
    domain: str = ""


class Target(Model):
    """A sub-question that a call of ``tool`` solves, by the leaf at ``answer_path`` (JSON pointer) of its value.

    A target of an imported row has no path, and its tool was not proven free of echo: it is solved by a looser rule, and
    not by a call whose arguments hold the answer (SPEC 5).
    """

    node: int
    tool: str
    answer: Answer
    answer_path: str | None = None
    origin: Literal["Imported"] | None = Field(default=None, description="Imported: not proven; None: made and proven by EnvSynthesis")

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if self.answer_path is None and (self.origin is None or self.answer.kind != "text"):
            raise ValueError(f"target {self.node} of {self.tool} has no answerPath; only text answers of imported rows may lack one")
        return self


class OracleCall(Model):
    """The call that solves a node."""

    node: int
    tool: str
    arguments: dict[str, Any]


class Verification(Model):
    """What was proven of an environment in the sandbox."""

    checks: Named[bool] = Field(default_factory=dict)
    mutants: int = 0
    mutants_killed: int = 0
    oracle_reward: float = 0.0
    no_op_reward: float = 0.0


class Environment(Model):
    """One question with its tools, targets and proof; RL, evaluation and export read it."""

    version: Literal[1] = 1
    id: str
    question: str
    final_answer: str = ""
    scenario: Scenario
    domain: str
    tools: list[EnvTool]
    targets: list[Target]
    oracle: list[OracleCall]
    graph: QaGraph
    world_seed: int
    worlds: ProceduralWorlds
    split: Literal["Train", "HeldOut"] = "Train"
    scores: Named[float] = Field(default_factory=dict)
    verification: Verification = Field(default_factory=Verification)
    labels: Named[str] = Field(default_factory=dict)

    def code_digest(self) -> str:
        """Return the digest of the tools' code, the key of a sandbox environment."""
        return digest_of([[entry.tool.name, entry.code] for entry in self.tools])
