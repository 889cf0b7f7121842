"""docs/plan.md: its example is what the command prints, as far as that is the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.planning.base_facts import BaseFacts
from sweep.commands.planning.show import stage_words
from sweep.commands.planning.sizes import sizes_by_target
from sweep.records import StudyPlan
from sweep.verdict.power import chances

PAGE = Path(__file__).parents[3] / "docs" / "plan.md"
EXAMPLE = [
    line.rstrip() for line in PAGE.read_text().split("<!-- plan: +study=pharma -->")[1].split("```")[1].splitlines()
]
HIDDEN, KEYS, INNER, LAYERS = 576, 192, 1536, 30
"""Of SmolLM2-135M."""
MODULES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, KEYS),
    "self_attn.v_proj": (HIDDEN, KEYS),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (HIDDEN, INNER),
    "mlp.up_proj": (HIDDEN, INNER),
    "mlp.down_proj": (INNER, HIDDEN),
}
SMOLLM2 = BaseFacts(
    parameters=134_515_008,
    body=LAYERS * sum(inputs * outputs for inputs, outputs in MODULES.values()),
    head=49_152 * HIDDEN,
    linear={f"model.layers.{n}.{name}": shape for n in range(LAYERS) for name, shape in MODULES.items()},
)


@pytest.fixture(scope="module")
def pharma() -> StudyPlan:
    return composed_plan(["+study=pharma"])


def row(begins: str) -> list[str]:
    """The cells of a row of a table of the example."""
    (line,) = (line for line in EXAMPLE if line.startswith(f"{begins}  "))
    return line.removeprefix(begins).split()


def seconds(cells: list[str]) -> list[float]:
    """The times at the end of a row."""
    words = " ".join(cells).replace(" s", "s").replace(" min", "min").split()[-3:]
    return [float(word[:-1]) if word.endswith("s") else 60 * float(word[:-3]) for word in words]


def test_the_stages_are_those_of_the_study(pharma: StudyPlan) -> None:
    words = {"start": "loading the base", **dict(stage_words(pharma, None)), "end": "the report"}
    for name, text in words.items():
        assert " ".join(row(name)).startswith(text)


def test_the_times_add_up() -> None:
    total = [sum(each) for each in zip(*(seconds(row(name)) for name in STAGES), strict=True)]
    assert total == pytest.approx(seconds(row("all")), rel=0.02)


STAGES = ("start", "base", "search", "rates", "verdict", "test", "end")


def test_the_parameters_are_those_of_the_base(pharma: StudyPlan) -> None:
    assert SMOLLM2.body + SMOLLM2.head + HIDDEN * (2 * LAYERS + 1) == SMOLLM2.parameters
    for sizes in sizes_by_target(pharma, SMOLLM2):
        assert row(sizes.name) == [f"{parameters:,}" for _, parameters in sizes.by_rank]


def test_the_chances_are_those_of_the_table() -> None:
    _, rows = chances((3,), cut=True)
    shares = " ".join(row("is certified")).replace(" %", "%").split()
    assert shares == [f"{100 * each.certified:.0f}%" for each in rows]


def test_the_example_fits_a_terminal() -> None:
    assert max(map(len, EXAMPLE)) <= 100
    assert EXAMPLE[-1] == "Nothing was trained or written."
