"""What is written for each scheduler, checked by its own tool or schema, and that nothing of the reader's is touched."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from croniter import croniter

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.nightly.installing import install, preview, problems_of, remove
from sweep.nightly.kinds import kinds
from sweep.nightly.kinds.kind import Place
from sweep.nightly.schedule import Schedule, as_json, from_json
from sweep.nightly.schedules import load, names
from sweep.store.paths import Paths
from tests.nightly.made import moment, schedule

CRONTAB = """#!/bin/sh
# what crontab(1) does with one user's table
case "$1" in
  -l) if [ -f "$TABLE" ]; then cat "$TABLE"; else echo "no crontab for you" >&2; exit 1; fi ;;
  -) if [ -n "$REFUSES" ]; then echo "bad minute" >&2; exit 1; fi; cat > "$TABLE" ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
if [ -n "$REFUSES" ]; then echo "Failed to connect to bus" >&2; exit 1; fi
echo "$@" >> "$TABLE"
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with a space and characters that formats give a meaning."""
    folder = tmp_path / 'it\'s 100% $HOME "mine"'
    folder.mkdir()
    python = folder / "my python"
    python.symlink_to(sys.executable)
    return Place(folder, str(python), moment("2026-11-28 12:00"))


@pytest.fixture
def paths(place: Place) -> Paths:
    return Paths.here(place.folder / "mlruns")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for `crontab` and `systemctl`, which keep what they are given in a file."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"crontab": CRONTAB, "systemctl": SYSTEMCTL, "loginctl": "#!/bin/sh\necho Linger=no\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("TABLE", str(tmp_path / "table"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "table"


def of_kind(kind: str, **changes: object) -> Schedule:
    options = {"image": "registry.example.org/goldilocks:1", "gpus": "1"} if kind == "kubernetes" else {}
    return schedule("02:30", "06:30", kind=kind, **{"options": options, **changes})  # type: ignore[arg-type]


def written(made: Schedule, place: Place) -> str:
    (text,) = kinds()[made.kind].files(made, place).values()
    return text


def verify(units: dict[Path, str], folder: Path) -> subprocess.CompletedProcess[str]:
    for file, text in units.items():
        (folder / file.name).write_text(text)
    names = [str(folder / file.name) for file in units]
    return subprocess.run(
        ["systemd-analyze", "--user", "verify", "--man=no", "--recursive-errors=no", *names],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
    )


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: systemd)"
)
def test_systemd_accepts_the_units(place: Place, tmp_path: Path) -> None:
    (place.folder / "night.env").write_text("")
    made = of_kind("systemd", environment="night.env")
    units = dict(kinds()["systemd"].files(made, place))
    checked = verify(units, tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
    # the check notices mistakes
    broken = {
        file: text.replace("Type=oneshot", "Type=onceshot").replace("my python", "no python")
        for file, text in units.items()
    }
    assert "onceshot" in (failed := verify(broken, tmp_path)).stderr
    assert failed.returncode != 0


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: systemd)"
)
def test_the_timer_fires_every_night_also_when_clocks_change(place: Place) -> None:
    (timer,) = [
        text for file, text in kinds()["systemd"].files(of_kind("systemd"), place).items() if file.suffix == ".timer"
    ]
    calendars = [line.partition("=")[2] for line in timer.splitlines() if line.startswith("OnCalendar=")]
    shown = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=3", "--base-time=2026-03-28 12:00:00 UTC", *calendars],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "2026-03-29 01:30:00 UTC" in shown or "Sun 2026-03-29 03:30:00" in shown
    assert "Persistent=true" in timer


def test_github_accepts_the_workflow(place: Place) -> None:
    import jsonschema

    (place.folder / "night.env").write_text("DB_PASSWORD=hunter2hunter2\n")
    made = of_kind(
        "github", environment="night.env", notify=("env:SLACK_URL",), words=("+study=pharma", "study.name='a b'")
    )
    text = written(made, place)
    vendor = files("check_jsonschema").joinpath("builtin_schemas/vendor/github-workflows.json")
    validator = jsonschema.Draft7Validator(json.loads(vendor.read_text(encoding="utf-8")))
    workflow = yaml.safe_load(text)
    assert list(validator.iter_errors(workflow)) == []
    assert list(validator.iter_errors({**workflow, "on": {"schedule": [{"crom": "0 2 * * *"}]}}))
    assert workflow["on"]["schedule"] == [
        {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
        {"cron": "30 3 * * *", "timezone": "Europe/Berlin"},
    ]
    assert "hunter2" not in text
    assert set(workflow["jobs"]["night"]["env"]) == {"DB_PASSWORD", "SLACK_URL"}
    (register,) = [step["run"] for step in workflow["jobs"]["night"]["steps"] if step.get("name") == "Register"]
    assert "study.name='a b'" in shlex.split(register)
    assert "since=2026-11-21" in shlex.split(register)  # the first night after the installation


def test_hosted_runners_end_after_six_hours(place: Place) -> None:
    long = replace(of_kind("github"), hours=schedule("22:00", "05:00").hours)
    assert any("runner=LABEL" in problem for problem in problems_of(long, place))
    assert problems_of(replace(long, options={"runner": "self-hosted"}), place) == []
    assert any("oc.env" in problem for problem in problems_of(replace(of_kind("github"), words=("a=${{ x }}",)), place))


def test_kubernetes_accepts_the_cron_job(place: Place) -> None:
    import kubernetes_validate

    made = of_kind("kubernetes", environment="night.env", name="My_Study.2", memory=2**31)
    manifest = yaml.safe_load(written(made, place))
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    spec = manifest["spec"]
    assert (spec["timeZone"], spec["schedule"], spec["concurrencyPolicy"]) == (
        "Europe/Berlin",
        "30 2,3 * * *",
        "Forbid",
    )
    assert croniter.is_valid(spec["schedule"])
    assert len(manifest["metadata"]["name"]) <= 52
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**manifest, "spec": {**spec, "timezone": "UTC"}}, kubernetes_validate.latest_version(), strict=True
        )


def test_the_receivers_variables_come_from_the_secret(place: Place, paths: Paths) -> None:
    made = of_kind("kubernetes", notify=("env:SLACK_URL", "json://localhost"))
    pod = yaml.safe_load(written(made, place))["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    secret = {"secretRef": {"name": "goldilocks-made", "optional": True}}
    assert [each["envFrom"] for each in (*pod["initContainers"], *pod["containers"])] == [[secret], [secret]]
    assert any("secret generic goldilocks-made" in line and "SLACK_URL" in line for line in install(made, paths, place))
    assert "envFrom" not in written(of_kind("kubernetes"), place)


def test_kubernetes_needs_an_image(place: Place) -> None:
    problems = problems_of(of_kind("kubernetes", options={"claim": "No Name", "gpus": "many"}), place)
    assert [problem.partition(":")[0] for problem in problems] == ["image", "claim=No Name", "gpus=many"]


def test_crontab_lines_run_the_command(place: Place, paths: Paths, table: Path) -> None:
    from crontab import CronTab

    (place.folder / "mlruns/nightly").mkdir(parents=True)
    python = place.folder / "my python"
    python.unlink()
    python.write_text('#!/bin/sh\necho "$PWD|$@"\n')
    python.chmod(0o755)
    install(of_kind("cron"), paths, place)
    (job,) = [job for job in CronTab(tab=table.read_text()) if job.is_enabled() and job.is_valid()]
    minute = str(job.slices).split()[0]
    assert str(job.slices) == f"{minute} * * * *"
    assert all((int(each) - 30) % 15 == 0 for each in minute.split(","))
    # cron hands the line to a shell with \% as %
    subprocess.run(["/bin/sh", "-c", str(job.command).replace("\\%", "%")], check=True)
    assert (place.folder / "mlruns/nightly/tick.log").read_text() == f"{place.folder}|-m sweep.schedule tick\n"


@pytest.mark.parametrize("before", ["", "# mine\n0 5 * * * true\n", "0 5 * * * true # no line break at the end"])
def test_only_own_lines_of_the_crontab_are_touched(place: Place, paths: Paths, table: Path, before: str) -> None:
    if before:
        table.write_text(before)
    made = of_kind("cron")
    install(made, paths, place)
    install(replace(made, hours=schedule("03:15", "06:30").hours), paths, place)
    install(replace(made, name="other"), paths, place)
    assert table.read_text().count("sweep.schedule tick") == 2
    assert remove("made", paths, place) == []
    assert table.read_text().count("sweep.schedule tick") == 1
    remove("other", paths, place)
    assert table.read_text() == (before if before.endswith("\n") or not before else f"{before}\n")
    assert names(paths) == []


@pytest.mark.parametrize("kind", ["systemd", "github", "kubernetes"])
def test_files_are_replaced_and_removed_and_no_others(
    kind: str, place: Place, paths: Paths, table: Path, tmp_path: Path
) -> None:
    made = of_kind(kind)
    own = list(kinds()[kind].files(made, place))
    bystander = own[0].parent / "of-somebody-else"
    bystander.parent.mkdir(parents=True, exist_ok=True)
    bystander.write_text("mine")
    install(made, paths, place)
    later = replace(made, hours=schedule("03:15", "06:30").hours)
    assert problems_of(later, place) == []
    install(later, paths, place)
    assert all(file.exists() for file in own)
    assert load(paths, "made").hours.at.minute == 15
    assert len(remove("made", paths, place)) == len(own)
    assert not any(file.exists() for file in own)
    assert bystander.read_text() == "mine"
    own[0].write_text("written by hand")
    assert [problem.partition(": ")[0] for problem in problems_of(made, place)] == [str(own[0])]


def test_another_kind_takes_the_place_of_the_first(place: Place, paths: Paths, table: Path) -> None:
    install(of_kind("cron"), paths, place)
    install(of_kind("github"), paths, place)
    assert "goldilocks" not in table.read_text()
    assert (place.folder / ".github/workflows/goldilocks-made.yml").exists()
    install(of_kind("none"), paths, place)
    assert not (place.folder / ".github/workflows/goldilocks-made.yml").exists()


@pytest.mark.parametrize("kind", ["cron", "systemd"])
def test_where_the_scheduler_refuses_everything_is_as_before(
    kind: str, place: Place, paths: Paths, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSES", "yes")
    with pytest.raises(EnvironmentLacks):
        install(of_kind(kind), paths, place)
    assert names(paths) == []
    assert not table.exists()
    assert not any(file.exists() for file in kinds()[kind].files(of_kind(kind), place))


def test_the_timer_is_switched_on_and_off(place: Place, paths: Paths, table: Path) -> None:
    told = install(of_kind("systemd"), paths, place)
    assert any("enable-linger" in line for line in told)
    remove("made", paths, place)
    calls = [line.split()[1] for line in table.read_text().splitlines()]
    assert calls == ["daemon-reload", "enable", "restart", "disable"]


@pytest.mark.parametrize("kind", list(kinds()))
def test_a_schedule_is_stored_whole_and_previewed(kind: str, place: Place) -> None:
    (place.folder / "night.env").write_text("DB_PASSWORD=hunter2hunter2\n")
    made = of_kind(kind, environment="night.env", notify=("env:A",))
    assert from_json(json.loads(json.dumps(as_json(made)))) == made
    shown = "\n".join(preview(made, place))
    assert "sweep.schedule" in shown or kind == "none"
    assert "hunter2" not in shown


def test_a_folder_with_a_line_break_is_refused(place: Place) -> None:
    folder = place.folder / "two\nlines"
    assert any(
        "control character" in problem for problem in problems_of(of_kind("none"), replace(place, folder=folder))
    )


def test_a_schedule_of_a_later_version_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="later version"):
        from_json({**as_json(schedule()), "schema": 99})
