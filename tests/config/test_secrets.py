"""No account, password or token of an address reaches the configuration that is kept with records, or a file of Hydra's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sweep.commands.app import composed_plan
from sweep.config.hydra_setup import masked_files
from sweep.console.masking import mask
from sweep.errors import ConfigurationError


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("tracking.uri", "postgresql://user:Secret@host/db"),
        ("tracking.uri", "https://host/api?token=Secret"),
        ("storage.url", "postgresql://user:Secret@host/db"),
        ("storage.url", "postgresql://host/db?password=Secret"),
    ],
)
def test_plan_uses_the_address_and_keeps_it_masked(key: str, url: str) -> None:
    plan = composed_plan([f"{key}='{url}'"])
    used = plan.tracking_uri if key == "tracking.uri" else plan.storage_url
    assert used == url
    assert "Secret" not in plan.config
    assert mask(url) in plan.config


def test_address_from_the_environment_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADE_UP_ADDRESS", "postgresql://user:Secret@host/db")
    plan = composed_plan(["tracking.uri=${oc.env:MADE_UP_ADDRESS}"])
    assert plan.tracking_uri == "postgresql://user:Secret@host/db"
    assert "Secret" not in plan.config


def test_files_of_hydra_are_masked_while_a_command_runs(tmp_path: Path) -> None:
    config = OmegaConf.create({"a": "http://me:Secret@host", "b": ["x=https://h/d?token=Secret: 1"], "c": "to a:b@c"})
    with masked_files():
        OmegaConf.save(config, tmp_path / "multirun.yaml")
    text = (tmp_path / "multirun.yaml").read_text()
    assert "Secret" not in text
    assert OmegaConf.load(tmp_path / "multirun.yaml").a == "http://***@host"
    assert OmegaConf.load(tmp_path / "multirun.yaml").c == "to a:b@c"
    assert "Secret" in OmegaConf.to_yaml(config)


BREAKS = "raise RuntimeError(f'no {plan.tracking_uri}')"
IS_KILLED = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("what", [BREAKS, IS_KILLED])
@pytest.mark.parametrize("flags", [["-m", "lora.r=4,8"], ["hydra.output_subdir=.hydra"]])
def test_a_command_that_breaks_or_is_killed_shows_and_leaves_no_secret(
    what: str, flags: list[str], tmp_path: Path
) -> None:
    code = (
        "import os, signal, sys\n"
        "from sweep.console.command import run\n"
        "from sweep.commands.app import run_app\n"
        "def task(plan):\n"
        f"    {what}\n"
        "sys.exit(run(lambda: run_app(task, lambda data: [], lambda search, training: [], task)))\n"
    )
    (tmp_path / "conf" / "study").mkdir(parents=True)
    (tmp_path / "conf" / "study" / "mine.yaml").write_text(
        "# @package _global_\nstorage:\n  url: postgresql://host/db?password=Sekret3\n"
    )
    given = [*flags, "+study=mine", "model=tiny", "tracking.uri='http://me:Sekret1%2F@127.0.0.1:1/x?key=Sekret2'"]
    done = subprocess.run(
        [sys.executable, "-c", code, *given],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (1 if what is BREAKS else -signal.SIGKILL)
    assert "Error executing job" not in done.stderr
    assert ("RuntimeError: no http://***@127.0.0.1:1/x?***" in done.stderr) == (what is BREAKS)
    written = [file for file in (tmp_path / "mlruns").rglob("*") if file.is_file()]
    assert written
    for text in (done.stdout, done.stderr, *(file.read_text() for file in written)):
        assert "Sekret" not in text


def test_an_address_that_is_refused_is_shown_without_its_secrets() -> None:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(["model=tiny", "tracking.uri='http://me:Sekret1/@127.0.0.1:1/x?key=Sekret2'"])
    assert "Sekret" not in mask("\n".join(caught.value.problems))


def test_a_mistyped_key_is_shown_without_the_secret_of_its_value(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sweep",
            "model=tiny",
            "trackin.uri=http://me:Sekret@127.0.0.1:5000",
            "x=h/d?token=Sekret",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert (
        "trackin.uri=http://***@127.0.0.1:5000: there is no key 'trackin.uri'; did you mean 'tracking.uri'?"
        in done.stderr
    )
    assert "Sekret" not in done.stdout + done.stderr
