"""One broken tool never takes the others with it: dropped by name, field and reason, from a real server's text (SPEC 1)."""

import json
import sys
from pathlib import Path

import pytest

from astra_jobs.api.v1alpha1.corpus import CorpusFilters, McpSource
from astra_jobs.records.lines import write_lines
from astra_jobs.toolcorpus.filter import Sieve
from astra_jobs.toolcorpus.sources.mcp import collect_mcp

SERVER = str(Path(__file__).parent / "scripted_server.py")
GOOD = '{"name":"good","description":"does it well","inputSchema":{"type":"object"}}'
SCHEMA = '"inputSchema":{"type":"object"}'
NAMED = '"name":"bad","description":"does it badly"'


def sift(folder: Path, *tools: str) -> tuple[Sieve, dict[str, tuple[str, str]]]:
    """Read a server whose one page holds these tools' texts; return the sieve, and reason and detail of each dropped tool."""
    file = folder / "script.json"
    page = '{{"jsonrpc":"2.0","id":@ID,"result":{{"tools":[{}]}}}}'.format(",".join(tools))
    file.write_text(json.dumps({"tools/list": [page]}), encoding="utf-8")
    source = McpSource.model_validate({"command": [sys.executable, SERVER, str(file)], "timeoutSeconds": 120})
    (raw,) = collect_mcp([(0, "s", source)], folder, lambda: False)
    sieve = Sieve(CorpusFilters(min_tools_per_server=1))
    sieve.add(raw)
    write_lines(folder / "servers.jsonl", sieve.kept)
    write_lines(folder / "dropped.jsonl", sieve.funnel.dropped)
    return sieve, {item.name: (item.reason, item.detail) for item in sieve.funnel.dropped if item.what == "tool"}


def deep(levels: int) -> str:
    return '{"type":"object","x":' + "[" * levels + "]" * levels + "}"


BROKEN = {
    "text": (f'{{{NAMED},"inputSchema":"object"}}', "s/bad", "SchemaNotAnObject", 'inputSchema is text ("object")'),
    "a list": (f'{{{NAMED},"inputSchema":[1]}}', "s/bad", "SchemaNotAnObject", "inputSchema is a list ([1])"),
    "NaN": (f'{{{NAMED},"inputSchema":{{"type":"object","default":NaN}}}}', "s/bad", "NotFinite", "inputSchema: default is NaN"),
    "-Infinity": (f'{{{NAMED},"inputSchema":{{"type":"object","a":[1,-Infinity]}}}}', "s/bad", "NotFinite", "a[1] is -Infinity"),
    "1e400": (f'{{{NAMED},"inputSchema":{{"type":"object","maximum":1e400}}}}', "s/bad", "NotFinite", "maximum is Infinity"),
    "5,000 digits": ('{{{},"inputSchema":{{"type":"object","maximum":{}}}}}'.format(NAMED, "9" * 5000), "s/bad", "NotFinite", "maximum"),
    "half a pair": (f'{{"name":"bad","description":"x \\ud83d",{SCHEMA}}}', "s/bad", "BadText", "description: the text is"),
    "half a pair in a key": (
        f'{{{NAMED},"inputSchema":{{"type":"object","properties":{{"\\udc00":{{}}}}}}}}',
        "s/bad",
        "BadText",
        "a key of",
    ),
    "Latin-1": (f'{{"name":"bad","description":"caf\xe9 au lait",{SCHEMA}}}', "s/bad", "BadText", "bytes that are no UTF-8"),
    "150 levels": (f'{{{NAMED},"inputSchema":{deep(150)}}}', "s/bad", "TooDeep", "more than 100 levels deep"),
    "100,000 levels": (f'{{{NAMED},"inputSchema":{deep(100_000)}}}', "s/bad", "TooDeep", "more than 100 levels deep"),
    "description of another type": (f'{{"name":"bad","description":{{"en":"x"}},{SCHEMA}}}', "s/bad", "BadDescription", "is an object"),
    "no name": (f'{{"description":"does it badly",{SCHEMA}}}', "s/#1", "BadName", "name is missing"),
    "name of another type": (f'{{"name":5,"description":"does it",{SCHEMA}}}', "s/#1", "BadName", "name is a number (5)"),
    "half a pair in the name": (f'{{"name":"b\\ud83d","description":"does it",{SCHEMA}}}', "s/b\\ud83d", "BadText", "name: the text is"),
    "no object": ('"bad"', "s/#1", "NotATool", 'it is text ("bad"), not an object'),
    "null for a tool": ("null", "s/#1", "NotATool", "it is null, not an object"),
    "a list for a tool": ("[[]]", "s/#1", "NotATool", "it is a list"),
    "the same name again": (GOOD, "s/good", "NameTaken", "good"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_tool_is_dropped_by_name_field_and_reason(case: str, tmp_path: Path) -> None:
    text, name, reason, detail = BROKEN[case]
    sieve, dropped = sift(tmp_path, GOOD, text, GOOD.replace("good", "after"))
    assert [tool.name for tool in sieve.kept[0].tools] == ["good", "after"]
    assert set(dropped) == {name}
    assert dropped[name][0] == reason
    assert detail in dropped[name][1]


REPAIRED = {"no inputSchema": "{%s}" % NAMED, "null": '{%s,"inputSchema":null}' % NAMED}  # noqa: UP031


@pytest.mark.parametrize("case", REPAIRED)
def test_a_tool_without_a_schema_is_kept_as_one_without_parameters_and_reported(case: str, tmp_path: Path) -> None:
    sieve, dropped = sift(tmp_path, REPAIRED[case])
    assert dropped == {}
    assert sieve.kept[0].tools[0].parameters == {"type": "object", "properties": {}}
    assert [loss.startswith("s/bad: ") for loss in sieve.losses] == [True]


HARMLESS = {
    "annotations of a wrong type": '"annotations":["readOnly"]',
    "annotations with text for a flag": '"annotations":{"readOnlyHint":"yes","title":5}',
    "an odd _meta": '"_meta":[1,NaN,"\\ud83d"]',
    "a title of a wrong type": '"title":{"en":"x"}',
    "icons and members that nobody knows": f'"icons":"x.png","execution":null,"x":{deep(100_000)}',
}


@pytest.mark.parametrize("case", HARMLESS)
def test_members_that_the_normal_form_has_no_place_for_do_no_harm(case: str, tmp_path: Path) -> None:
    sieve, dropped = sift(tmp_path, f"{{{NAMED},{SCHEMA},{HARMLESS[case]}}}")
    assert ([tool.name for tool in sieve.kept[0].tools], dropped) == (["bad"], {})


LOST = {
    "a list": "[]",
    "NaN": '{"type":"object","default":NaN}',
    "half a pair": '{"type":"object","title":"\\ud83d"}',
    "deep": deep(100_000),
}


@pytest.mark.parametrize("case", LOST)
def test_a_broken_result_schema_is_left_out_and_reported(case: str, tmp_path: Path) -> None:
    sieve, dropped = sift(tmp_path, f'{{{NAMED},{SCHEMA},"outputSchema":{LOST[case]}}}')
    assert dropped == {}
    assert sieve.kept[0].tools[0].returns is None
    assert [loss.startswith("s/bad: result schema left out: ") for loss in sieve.losses] == [True]
