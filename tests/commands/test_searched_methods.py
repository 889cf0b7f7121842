"""A search over methods as a person runs it: stopped in the middle, resumed, reported, and the best method certified."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path
from unittest.mock import patch

import pytest

from sweep.methods import trains_packed
from sweep.records import Arm, StudyRecord
from sweep.reports.by_method import certify_command
from sweep.search.reading import studies_of
from sweep.search.storage import existing_storage
from sweep.search.study import SearchStudy
from sweep.store.paths import Paths
from tests.conftest import write_made_task
from tests.faults.in_process import run_here

LITTLE = (
    *("model=tiny", "task=jsonl", "task.path=made", "tracking.uri=memory://", "quant.compute=float32"),
    *("evaluate.examples=6", "evaluate.general_paragraphs=1", "evaluate.max_new_tokens=4", "train.steps=8"),
    "executor.workers=1",
)
WORDS = (
    *LITTLE,
    *("search.space.method=[lora,dora,prompt_tuning]", "certify=none", "search.trials=7", "study.name=mixed"),
    *("engine.slots=2", "search.space.rank=[4,8]", "search.space.targets=[q_v]"),
)


def record_of(folder: Path, name: str = "mixed") -> StudyRecord:
    with existing_storage(None, Paths.here(folder / "mlruns")) as storage:
        return studies_of(storage, name)[0]


def adapters(folder: Path) -> dict[Path, int]:
    files = (folder / "mlruns" / "adapters").rglob("training.json")
    return {file.parent: file.stat().st_mtime_ns for file in files}


def words_for(arm: Arm) -> list[str]:
    """The words that train one arm alone."""
    words = [f"method={arm.method}", f"train.learning_rate={arm.learning_rate!r}"]
    if arm.rank:
        words += [f"lora.r={arm.rank}", f"lora.alpha_ratio={arm.alpha_ratio}", f"lora.dropout={arm.dropout}"]
        words += [f"lora.targets=[{','.join(arm.targets)}]"]
    return [*words, *(f"method.{name}={value}" for name, value in arm.own)]


@pytest.mark.slow
def test_stopped_resumed_and_certified(tmp_path: Path) -> None:
    write_made_task(tmp_path / "made")
    tell, told = SearchStudy.tell, []

    def stopping(study: SearchStudy, *about: object) -> None:
        tell(study, *about)  # type: ignore[arg-type]
        told.append(about)
        if len(told) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with patch.object(SearchStudy, "tell", stopping):
        code, printed = run_here("sweep", WORDS, tmp_path)
    assert code == 130, printed
    before = record_of(tmp_path)
    assert 3 <= len(before.trials) < 7
    kept = adapters(tmp_path)

    code, printed = run_here("sweep", WORDS, tmp_path)
    assert code == 0, printed
    record = record_of(tmp_path)
    assert len(record.complete()) == 7
    assert record.trials[: len(before.trials)] == before.trials
    assert set(record.methods()) == {"lora", "dora", "prompt_tuning"}
    assert kept.items() <= adapters(tmp_path).items(), "nothing was trained twice"
    assert " ".join(printed.split()).count("engine=trainer trains it, one at a time") == 1
    for expected in ("The best trial of each method:", "  DoRA: loss", "  prompt tuning: loss", "over lora, dora"):
        assert expected in printed, expected

    trained = adapters(tmp_path)
    for method in record.methods():  # the same arm in a trial of its own is the same trial, trained by the same engine
        arm = next(trial.arm for trial in record.complete() if trial.arm.method == method)
        code, alone = run_here("sweep.train", [*LITTLE, *words_for(arm)], tmp_path)
        assert code == 0, alone
        assert ("engine=trainer is used instead" in " ".join(alone.split())) == (not trains_packed(arm))
    assert adapters(tmp_path) == trained

    page = (tmp_path / "mlruns" / "reports" / "mixed" / "index.html").read_text()
    assert 'id="methods"' in page
    verdict = json.loads((tmp_path / "mlruns" / "reports" / "mixed" / "verdict.json").read_text())
    assert (verdict["status"], verdict["ladder"]) == ("undecided", [])

    command = certify_command(record)
    assert command is not None
    quick = ["certify.ladder=[2,4]", "certify.seeds=2", "certify.first_look=2", "certify.rate_trials=1"]
    words = [*shlex.split(command.command)[3:], *quick, "evaluate.certify_examples=6", "evaluate.test_examples=4"]
    code, printed = run_here("sweep", words, tmp_path)
    assert code == 0, printed
    winner = record_of(tmp_path, f"mixed-{command.command.split(' method=')[1].split()[0]}")
    assert winner.certification is not None
    assert trained.items() <= adapters(tmp_path).items(), "the best trial was not trained again"
