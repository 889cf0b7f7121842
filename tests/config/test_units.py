"""Times and sizes: text is read, and anything else is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.config.units import byte_count, seconds, show_bytes, show_seconds

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}


@given(st.lists(st.tuples(st.integers(0, 500), st.sampled_from(sorted(SECONDS))), min_size=1, max_size=4))
def test_time_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    total = sum(number * SECONDS[unit] for number, unit in parts)
    text = "".join(f"{number}{unit}" for number, unit in parts)
    if total:
        assert seconds(text) == seconds(text.upper()) == seconds(f" {text} ") == total
    else:
        with pytest.raises(ValueError, match="above zero"):
            seconds(text)


@pytest.mark.parametrize(("text", "value"), [(90, 90.0), ("90", 90.0), (1.5, 1.5), ("1h30m", 5400.0), ("0.5m", 30.0)])
def test_time_as_people_write_it(text: object, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "25min", "-5m", "m", "1m30", "1e3", None, True, "nan"])
def test_no_time(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a time; write seconds, or for example 90s, 25m, 1h30m"):
        seconds(text)


@given(st.integers(1, 9999), st.sampled_from(sorted(BYTES)), st.sampled_from(["", " "]))
def test_size_is_number_times_unit(number: int, unit: str, gap: str) -> None:
    assert byte_count(f"{number}{gap}{unit}") == byte_count(f"{number}{unit.lower()}") == number * BYTES[unit]


@pytest.mark.parametrize(("text", "value"), [(4096, 4096), ("4096", 4096), ("1.5GiB", 3 * 2**29)])
def test_size_as_people_write_it(text: object, value: int) -> None:
    assert byte_count(text) == value


@pytest.mark.parametrize("text", ["", "much", "4 gigabytes", "-4GB", "GB", None, True])
def test_no_size(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a size; write bytes, or for example 4GiB or 500MB"):
        byte_count(text)


@pytest.mark.parametrize("text", ["0", "0GB", "0.1"])
def test_size_must_be_above_zero(text: str) -> None:
    with pytest.raises(ValueError, match="above zero"):
        byte_count(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (41.2, "41 s"), (99.9, "100 s"), (125, "2 min 5 s"), (5400, "1 h 30 min")],
)
def test_shown_time(value: float, text: str) -> None:
    assert show_seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (924_000, "924 kB"), (168e6, "168 MB"), (1.2e9, "1.2 GB")],
)
def test_shown_size(value: float, text: str) -> None:
    assert show_bytes(value) == text


@given(st.integers(0, 10**14))
def test_shown_size_is_near_the_true_one(value: int) -> None:
    shown = re.fullmatch(r"(\d+(?:\.\d)?) ([kMG]?B)", show_bytes(value))
    assert shown is not None
    size = BYTES[shown[2]]
    assert abs(float(shown[1]) * size - value) <= size / (20 if "." in shown[1] else 2)


@given(st.floats(10, 10**6))
def test_shown_time_is_near_the_true_one(value: float) -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    parts = re.findall(r"(\d+) (s|min|h)", show_seconds(value))
    assert abs(sum(int(number) * units[unit] for number, unit in parts) - value) <= (60 if parts[0][1] == "h" else 0.5)
