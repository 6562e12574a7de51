"""YAML as kubectl reads it, value by value, and the line of each value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from astra_cli.yaml12 import MAX_VALUES, YamlProblem, read
from astra_operator.crdgen.documents import to_yaml

TABLE = [
    ("5e-6", 5e-6),
    ("1e3", 1000),
    ("0.5", 0.5),
    ("-.5", -0.5),
    ("7", 7),
    ("+7", 7),
    ("-7", -7),
    ("0x1f", 31),
    ("0o17", 15),
    ("012", 10),
    ("08", 8),
    ("1_000", 1000),
    ("0b11", 3),
    ("2.0", 2),
    ("-0.0", 0),
    ("off", False),
    ("on", True),
    ("yes", True),
    ("No", False),
    ("y", True),
    ("!!str off", "off"),
    ("'off'", "off"),
    ("oN", "oN"),
    ("true", True),
    ("False", False),
    ("1:20", "1:20"),
    ("2026-01-01", "2026-01-01"),
    ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    ("'5'", "5"),
    ("!!str 5", "5"),
    ("null", None),
    ("~", None),
    ("", None),
    ("[1, a]", [1, "a"]),
    ("{a: 1}", {"a": 1}),
    ("1.2.3", "1.2.3"),
    ("500m", "500m"),
    ("2Gi", "2Gi"),
]


@pytest.mark.parametrize(("text", "value"), TABLE, ids=[text or "empty" for text, _ in TABLE])
def test_scalars(text: str, value: object) -> None:
    (document,) = read(f"a: {text}\n")
    found = document.value["a"]
    assert found == value
    assert type(found) is type(value)


def test_lines_of_values_and_of_what_is_missing() -> None:
    (document,) = read("# c\nspec:\n  list:\n    - name: a\n    - name: b\n      x: 1\n")
    assert document.line_of(("spec", "list", 1, "x")) == 6
    assert document.line_of(("spec", "list", 0)) == 4
    assert document.line_of(("spec", "list", 1, "missing")) == 5
    assert document.line_of(("nowhere",)) == 2
    assert document.line_of(()) == 2


def test_documents_anchors_and_merges() -> None:
    text = "base: &b {x: 1, z: 2}\none: *b\ntwo: {<<: *b, z: 3}\n---\n---\nlast: 1\n"
    first, last = read(text)
    assert first.value == {"base": {"x": 1, "z": 2}, "one": {"x": 1, "z": 2}, "two": {"x": 1, "z": 3}}
    assert last.value == {"last": 1}
    assert last.line_of(("last",)) == 6


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a: the key stands twice"),
        ("a: [1\nb: 2\n", 2, "expected"),
        ("a: .nan\n", 1, ".nan: JSON has no such number"),
        ("a: -.inf\n", 1, "JSON has no such number"),
        ("a: 1e999\n", 1, "JSON has no such number"),
        ("\na: !!python/object:os.system x\n", 2, "not plain data"),
        ("a: !!binary aGk=\n", 1, "not plain data"),
        ("? [a]\n: 1\n", 1, "a key must be text"),
        ("~: 1\n", 1, "a key must be text"),
        ("a: &x [*x]\n", 1, "levels deep"),
        ("a: *nothing\n", 1, "undefined alias"),
        ("a: {<<: 3}\n", 1, "<< needs a mapping"),
        ("a:\n\tb: 1\n", 2, "found character"),
    ],
)
def test_what_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(YamlProblem) as caught:
        list(read(text))
    assert caught.value.line == line
    assert words in caught.value.message
    assert "\n" not in caught.value.message


def test_anchors_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{index}: &a{index} [{', '.join([f'*a{index - 1}'] * 10)}]" for index in range(1, 9)]
    with pytest.raises(YamlProblem, match=f"more than {MAX_VALUES} values"):
        list(read("\n".join(lines)))


# Without control and separator characters, which ruamel itself does not write and read back alike.
TEXT = st.text(alphabet=st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(alphabet="abcé ", min_size=1, max_size=8), JSON, min_size=1, max_size=4))
def test_what_is_written_is_read_back(value: dict[str, object]) -> None:
    (document,) = read(to_yaml(value))
    assert document.value == value


def test_the_trap_of_other_readers_is_real() -> None:
    """The reason for this module: a YAML 1.2 reader takes what kubectl sends for something else."""
    other = YAML(typ="safe", pure=True)
    assert other.load("a: off\nb: 012\n") == {"a": "off", "b": 12}
