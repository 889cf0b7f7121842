"""A very small training in a child process, so that a crash there ends nothing here.

The child trains an adapter on the tiny model with the code of any trial, and evaluates it after every step. On some
processors adapters silently lost their gradients there: the loss must fall from step to step.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from sweep.commands.doctor.findings import Finding
from sweep.config.devices import AUTO, devices_for
from sweep.errors import EnvironmentLacks, GoldilocksError, TrialFailed
from sweep.records import Arm, BaseModel, Quantization, Stage, Training, TrialSpec
from sweep.records.quants import KINDS

SECONDS = 120.0
"""The limit for the child; importing PyTorch alone takes a minute from a cold, slow disk."""

_QUANTIZATIONS = (Quantization("nf4"), Quantization("int8", double_quant=False))
_SPEC = TrialSpec(
    identity="rehearsal",
    study="doctor",
    stage=Stage.SINGLE,
    arm=Arm(rank=4, alpha_ratio=2.0, dropout=0.0, targets=("down_proj", "q_proj", "v_proj"), learning_rate=1e-2),
    training=Training(steps=5, batch_size=4, warmup_fraction=0.0),
    seed=0,
)


@dataclass(frozen=True, slots=True)
class RehearsalResult:
    """The result of the rehearsal.

    Attributes:
        device: torch's name of it, as training picks it; None if the libraries could not be loaded.
        outcomes: by quantization, the problem, or None if it trained.
        end: how the child ended, if not normally.
    """

    device: str | None = None
    outcomes: Mapping[str, str | None] = field(default_factory=dict)
    end: str | None = None

    def finding(self, quantization: str, configured: str) -> Finding:
        """Whether training with this quantization works.

        Args:
            quantization: `nf4` or `int8`.
            configured: the study's own; a problem with one of other bits is a warning.
        """
        name = {"nf4": "4-bit training", "int8": "8-bit training"}[quantization]
        problem = self.outcomes.get(quantization, self.end or "it was not tested")
        if problem is None:
            return Finding(name, "ok", f"trained a small model on {self.device}; the loss fell after every step")
        return Finding(
            name,
            "problem" if KINDS[quantization].bits == KINDS[configured].bits else "warning",
            problem,
            "quant=none trains without quantization and needs more memory"
            if self.device
            else "reinstall the packages: python -m pip install --force-reinstall torch bitsandbytes transformers peft",
        )


class Rehearsal:
    """The running child process; use as a context manager, which ends it.

    Args:
        device: torch's name of the device, or `auto`.
    """

    def __init__(self, device: str = AUTO) -> None:
        self._device = device

    def __enter__(self) -> Rehearsal:
        self._process = subprocess.Popen(  # noqa: S603 (fixed words)
            [sys.executable, "-m", "sweep.commands.doctor.rehearsal", self._device],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env={**os.environ, "OMP_NUM_THREADS": "1", **devices_for(self._device).environment(0)},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def result(self, seconds: float = SECONDS) -> RehearsalResult:
        """Waits up to `seconds` for the result."""
        try:
            output, errors = self._process.communicate(timeout=seconds)
            end = abnormal_end(self._process.returncode, errors)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, _ = self._process.communicate()
            end = f"did not end within {seconds:.0f} s"
        return parsed_result(output, end)


def abnormal_end(code: int, errors: str) -> str | None:
    """How a child ended, in words; None if normally."""
    if code == 0:
        return None
    if code < 0:
        return f"the test was killed by signal {-code} ({signal.Signals(-code).name})"
    lines = [line for line in errors.splitlines() if line.strip()]
    return f"the test ended with exit code {code}: {lines[-1].strip() if lines else 'no output'}"


def parsed_result(output: str, end: str | None) -> RehearsalResult:
    """The result in the child's output; lines of libraries are ignored."""
    device: str | None = None
    outcomes: dict[str, str | None] = {}
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            match json.loads(line):
                case {"device": str(name)}:
                    device = name
                case {"quantization": str(name), "problem": str() | None as problem}:
                    outcomes[name] = problem
    return RehearsalResult(device, outcomes, end)


def _rehearse(quantization: Quantization, folder: Path, requested: str) -> None:
    """Trains a few steps and evaluates after each.

    Raises:
        TrialFailed: gradients did not reach the adapter, or the loss did not fall.
    """
    from sweep.store.paths import Paths
    from sweep.training.base_model import load_base
    from sweep.training.encoding import Encoder
    from sweep.training.forward import completion_losses
    from sweep.training.machine import pick_device
    from sweep.training.trainer_engine import train
    from tasks import Example

    base = load_base(
        BaseModel("tiny", "tiny", source="made"), quantization, Paths(folder), device=pick_device(requested)
    )
    encoder = Encoder(base.tokenizer, None)
    examples = [encoder.encode(Example(f"question {number}", f"answer {number}")) for number in range(4)]
    losses: list[float] = []

    def evaluate(model: object, step: object) -> None:
        losses.append(sum(loss.nats for loss in completion_losses(base, model, examples)))

    train(base, _SPEC, examples, evaluate)
    if not all(later < earlier for earlier, later in itertools.pairwise(losses)):
        raise TrialFailed(f"the loss did not fall: {', '.join(f'{loss:.2f}' for loss in losses)}")


def _outcomes(requested: str) -> Iterator[dict[str, str | None]]:
    from sweep.training.machine import quiet_libraries, quiet_progress

    quiet_libraries()
    from sweep.training.machine import pick_device

    quiet_progress()
    try:
        device = pick_device(requested)
    except EnvironmentLacks as error:
        for quantization in _QUANTIZATIONS:
            yield {"quantization": quantization.name, "problem": str(error)}
        return
    yield {"device": device.type}
    with tempfile.TemporaryDirectory(prefix="goldilocks-doctor-") as scratch:
        for quantization in _QUANTIZATIONS:
            problem = None
            try:
                _rehearse(quantization, Path(scratch), requested)
            except GoldilocksError as error:
                problem = str(error)
            except Exception as error:
                problem = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            yield {"quantization": quantization.name, "problem": problem}


def main() -> None:
    """The child: prints a line of JSON for the device, and one per quantization."""
    for outcome in _outcomes(sys.argv[1] if len(sys.argv) > 1 else AUTO):
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
