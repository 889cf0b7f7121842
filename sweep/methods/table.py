"""The tables of methods and initializations in `docs/methods.md`."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.methods.initialization import INITIALIZATIONS
from sweep.methods.method import LORA_FIELDS, Method
from sweep.methods.registry import methods
from sweep.records.quants import QUANTS

_LORA = {"rank": "r"} | {name: name for name in LORA_FIELDS if name != "rank"}


def table() -> Iterator[str]:
    """A line for each method, as Markdown."""
    yield "| `method=` | what it is | `lora.*` | its own keys | `quant=` |"
    yield "| --- | --- | --- | --- | --- |"
    for method in methods().values():
        lora = "all" if method.lora == LORA_FIELDS else ", ".join(_LORA[name] for name in method.lora) or "none"
        quants = "all" if method.quants == QUANTS else ", ".join(method.quants)
        yield f"| `{method.name}` | {method.text} ({method.paper}) | {lora} | {_own(method)} | {quants} |"


def _own(method: Method) -> str:
    parts = []
    for key in method.own_keys():
        searched = method.space.get(key.name)
        default = "" if key.default is None else f" ({key.default})"
        parts.append(f"`{key.name}`{default}" + (f", searched: {', '.join(map(str, searched))}" if searched else ""))
    return "; ".join(parts) or "none"


def initializations() -> Iterator[str]:
    """A line for each initialization of LoRA's matrices, as Markdown."""
    yield "| `lora.init=` | what A and B start as | seeds differ in it | `quant=` | the file's rank |"
    yield "| --- | --- | --- | --- | --- |"
    for init in INITIALIZATIONS.values():
        quants = "all" if init.quants == QUANTS else ", ".join(init.quants)
        seeded, rank = "yes" if init.seeded else "no", "2r" if init.subtracted else "r, even" if init.even else "r"
        yield f"| `{init.name}` | {init.text} ({init.paper}) | {seeded} | {quants} | {rank} |"
