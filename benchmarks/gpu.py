"""Everything that only a GPU can show, in one command: the tests marked `gpu` and the benchmarks, and a page about them.

    python -m benchmarks.gpu --out FOLDER [--data DIR ...] [--peer SCRIPT] [--only PART ...] [--again PART ...] [--device cuda|cpu]

Each part is a process of its own with a limit of ten minutes, whose outcome is written to FOLDER as soon as it ends. The next call
skips the parts that ended well on the same card with the same sources, so a call that was interrupted goes on. A part that failed or
took too long stays on the page as that, and is run again when it is named after `--again`. FOLDER/gpu.md is the page.

DIR holds train.jsonl, validation.jsonl and test.jsonl; with SCRIPT (benchmarks/peer.py) each is also timed against a plain sweep
script. Ends with status 1 if a part did not end well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, chosen_device, environment, machine
from benchmarks.memory_model import CASES, PHARMA
from benchmarks.verdict_calibration.tables import table

LIMIT = 600
"""Seconds that a part may take."""

_ENDS = 10  # seconds from asking a part to end until it is killed
_TAIL = 4000
_MEMORY_PARTS = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A process to run.

    Attributes:
        name: also the name of its files.
        words: what follows `python`; `{out}` stands for a JSON file, and `{junit}` for a JUnit file, to be written.
        about: one line for the page.
        own_folder: whether it runs in an empty folder, FOLDER/name, rather than in the project's.
    """

    name: str
    words: tuple[str, ...]
    about: str
    own_folder: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended.

    Attributes:
        of: what it was run with and on (`key`); another part, card or source makes it void.
        returncode: exit status, None if it took longer than `LIMIT`.
        tail: what it printed last.
        counts: tests by outcome, if it ran tests.
    """

    name: str
    of: str
    seconds: float
    returncode: int | None
    tail: str
    counts: dict[str, int]

    @property
    def well(self) -> bool:
        """Whether it ended as it should; tests of which none ran show nothing."""
        return self.returncode == 0 and (not self.counts or self.counts["passed"] > 0)

    @property
    def words(self) -> str:
        """For a cell of the page."""
        if self.returncode is None:
            return f"took longer than {LIMIT} s"
        counted = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        ended = "ended well" if self.well else f"**failed** (status {self.returncode})"
        return f"{ended}: {counted}" if counted else ended


def parts(device: str, data: Sequence[Path], peer: Path | None) -> list[Part]:
    """All parts, in the order in which they are run."""
    tests = ("-m", "pytest", "-m", "gpu", "tests/gpu", "-q", "--junitxml={junit}")
    made = [Part("tests", tests, "tests marked `gpu`")]
    folders = [PHARMA, *(str(folder.resolve()) for folder in data)]
    for number in range(_MEMORY_PARTS):
        cases = [str(case) for case in range(number, len(CASES), _MEMORY_PARTS)]
        words = (
            "-m",
            "benchmarks.memory_model",
            "--data",
            *folders,
            "--device",
            device,
            "--out",
            "{out}",
            "--only",
            *cases,
        )
        made.append(Part(f"memory-{number + 1}", words, "predicted against measured peak memory"))
    study = ("-m", "sweep", "+study=pharma")
    made.append(Part("study", study, "the default study, from the command to its verdict", own_folder=True))
    for folder in data if peer is not None else ():
        given = (
            "--peer",
            str(Path(peer or "").resolve()),
            "--data",
            str(folder.resolve()),
            "--device",
            device,
            "--out",
            "{out}",
        )
        naive = ("-m", "benchmarks.against_naive", *given, "--trials", "16")
        verdict = ("-m", "benchmarks.time_to_verdict", *given, "+study=quick")
        made.append(Part(f"naive-{folder.name}", naive, f"16 trials on {folder.name} against a plain script"))
        made.append(Part(f"verdict-{folder.name}", verdict, f"time to a verdict on {folder.name} against a full grid"))
    return made


def key(part: Part, card: str, sources: str) -> str:
    """What an outcome depends on."""
    return hashlib.sha256(json.dumps([part.words, card, sources]).encode()).hexdigest()[:16]


def sources_digest(root: Path = ROOT) -> str:
    """Of all Python and YAML files that a part may read."""
    digest = hashlib.sha256()
    for folder in ("benchmarks", "conf", "sweep", "tests/gpu"):
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in (".py", ".yaml"):
                digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def known(folder: Path, name: str) -> Outcome | None:
    """The outcome that is on disk, None if there is none that can be read."""
    try:
        return Outcome(**json.loads((folder / f"{name}.outcome.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def run(part: Part, of: str, folder: Path, outside: Mapping[str, str], limit: float = LIMIT) -> Outcome:
    """Runs a part to its end or its limit, and writes its outcome."""
    out, junit, log = (folder / f"{part.name}.{suffix}" for suffix in ("json", "xml", "log"))
    for file in (out, junit):
        file.unlink(missing_ok=True)
    words = [word.replace("{out}", str(out)).replace("{junit}", str(junit)) for word in part.words]
    place = folder / part.name if part.own_folder else ROOT
    if part.own_folder:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    began = time.perf_counter()
    with log.open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=place,
            env=dict(outside),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            returncode: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            returncode = None
        finally:
            _end(process)
    seconds = time.perf_counter() - began
    tail = log.read_text(errors="replace")[-_TAIL:]
    outcome = Outcome(part.name, of, round(seconds, 1), returncode, tail, _counts(junit))
    written = folder / f"{part.name}.outcome.json.new"
    written.write_text(json.dumps(asdict(outcome), indent=1) + "\n")
    written.replace(folder / f"{part.name}.outcome.json")
    return outcome


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and those it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_ENDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait(_ENDS)


def _counts(junit: Path) -> dict[str, int]:
    try:
        suites = ElementTree.parse(junit).getroot().iter("testsuite")  # noqa: S314 - pytest has just written it
    except (OSError, ElementTree.ParseError):
        return {}
    total = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in suites:
        for name in total:
            total[name] += int(suite.get(name, 0))
    bad = total["failures"] + total["errors"]
    return {"passed": total["tests"] - bad - total["skipped"], "failed": bad, "skipped": total["skipped"]}


def page(made: Sequence[Part], outcomes: Mapping[str, Outcome], about: Mapping[str, Any], folder: Path) -> str:
    """The page, in Markdown: what was run on which card, and the figures of each part."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    rows = []
    for part in made:
        outcome = outcomes.get(part.name)
        rows.append(
            [part.name, part.about, *([f"{outcome.seconds:.0f} s", outcome.words] if outcome else ["", "not run"])]
        )
    text = [
        f"# Measured on {about['name']}",
        f"{about['date']}, {about['cores']} cores of {about['cpu']}; {versions}.",
        table(["part", "what", "time", "outcome"], rows),
    ]
    for part in made:
        outcome = outcomes.get(part.name)
        if outcome is None:
            continue
        figures = _figures(folder / f"{part.name}.json") if outcome.well else ""
        shown = figures or f"```\n{outcome.tail.strip()}\n```"
        text.append(f"## {part.name}\n\n`python {' '.join(part.words)}`\n\n{shown}")
    return "\n\n".join(text) + "\n"


