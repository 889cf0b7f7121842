"""`docs/methods.md`: its table is made from the methods, and its example of a new method works."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from sweep.methods import TrainingFacts, methods, registry
from sweep.methods.table import initializations, table
from sweep.records import Arm, Stage, Training, TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.trainer_engine import TrainerEngine

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def block(language: str) -> str:
    return PAGE.read_text().split(f"```{language}\n")[1].split("```")[0]


@pytest.mark.parametrize(("mark", "lines"), [("methods", table), ("initializations", initializations)])
def test_the_tables_are_those_of_the_code(mark: str, lines: Callable[[], Iterator[str]]) -> None:
    shown = PAGE.read_text().split(f"<!-- {mark} -->\n")[1].split("<!-- end -->")[0]
    wanted = "\n".join(lines()) + "\n"
    assert shown == wanted, f"replace the table in {PAGE} with this:\n{wanted}"


def test_the_example_of_a_new_method_trains(
    tmp_path: Path, load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded]
) -> None:
    file = tmp_path / "oft.py"
    file.write_text(block("python"))
    spec = importlib.util.spec_from_file_location("oft", file)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    method = module.METHOD
    assert f"\n    name: {method.name}\n" in PAGE.read_text()
    assert method.name not in methods()
    assert {"oft_block_size", "target_modules"} == set(method.settings(_arm(), TrainingFacts()))
    with patch.object(registry, "methods", lambda: {method.name: method}):
        engine = TrainerEngine(load_tiny("none"))
        engine.begin(TrialSpec("id", "s", Stage.SINGLE, _arm(), Training(8, 4), 0), encoded, lambda adapted, step: None)
        (trained,) = engine.advance()
        assert trained.error is None
        assert trained.adapted is not None
        losses = trained.adapted.losses(encoded)
        trained.adapted.save(tmp_path / "adapter")
        trained.adapted.release()
        again = engine.load(tmp_path / "adapter")
        assert max(abs(a.nats - b.nats) for a, b in zip(again.losses(encoded), losses, strict=True)) < 1e-4
        again.release()


def _arm() -> Arm:
    return Arm(0, 0.0, 0.0, ("q_proj", "v_proj"), 1e-2, "oft", own=(("block", 8),))
