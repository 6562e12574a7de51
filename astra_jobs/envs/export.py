"""Export to the shape of the released RL data set (ASTRA-RL-1k), and back.

A row holds a prompt of one message and three JSON texts: the tools' schemas, tool name → Python, tool name → expected
answers as text. What the shape has no room for (answer types, paths, oracle, proof) is lost, so an imported row has
targets without a path. Row 0 of the release has two tools of one name; here names are unique or the row is refused.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from astra_jobs.api.base import Model
from astra_jobs.api.errors import BadInput
from astra_jobs.records.environment import Answer, Environment, Target
from astra_jobs.records.lines import write_lines


class ExportRow(Model):
    """One row of the released shape; the names of its fields are the data set's."""

    model_config = ConfigDict(alias_generator=None)

    prompt: list[dict[str, str]]
    tool_schema: str
    tool_dict: str
    sub_qa_dict: str


class ImportedEnvironment(Model):
    """What a row tells: question, schemas and code by tool, expected texts by tool."""

    question: str
    schemas: list[dict[str, Any]]
    code: dict[str, str]
    answers: dict[str, list[str]]

    def targets(self) -> list[Target]:
        """Return what a call must give, labelled as imported: texts without a type or path, of tools that nobody proved."""
        expected = [(tool, text) for tool, texts in self.answers.items() for text in texts]
        return [
            Target(node=number, tool=tool, answer=Answer(kind="text", value=text), origin="Imported")
            for number, (tool, text) in enumerate(expected, start=1)
        ]


def answer_text(answer: Answer) -> str:
    """Return an answer as the text in which a tool prints it."""
    if isinstance(answer.value, list):
        return json.dumps(answer.value, ensure_ascii=False, separators=(",", ":"))
    return str(answer.value)


def to_row(environment: Environment) -> ExportRow:
    """Return an environment in the released shape."""
    answers: dict[str, list[str]] = {}
    for target in environment.targets:
        answers.setdefault(target.tool, []).append(answer_text(target.answer))
    return _row(
        ImportedEnvironment(
            question=environment.question,
            schemas=[entry.tool.function() for entry in environment.tools],
            code={entry.tool.name: entry.code for entry in environment.tools},
            answers=answers,
        )
    )


def _row(held: ImportedEnvironment) -> ExportRow:
    return ExportRow(
        prompt=[{"role": "user", "content": held.question}],
        tool_schema=json.dumps(held.schemas, ensure_ascii=False),
        tool_dict=json.dumps(held.code, ensure_ascii=False),
        sub_qa_dict=json.dumps(held.answers, ensure_ascii=False),
    )


def from_row(row: ExportRow, where: str = "row") -> ImportedEnvironment:
    """Read a row; BadInput when names clash or a target has no tool."""
    held = ImportedEnvironment(
        question=row.prompt[0]["content"],
        schemas=json.loads(row.tool_schema),
        code=json.loads(row.tool_dict),
        answers=json.loads(row.sub_qa_dict),
    )
    names = [schema["function"]["name"] for schema in held.schemas]
    if len(set(names)) != len(names) or set(names) != set(held.code):
        raise BadInput(where, "BadInput", f"tool names clash or lack code: {sorted(names)}; give each tool one name and one function")
    if not set(held.answers) <= set(names):
        raise BadInput(where, "BadInput", f"answers are expected of tools that are not there: {sorted(set(held.answers) - set(names))}")
    return held


def again(held: ImportedEnvironment) -> ExportRow:
    """Return the row that an imported environment came from."""
    return _row(held)


def write_export(path: Path, environments: Iterable[Environment]) -> int:
    """Write rows as JSON Lines; return how many."""
    return write_lines(path, (to_row(environment) for environment in environments))
