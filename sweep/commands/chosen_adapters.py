"""The adapters that studies chose, checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.config.load import plan_of_record
from sweep.console.command_line import pasteable
from sweep.errors import ConfigurationError
from sweep.records import StudyRecord, WorkerSetup
from sweep.records.quants import QUANTS
from sweep.reports.closing import shown
from sweep.store.adapters import origin_of
from sweep.store.champions import Champions
from sweep.store.paths import Paths

WEIGHTS = "adapter_model.safetensors"
WHOLE_MODEL = "model.safetensors"
"""The weights of `method=full`, which has no adapter."""


@dataclass(frozen=True, slots=True)
class ChosenAdapter:
    """A study's adapter and the base it was trained on.

    Attributes:
        folder: the adapter in PEFT's format.
        setup: the study's, with the quantization of that base.
        base_hash: SHA-256 of the base's files, in hex; None if no trial recorded it.
        version: which version of the study's champion it is, in words; None for what the study's verdict chose.
    """

    study: str
    folder: Path
    setup: WorkerSetup
    base_hash: str | None
    version: str | None = None


def chosen_adapters(
    studies: Iterable[str],
    record_of: Callable[[str], StudyRecord],
    paths: Paths,
    version: int | str | None = None,
) -> list[ChosenAdapter]:
    """The adapters of these studies, each study once, all on the same base.

    Args:
        record_of: returns a study's record by name; raises `ConfigurationError` if there is none.
        version: number of a version of the champion; any word for what the verdict chose; None for what is in use: of a study without a
            history of champions, what the verdict chose.

    Raises:
        ConfigurationError: with all studies that do not exist or have no adapter; there is no such version; or their bases differ.
        EnvironmentLacks: the history, or the adapter of the version, is damaged.
    """
    adapters: list[ChosenAdapter] = []
    problems: list[str] = []
    for study in dict.fromkeys(studies):
        try:
            adapters.append(_chosen(record_of(study), paths, version))
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    _check_one_base(adapters)
    whole = [each.study for each in adapters if (each.folder / WHOLE_MODEL).is_file()]
    if whole and len(adapters) > 1:
        raise ConfigurationError(
            f"study={whole[0]}: all its weights are its own (method=full), so it shares no base with others; ask it alone"
        )
    return adapters


def _chosen(record: StudyRecord, paths: Paths, version: int | str | None) -> ChosenAdapter:
    if not isinstance(version, str):
        history = Champions(paths, record.name)
        entries = history.entries()
        if entries or version is not None:
            number = entries[-1].version if version is None else version
            return _of_history(record, history, number, paths)
    return _of_verdict(record, paths)


def _of_history(record: StudyRecord, history: Champions, number: int, paths: Paths) -> ChosenAdapter:
    """A version of the study's champion, whose files are those that were written."""
    folder = history.adapter(number)
    entries = history.entries()
    entry, current = entries[number - 1], entries[-1].version
    words = None
    if origin_of(paths.adapter(record.name)).get("trial") != entry.trial:
        use = "in use" if number == current else f"version {current} is in use"
        words = f"version {number} of its champion ({entry.event.value} of {entry.created[:10]}; {use})"
    base_hash = entry.training.get("provenance", {}).get("base_hash")
    setup = plan_of_record(record.config).setup.with_quant(_quant_in(folder))
    return ChosenAdapter(record.name, folder, setup, base_hash, words)


def _of_verdict(record: StudyRecord, paths: Paths) -> ChosenAdapter:
    folder = paths.adapter(record.name)
    best = record.best()
    whole = (folder / WHOLE_MODEL).is_file()
    if not whole and not (folder / "adapter_config.json").is_file():
        command = f"python -m sweep.report study={record.name}" if best else record.command
        raise ConfigurationError(
            f"study={record.name}: it has no adapter yet ({shown(folder)}); run `{pasteable(command)}`"
        )
    _check_weights(record.name, folder / (WHOLE_MODEL if whole else WEIGHTS))
    provenance = best.provenance if best else None
    return ChosenAdapter(
        record.name,
        folder,
        plan_of_record(record.config).setup.with_quant(_quant_in(folder)),
        provenance.base_hash if provenance else None,
    )


def _quant_in(folder: Path) -> str | None:
    """The quantization of the base that the adapter was trained on; None where an earlier version wrote the folder: the study's."""
    named = origin_of(folder).get("quant")
    return str(named) if named in QUANTS else None


def _check_weights(study: str, weights: Path) -> None:
    from safetensors import SafetensorError, safe_open

    again = f"run `{pasteable(f'python -m sweep.report study={study}')}`, which copies the adapter again"
    if not weights.is_file():
        raise ConfigurationError(
            f"study={study}: its adapter has no {shown(weights)}; {again} (pickled adapters are not loaded, they can run code)"
        )
    try:
        with safe_open(weights, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ConfigurationError(f"study={study}: {shown(weights)} is damaged ({error}); {again}") from error


def _check_one_base(adapters: Sequence[ChosenAdapter]) -> None:
    first, *others = adapters
    for other in others:
        same = other.base_hash == first.base_hash and other.setup.quant == first.setup.quant
        if not same:
            raise ConfigurationError(
                f"study={first.study} is on {_base(first)}, study={other.study} on {_base(other)}: adapters can be swapped "
                "only on the same base; name them one at a time"
            )


def _base(adapter: ChosenAdapter) -> str:
    setup = adapter.setup
    weights = f", weights {adapter.base_hash[:8]}" if adapter.base_hash else ""
    return f"{setup.model.name} ({setup.quant.name}, quant.compute={setup.quant.compute}{weights})"