def _figures(file: Path) -> str:
    """The numbers at the top of a result, and of its summary."""
    try:
        result = json.loads(file.read_text())
    except (OSError, ValueError):
        return ""
    numbers = {name: value for name, value in result.items() if isinstance(value, int | float)}
    numbers |= {name: value for name, value in result.get("summary", {}).items() if isinstance(value, int | float)}
    return table(["figure", "value"], [[name, f"{value:.4g}"] for name, value in numbers.items()]) if numbers else ""


def main() -> int:
    """Runs what is left to run; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--only", nargs="+", help="names of parts")
    parser.add_argument("--again", nargs="+", default=[], help="names of parts to run though their outcome is known")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the command, not a GPU")
    arguments = parser.parse_args()
    device = chosen_device(arguments.device)
    made = parts(device, arguments.data, arguments.peer)
    names = [part.name for part in made]
    unknown = [name for name in (*(arguments.only or ()), *arguments.again) if name not in names]
    if unknown:
        parser.error(f"no part named {', '.join(unknown)}; there are {', '.join(names)}")
    folder = arguments.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    about, sources = machine(device), sources_digest()
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="goldilocks-gpu-") as scratch:
        outside = environment(device, Path(scratch))
        for part in made:
            of, before = key(part, about["name"], sources), known(folder, part.name)
            kept = before if before is not None and before.of == of else None
            wanted = part.name in (arguments.only or names) and (kept is None or part.name in arguments.again)
            if wanted:
                print(f"{part.name}: {part.about}; at most {LIMIT} s", flush=True)
                kept = run(part, of, folder, outside)
                print(f"{part.name}: {kept.words}, {kept.seconds:.0f} s", flush=True)
            if kept is not None:
                outcomes[part.name] = kept
            (folder / "gpu.md").write_text(page(made, outcomes, about, folder))
    left = [part.name for part in made if part.name not in outcomes or not outcomes[part.name].well]
    print(f"{folder / 'gpu.md'}: {len(made) - len(left)} of {len(made)} parts ended well")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
