"""Every kind of wrong input: one line that names file, line, field, value and mend; exit code 78; nothing left behind."""

from pathlib import Path

import pytest

from astra_cli.main import main

HEAD = "apiVersion: astra.dev/v1alpha1\n"
CORPUS = HEAD + "kind: ToolCorpus\nmetadata: {name: tools}\nspec:\n  sources: [{name: w, procedural: {servers: 3}}]\n"
CHAINS = HEAD + "kind: ChainSynthesis\nmetadata: {name: chains}\nspec:\n  corpus: {name: tools}\n  author: {procedural: {}}\n"
TEAM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: astra-team}\ndata:\n"

TABLE = {
    "unknown field": (CORPUS + "  sed: 1\n", "m.yaml:6: spec.sed: found 1: unknown field; remove it or write seed"),
    "unknown deep field": (
        CORPUS.replace("servers: 3", "server: 3, servers: 3"),
        "m.yaml:5: spec.sources[0].procedural.server: found 3: unknown field; remove it or write servers",
    ),
    "wrong type": (CORPUS + "  seed: one\n", 'm.yaml:6: spec.seed: found "one": Input should be a valid integer; write a whole number'),
    "number as text": (CORPUS + "  seed: '1'\n", 'm.yaml:6: spec.seed: found "1": Input should be a valid integer; write a whole number'),
    "text as bool": (
        CORPUS + "  suspend: 'off'\n",
        'm.yaml:6: spec.suspend: found "off": Input should be a valid boolean; write true or false',
    ),
    "unknown null": (CORPUS + "  sed: null\n", "m.yaml:6: spec.sed: found null: unknown field; remove it or write seed"),
    "queue": (CORPUS + "  queue: team\n", 'm.yaml:6: spec.queue: found "team": there is no Kueue on a laptop; remove it or use a cluster'),
    "priority": (CORPUS + "  priorityClassName: high\n", 'm.yaml:6: spec.priorityClassName: found "high": a laptop has no priorities'),
    "manager": (CORPUS + "  managedBy: example.com/x\n", 'm.yaml:6: spec.managedBy: found "example.com/x": nobody but astra.dev/operator'),
    "claims": (
        CORPUS + "  pod:\n    volumes: [{name: a, claimName: a, mountPath: /a}]\n",
        'm.yaml:7: spec.pod.volumes: found [{"name": "a", "claimName": "a", "mountPath": "/a"}]: there are no PersistentVolumeClaims',
    ),
    "secrets": (
        CORPUS + "  pod: {secretEnv: [{name: A, secret: a, key: a}]}\n",
        'm.yaml:6: spec.pod.secretEnv: found [{"name": "A", "secret": "a", "key": "a"}]: there are no Secrets on a laptop',
    ),
    "out of range": (CORPUS + "  seed: -1\n", "m.yaml:6: spec.seed: found -1: Input should be greater than or equal to 0"),
    "not in the enum": (CORPUS + "  onInputChange: finish\n", "m.yaml:6: spec.onInputChange: found \"finish\": Input should be 'Finish'"),
    "missing field": (CHAINS.replace("  corpus: {name: tools}\n", ""), "m.yaml:4: spec.corpus: Field required; add the field"),
    "missing spec": (HEAD + "kind: ToolCorpus\nmetadata: {name: a}\n", "m.yaml:1: spec: Field required; add the field"),
    "null is missing": (CHAINS.replace("{name: tools}", "null"), "m.yaml:5: spec.corpus: Field required; add the field"),
    "missing metadata": (CORPUS.replace("metadata: {name: tools}\n", ""), "m.yaml:1: metadata: Field required; add the field"),
    "missing name": (CORPUS.replace("{name: tools}", "{namespace: a}"), "m.yaml:3: metadata.name: Field required; add the field"),
    "bad name": (CORPUS.replace("name: tools", "name: Tools_1"), 'm.yaml:3: metadata.name: found "Tools_1": String should match'),
    "rule between fields": (
        CHAINS + "  walks: {minLength: 4, maxLength: 2}\n",
        'm.yaml:7: spec.walks: found {"minLength": 4, "maxLength": 2}: minLength must not exceed maxLength',
    ),
    "unknown kind": (CORPUS.replace("ToolCorpus", "ToolCorpora"), "m.yaml:2: kind: found 'ToolCorpora': unknown kind; write ToolCorpus"),
    "other kind": (CORPUS.replace("ToolCorpus", "Deployment"), "m.yaml:2: kind: found 'Deployment': unknown kind; write one of ToolCorpus"),
    "no kind": (CORPUS.replace("kind: ToolCorpus\n", ""), "m.yaml:1: kind: Field required; write one of ToolCorpus"),
    "no apiVersion": (CORPUS.replace(HEAD, ""), "m.yaml:1: apiVersion: Field required; add apiVersion: astra.dev/v1alpha1"),
    "other apiVersion": (
        CORPUS.replace("v1alpha1", "v1"),
        "m.yaml:1: apiVersion: found \"astra.dev/v1\": Input should be 'astra.dev/v1alpha1'",
    ),
    "unknown top field": (CORPUS + "specs: {}\n", "m.yaml:6: specs: found {}: unknown field; remove it or write spec"),
    "not a mapping": ("- 1\n", "m.yaml:1: found a list; write a mapping with apiVersion, kind, metadata and spec"),
    "no YAML": ("a: [1\n", "m.yaml:2: expected ',' or ']'"),
    "doubled key": (CORPUS + "  seed: 1\n  seed: 2\n", "m.yaml:7: seed: the key stands twice in one mapping; remove one; mend the YAML"),
    "no UTF-8": ("a: \udcff\n", "m.yaml: byte 3 is not UTF-8; save the file as UTF-8"),
    "dangling reference": (
        CORPUS + "---\n" + CHAINS.replace("name: tools", "name: tolls"),
        'm.yaml:11: spec.corpus.name: found "tolls": there is no ToolCorpus of that name; write tools',
    ),
    "dangling, nothing there": (
        CHAINS,
        'm.yaml:5: spec.corpus.name: found "tools": there is no ToolCorpus of that name; add a ToolCorpus of that name',
    ),
    "name of no Service": (
        HEAD + "kind: SFTRun\nmetadata: {name: 7b-base}\nspec: {model: {random: {}}, data: [{name: chains}]}\n",
        'm.yaml:3: metadata.name: found "7b-base": must begin with a letter',
    ),
    "doubled run": (CORPUS + "---\n" + CORPUS, "m.yaml:9: metadata.name: found ToolCorpus 'tools' again, first in "),
    "unknown setting": (
        CORPUS + "---\n" + TEAM + "  store: x\n",
        'm.yaml:11: data.store: found "x": unknown field; remove it or write storeUrl',
    ),
    "bad isolation": (
        CORPUS + "---\n" + TEAM + "  isolation: None\n",
        "m.yaml:11: data.isolation: found \"None\": Input should be 'Process'",
    ),
    "other ConfigMap": (
        CORPUS + "---\n" + TEAM.replace("astra-team", "x"),
        "m.yaml:8: kind: the only ConfigMaps that are read are astra-laptop and astra-team",
    ),
    "doubled team": (CORPUS + "---\n" + TEAM + "---\n" + TEAM, "m.yaml:14: metadata.name: found astra-team again, first in "),
    "no runs": (TEAM + "  storeUrl: x\n", "m.yaml: no runs found; kinds are ToolCorpus"),
    "empty file": ("", "m.yaml: no runs found"),
    "store not writable": (
        CORPUS + "---\n" + TEAM + "  storeUrl: /proc/store\n",
        'm.yaml:11: data.storeUrl: found "/proc/store": cannot be written (',
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_one_line_and_exit_code_78(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text, line = TABLE[case]
    (tmp_path / "m.yaml").write_bytes(text.encode(errors="surrogateescape"))
    monkeypatch.chdir(tmp_path)
    assert main(["run", "m.yaml"]) == 78
    written = capsys.readouterr()
    assert written.out == ""
    (problem,) = written.err.splitlines()
    assert problem.startswith(line), problem
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.yaml"], "something was left behind"


def test_every_problem_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(CORPUS + "  sed: 1\n  seed: x\n")
    (tmp_path / "b.yaml").write_text(CHAINS.replace("ChainSynthesis", "ChainSynth"))
    assert main(["run", str(tmp_path)]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0].rsplit("/")[-1] for line in lines] == ["a.yaml", "a.yaml", "b.yaml"]


@pytest.mark.parametrize(("name", "words"), [("none", "no such file or folder"), ("empty", "holds no .yaml, .yml, .json files")])
def test_paths_that_hold_nothing(name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["run", str(tmp_path / name)]) == 78
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["describe", "nobody"], "nobody: there is no such run; in namespace default there are: none"),
        (["describe", "nokind", "x"], "nokind: unknown kind; write one of ToolCorpus"),
        (["suspend", "sft", "x", "y"], "sft x y: name one run as KIND NAME or KIND/NAME"),
        (["report"], "no run has made anything yet"),
    ],
)
def test_commands_refuse_in_one_line(words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--state", str(tmp_path / "state"), *words]) == 78
    (problem,) = capsys.readouterr().err.splitlines()
    assert line in problem
