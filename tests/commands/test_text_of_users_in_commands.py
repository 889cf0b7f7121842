"""One real study on data full of markup, HTML, addresses and control characters, seen through the commands of its user."""

from __future__ import annotations

import json
from contextlib import chdir
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sweep.commands.scheduling.running import run_nights
from sweep.nightly.clock import ShiftedClock
from sweep.nightly.schedules import save
from sweep.store.paths import Paths
from tests.faults.conftest import Sweep
from tests.faults.in_process import run_here
from tests.nightly.made import moment, schedule

KINDS = ("[price]", "[/price]", "<b>&amp;</b>", "a|b", ":smile:", "$x^2$", "\x1b[31m", "{{ 7*7 }} %s `tick`")
SHOWN = tuple(kind.replace("\x1b", "\\x1b") for kind in KINDS)
ANSWER = "k:v@h?id=3"
SYSTEM = "write to a:b@c [/price] <b>"
PROMPT = "Contact:info@pharma.de or https://a.example/page?id=3 </script>"
SETTINGS = (
    *("search.trials=1", "search.space.rank=[4]", "search.space.targets=[all_linear]", "search.space.dropout=[0.0]"),
    *("certify.enabled=true", "certify.ladder=[2,4]", "certify.seeds=2", "certify.rate_trials=1"),
    *("train.steps=60", "train.learning_rate=2e-2", "search.space.learning_rate.high=0.1"),
    *("evaluate.max_new_tokens=10", "quant=none", f"task.system_prompt='{SYSTEM}'"),
)


class Page(HTMLParser):
    """What a browser shows of a page, and the data in its scripts."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.shown, self._script = "", ""
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = str(dict(attrs).get("type") or "code") if tag in ("script", "style") else ""
        self.shown += " ".join(value or "" for _, value in attrs)

    def handle_endtag(self, tag: str) -> None:
        self._script = ""

    def handle_data(self, text: str) -> None:
        if self._script == "application/json":
            json.loads(text)
        elif not self._script:
            self.shown += text


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, str]:
    """The folder of the finished study, and what the study printed."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "data").mkdir()
    for split, count in (("train", 48), ("validation", 160), ("test", 40)):
        rows = [
            {"prompt": f"{split} {n}: {PROMPT}", "completion": ANSWER, "label": KINDS[n % 8], "kind": KINDS[n % 8]}
            for n in range(count)
        ]
        (folder / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sweep = Sweep(folder, folder / "data")
    done = sweep.run_here(*SETTINGS)
    assert done.returncode == 0, done.stdout
    return sweep, done.stdout


@pytest.mark.slow
def test_tables_show_every_kind(made: tuple[Sweep, str]) -> None:
    sweep, printed = made
    code, reported = run_here("sweep.report", ["study=faults"], sweep.folder)
    assert code == 0, reported
    for text in (printed, reported):
        table = text.partition("by kind of example")[2]
        assert [kind for kind in SHOWN if kind not in table] == []
        assert "\x1b" not in text
        assert SYSTEM in text  # in the command that is recommended next
        assert "***" not in text


@pytest.mark.slow
def test_pages_show_every_kind_and_prompt_and_their_data_are_whole(made: tuple[Sweep, str]) -> None:
    sweep, _ = made
    code, printed = run_here("sweep.data", [*sweep.words(*SETTINGS)[3:], "--html"], sweep.folder)
    assert code == 0, printed
    assert [kind for kind in SHOWN if kind not in printed] == []
    assert "\x1b" not in printed
    folder = sweep.folder / "mlruns" / "reports" / "faults"
    # the report on data shows no addresses of people
    for name, texts in (("index.html", (PROMPT, ANSWER)), ("data.html", (PROMPT.partition(" or ")[2],))):
        page = Page(folder / name)
        assert [text for text in (*SHOWN, *texts) if text not in page.shown] == []


@pytest.mark.slow
def test_an_answer_is_printed_as_it_was_recorded(made: tuple[Sweep, str]) -> None:
    sweep, _ = made
    asked = f"test 0: {PROMPT}"
    code, printed = run_here("sweep.predict", ["study=faults", f"prompt={asked}", "max_new_tokens=10"], sweep.folder)
    recorded = {
        row["answer"]
        for file in sweep.trained()
        for row in map(json.loads, file.with_name("scores.jsonl").read_text().splitlines())
        if row.get("prompt") == asked
    }
    assert code == 0
    assert printed.removesuffix("\n") in recorded
    assert ":v@h" in printed  # which looks like an account


@pytest.mark.slow
def test_a_night_and_its_note_quote_the_path_and_the_row(made: tuple[Sweep, str]) -> None:
    sweep, _ = made
    folder = sweep.folder / "n:[price]@y?id=3"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        (folder / f"{split}.jsonl").write_text('{"prompt": "a", "completion": 5}\n')
    words = [*Sweep(sweep.folder, folder).words(*SETTINGS)[4:], "study.name=broken"]
    words = [f"task.path='{folder}'" if word.startswith("task.path=") else word for word in words]
    with chdir(sweep.folder):
        paths = Paths.here()
        save(paths, schedule(study="broken", words=tuple(words)))
        run_nights(paths, clock=ShiftedClock(moment("2026-11-21 02:00")))
        note = paths.night_note("made", "2026-11-21").read_text()
    assert "n:\\[price]@y?id=3/train.jsonl:1" in note
    assert "***" not in note
