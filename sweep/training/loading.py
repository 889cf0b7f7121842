"""What goes wrong when a model's files are read, in words: the files are a person's, and so is what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from sweep.errors import ConfigurationError, GoldilocksError
from sweep.records import BaseModel
from sweep.training.memory import is_out_of_memory

_SHOWN = 300
"""So many characters of what a library says are repeated."""

_OTHER_SHAPES = "its weights have other shapes than its config.json asks for; see that both belong together"


@contextmanager
def reading(model: BaseModel, folder: Path | str) -> Iterator[None]:
    """Around whatever reads a model's files, with its own code or with a library's.

    Raises:
        ConfigurationError: they cannot be used, whatever the library stumbled over; the text says what to do.
        ImportError: its own code wants a package that is not installed.
        MemoryError, RuntimeError: memory ran out.
    """
    try:
        yield
    except (GoldilocksError, ImportError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ConfigurationError(f"model={model.name} ({folder}): {_in_words(error, Path(folder))}") from error


def check_complete(model: BaseModel, folder: Path | str, base: nn.Module, report: Mapping[str, Any]) -> None:
    """Weights that the files lack would be random numbers; 4-bit weights of another shape are not refused by transformers.

    Args:
        report: what `from_pretrained(output_loading_info=True)` says.

    Raises:
        ConfigurationError: some are missing, or have another shape.
    """
    missing = sorted(report["missing_keys"])
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ConfigurationError(
            f"model={model.name} ({folder}): its safetensors lack weights that its config.json asks for: "
            f"{', '.join(missing[:3])}{more}; download the whole model, or see that both belong together"
        )
    for name, module in base.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None and tuple(state.shape) != (module.out_features, module.in_features):
            raise ConfigurationError(f"model={model.name} ({folder}): {name}: {_OTHER_SHAPES}")


def _in_words(error: Exception, folder: Path) -> str:
    if isinstance(error, SafetensorError):
        file, why = _broken_file(folder) or ("a safetensors file", str(error))
        return f"{file} is damaged ({why}); download or convert the model anew"
    said = " ".join(str(error).split())
    if "trust_remote_code" in said:
        return (
            "it comes with code of its own, which is not run unasked; read the code, and if you trust it write "
            "model.trust_remote_code=true"
        )
    if "ignore_mismatched_sizes" in said:
        return _OTHER_SHAPES
    shown = said[:_SHOWN] + ("..." if len(said) > _SHOWN else "")
    kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    return f"cannot be loaded as a causal language model: {kind}{shown}"


def _broken_file(folder: Path) -> tuple[str, str] | None:
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(str(file), framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            return file.name, str(error)
    return None
