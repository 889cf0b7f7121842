"""The first worker starts before the parent imports anything slow."""

from __future__ import annotations

import subprocess
import sys

SLOW = ("optuna", "sqlalchemy", "scipy", "numpy", "mlflow", "torch", "rich")


def test_it_imports_nothing_slow() -> None:
    code = f"import sys, sweep.study.worker_pool; print(*[name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []
