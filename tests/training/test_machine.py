"""`torch.compile` while libraries are imported, and what the system says about the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sweep.training.machine import compiling_on_first_call, cpu_vendor


def test_a_function_is_compiled_when_it_is_first_called(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def compiler(function, **options):  # type: ignore[no-untyped-def]
        compiled.append(function.__name__)
        return lambda value: function(value) + options.get("add", 0)

    monkeypatch.setattr(torch, "compile", compiler)
    with compiling_on_first_call():

        @torch.compile(add=1)
        def double(value: int) -> int:
            return 2 * value

        @torch.compile
        def same(value: int) -> int:
            return value

    assert torch.compile is compiler
    assert not compiled
    assert [double(2), double(3), same(4)] == [5, 7, 4]
    assert compiled == ["double", "same"]


def test_bitsandbytes_does_not_import_the_compiler() -> None:
    code = (
        "import sys; from sweep.training.machine import compiling_on_first_call\n"
        "with compiling_on_first_call():\n    import bitsandbytes\n"
        "sys.exit('torch._inductor.compile_fx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


def test_the_maker_of_the_cpu(tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Some\n", encoding="utf-8")
    assert cpu_vendor(listed) == "GenuineIntel"
    assert cpu_vendor(tmp_path / "missing") in {"", "GenuineIntel", "AuthenticAMD"}
