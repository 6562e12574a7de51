"""Quantities as everybody writes them: one meaning for numbers and text, one form for pods, and no absurd ones."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from astra_jobs.api.v1alpha1.common import CommonSpec
from astra_jobs.api.v1alpha1.pod import Resources
from astra_jobs.api.v1alpha1.quantities import canonical_cpu, canonical_memory, parse

CPUS: dict[Any, str] = {
    "500m": "500m", "0.5": "500m", 0.5: "500m", ".5": "500m", "+.5": "500m", 2: "2", "2": "2", "2000m": "2", "2.": "2",
    "002": "2",    "1e3": "1000", "1E3": "1000", "1e+3": "1000", "1k": "1000", "5e-1": "500m", "+1": "1", "1Ki": "1024", "0.001": "1m",
    "0.5m": "1m", "1n": "1m", "1500u": "2m", 999_999: "999999",
}  # fmt: skip
MEMORIES: dict[Any, str] = {
    "2Gi": "2Gi", "2T": "2T", "1024Mi": "1Gi", "0.5Gi": "512Mi", ".5Gi": "512Mi", "1e9": "1G", 1e9: "1G", 2147483648: "2Gi",
    "129e6": "129M", "128974848000m": "123Mi", "1000k": "1M", "1.5G": "1500M", "1048577": "1048577", "1500000.5": "1500001", "+1Ti": "1Ti",
}  # fmt: skip
NO_CPU: tuple[Any, ...] = (
    *("0", "0m", "0.0", "0e5", 0, -1, "-1", "-0.5", "1T", "1M", "1e6", "1000000", 1_000_000, "99999999999999999999", 10**20, 1e300),
    *("1_000", "1,5", "1e", "e1", "", ".", "+", " 1", "1 ", "1\n", "1.2.3", "1mi", "1K", "1e1.5", "0x10", "１", "one", "1" * 41),
    *(True, False, [], ["1"], {}, {"a": 1}, float("nan"), float("inf")),
)
NO_MEMORY: tuple[Any, ...] = (
    "0",
    0,
    2,
    "2",
    "512",
    "400m",
    "500Ki",
    "0.5",
    "1P",
    "1Ei",
    "1e15",
    "-1Gi",
    "1GB",
    "1gi",
    "2 Gi",
    True,
    10**15,
)


@pytest.mark.parametrize(("written", "kept"), CPUS.items(), ids=repr)
def test_cpu(written: Any, kept: str) -> None:
    assert Resources(cpu=written).cpu == kept


@pytest.mark.parametrize(("written", "kept"), MEMORIES.items(), ids=repr)
def test_memory(written: Any, kept: str) -> None:
    assert Resources(memory=written).memory == kept


@pytest.mark.parametrize("written", NO_CPU, ids=repr)
def test_no_cpu(written: Any) -> None:
    with pytest.raises(ValidationError, match=r"more than 0 and less than a million cores, for example 2, 0\.5 or 500m"):
        Resources(cpu=written)


@pytest.mark.parametrize("written", NO_MEMORY, ids=repr)
def test_no_memory(written: Any) -> None:
    with pytest.raises(ValidationError, match=r"at least 1M and less than 1P, for example 2Gi, 512Mi or 1\.5G"):
        Resources(memory=written)


def test_equal_amounts_are_one_wish_however_they_are_written() -> None:
    written = [{"cpu": 2, "memory": "2Gi"}, {"cpu": "2", "memory": "2048Mi"}, {"cpu": "2000m", "memory": 2**31}]
    (found,) = {CommonSpec.model_validate({"pod": {"resources": each}}).model_dump_json() for each in written}
    assert CommonSpec.model_validate_json(found).pod.resources.to_dict() == {"cpu": "2", "memory": "2Gi"}


@given(st.integers(1, 10**9 - 1))
def test_the_form_of_cpu_says_the_same_amount_and_is_its_own_form(thousandths: int) -> None:
    text = canonical_cpu(Decimal(thousandths) / 1000)
    assert parse(text) * 1000 == thousandths
    assert Resources(cpu=text).cpu == text


@given(st.integers(10**6, 10**15 - 1) | st.builds(lambda count, power: count << power, st.integers(1, 900), st.integers(20, 39)))
def test_the_form_of_memory_says_the_same_amount_and_is_its_own_form(size: int) -> None:
    text = canonical_memory(Decimal(size))
    assert parse(text) == size
    assert Resources(memory=text).memory == text
