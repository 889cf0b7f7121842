"""The table of methods in `docs/methods.md`."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.methods.method import LORA_FIELDS, Method
from sweep.methods.registry import methods

_LORA = {"rank": "r", "alpha_ratio": "alpha_ratio", "dropout": "dropout", "targets": "targets"}


def table() -> Iterator[str]:
    """A line for each method, as Markdown."""
    yield "| `method=` | what it is | `lora.*` | its own keys | `quant=` |"
    yield "| --- | --- | --- | --- | --- |"
    for method in methods().values():
        lora = "all" if method.lora == LORA_FIELDS else ", ".join(_LORA[name] for name in method.lora) or "none"
        quants = "all" if len(method.quants) == 3 else ", ".join(method.quants)
        yield f"| `{method.name}` | {method.text} ({method.paper}) | {lora} | {_own(method)} | {quants} |"


def _own(method: Method) -> str:
    parts = []
    for key in method.own_keys():
        searched = method.space.get(key.name)
        default = "" if key.default is None else f" ({key.default})"
        parts.append(f"`{key.name}`{default}" + (f", searched: {', '.join(map(str, searched))}" if searched else ""))
    return "; ".join(parts) or "none"
