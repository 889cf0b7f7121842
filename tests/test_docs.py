"""The documentation is right: commands compose, examples load, names exist."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.verdict_calibration import document
from sweep.commands import archive, champion, gc, nights, predict, report, schedule
from sweep.commands.app import composed_plan
from sweep.config.groups import groups
from sweep.config.keys import known_keys
from tasks.jsonl import load

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("tasks/*/*.md")),
]
ROOMS = ("sweep", "tests", "benchmarks", "tasks")
EXAMPLES = ("mlruns/models/", "my_data", "FOLDER", "ORG/NAME")


USAGES = " ".join(each.USAGE for each in (archive, champion, gc, nights, predict, report, schedule))
"""Of commands whose words are no keys of the configuration."""


def blocks(language: str) -> Iterator[str]:
    """The fenced blocks of a language, of all pages."""
    for page in PAGES:
        fenced = page.read_text().split("```")[1::2]
        yield from (text.removeprefix(f"{language}\n") for text in fenced if text.startswith(f"{language}\n"))


NAMES = {"sweep": "goldilocks run", "sweep.train": "goldilocks train", "sweep.data": "goldilocks data"}


def commands(module: str) -> list[str]:
    """Whole-line commands of one module, under either name; another test covers those with a quoted line break."""
    pattern = re.compile(rf"^(?:\.venv/bin/)?(?:python -m {re.escape(module)}|{NAMES[module]}) ([^\n#]*)$")
    lines = [line for block in blocks("") for line in block.splitlines()]
    return sorted({match[1].strip() for line in lines if (match := pattern.match(line))})


@pytest.mark.parametrize(("module", "words"), [(name, words) for name in NAMES for words in commands(name)])
def test_commands_compose(module: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = [re.sub(r"(lora\.r=\d+),.*", r"\1", word) for word in shlex.split(words) if not word.startswith("-")]
    assert composed_plan(overrides, searches=module == "sweep").name


def features() -> list[tuple[str, str]]:
    """The commands of the README's table of features that compose a study or a trial, and their words."""
    table = (ROOT / "README.md").read_text().split("## Features")[1].split("\n## ")[0]
    return re.findall(r"\| `goldilocks (run|train|refresh) ([^`]*)` \|", table)


@pytest.mark.parametrize(("command", "words"), features())
def test_features_compose(command: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert composed_plan(shlex.split(words), searches=command != "train").name


def test_each_feature_has_a_command() -> None:
    table = (ROOT / "README.md").read_text().split("## Features")[1].split("\n## ")[0]
    assert table.count("\n| ") - 2 == len(features()) + len(re.findall("`goldilocks (report|schedule|archive)", table))


def test_there_are_commands_to_check() -> None:
    assert len(commands("sweep")) >= 2
    assert len(commands("sweep.train")) >= 2


def test_the_study_of_ones_own_composes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study,) = blocks("yaml")
    folder = tmp_path / "conf" / "study"
    folder.mkdir(parents=True)
    (folder / "kitchen.yaml").write_text(study)
    monkeypatch.chdir(tmp_path)
    plan = composed_plan(["+study=kitchen"])
    assert (plan.name, plan.search.trials, plan.setup.task.metric) == ("kitchen", 20, "accuracy")


def test_the_row_of_ones_own_data_loads(tmp_path: Path) -> None:
    (row,) = blocks("json")
    for split in ("train", "validation", "test"):
        rows = [row.replace("sunday", f"{split} {number}") for number in range(8)]
        (tmp_path / f"{split}.jsonl").write_text("".join(rows))
    assert load(tmp_path).train[0].label == "opening hours"


def test_python_examples_are_python() -> None:
    for block in blocks("python"):
        compile(block, "README.md", "exec")


def test_keys_and_names_in_the_text_exist() -> None:
    keys, known = set(known_keys()), groups()
    for page in (ROOT / "README.md", ROOT / "docs" / "studies.md"):
        for key, value in re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)=([^`\s]*)`?", page.read_text()):
            if key in known:
                names = [name for name in value.split("|") if name and name not in EXAMPLES]
                assert set(names) <= set(known[key]), f"{page.name}: {key}={value}"
            else:
                assert key in keys or f"{key}=" in USAGES, f"{page.name}: {key}"


def test_every_ready_model_is_documented() -> None:
    text = (ROOT / "docs" / "studies.md").read_text()
    for model in groups()["model"]:
        assert f"`{model}`" in text, model


def test_links_between_pages_and_pictures_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_and_tests_named_in_the_text_exist() -> None:
    files = [f"/{file.relative_to(ROOT)}" for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("*.py"))
    for page in PAGES:
        text = page.read_text()
        for name in re.findall(r"`([\w/]+\.py)\b", text):
            assert any(file.endswith(f"/{name}") for file in files), f"{page.name}: {name}"
        for name in re.findall(r"`(test_\w+)`", text):
            assert f"def {name}(" in tests, f"{page.name}: {name}"


def test_the_transcript_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    transcript = text.split("<!-- transcript -->")[1].split("```")[1]
    assert re.search(r"^status: (certified|provisional|undecided)\.", transcript, re.MULTILINE)
    assert "ranks, on certify" in transcript
    assert "peak" in transcript


def test_calibration_figures_are_those_of_the_last_run() -> None:
    texts = document.blocks(json.loads(document.RESULTS.read_text()))
    texts |= document.cut_blocks(json.loads(document.CUT.read_text()))
    texts |= document.forgetting_blocks(json.loads(document.FORGETTING.read_text()))
    texts |= document.gains_blocks(json.loads(document.GAINS.read_text()))
    page = document.PAGE.read_text()
    assert page.count("<!-- calibration: ") == len(texts)
    assert document.written(page, texts) == page, "python -m benchmarks.verdict_calibration.document"
