"""From the command line to a plan: what `run` and `train` share. Hydra composes; multiruns are Hydra applications."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sweep.config.groups import ROOT_CONFIG, own_folder, package_folder
from sweep.config.hydra_setup import masked_files, set_up_hydra
from sweep.config.load import DataCheck, OptionCheck, plan_from
from sweep.config.overrides import in_hydras_words, override_problems
from sweep.console.masking import hide, mask
from sweep.errors import ConfigurationError
from sweep.records import StudyPlan

_FLAGS = ("-m", "--multirun")
"""Hydra's flags that run jobs. With others Hydra shows something, or composes from folders that only it knows."""


def run_app(
    task: Callable[[StudyPlan], float | None],
    data_check: DataCheck,
    option_check: OptionCheck,
    show_plan: Callable[[StudyPlan], None],
    *,
    searches: bool = True,
) -> None:
    """Composes the configuration from the command line and calls `task` with its plan, or `show_plan` if `dry_run=true`.

    Problems of the command line, the configuration and the data are reported together, before anything is written.

    Args:
        searches: whether `task` runs a study, not a single trial.

    Raises:
        ConfigurationError, DataError: with all problems.
    """
    set_up_hydra()
    words = in_hydras_words(sys.argv[1:])
    flags = [word for word in words if word.startswith("-")]
    if all(flag in _FLAGS for flag in flags):
        overrides = [word for word in words if word not in flags]
        jobs = _jobs(overrides) if flags else [overrides]
        checked = [_checked(job, data_check, option_check, searches=searches) for job in jobs]
        if checked[0].plan.dry_run:
            for job in checked:
                show_plan(job.plan)
            return
        if not flags and not checked[0].needs_hydra:
            task(checked[0].plan)
            return
    _run_with_hydra(task, show_plan, words, searches=searches)


def _run_with_hydra(
    task: Callable[[StudyPlan], float | None],
    show_plan: Callable[[StudyPlan], None],
    words: list[str],
    *,
    searches: bool,
) -> None:
    """For multiruns, Hydra's own flags, and whatever is set below `hydra`."""
    sys.argv[1:] = words
    # argparse refuses words on both sides of a flag
    for flag in _FLAGS:
        if flag in words:
            sys.argv.remove(flag)
            sys.argv.insert(1, flag)
    own = own_folder()
    if own is not None and "--config-dir" not in words and "-cd" not in words:
        sys.argv[1:1] = ["--config-dir", str(own)]

    def composed(config: DictConfig) -> float | None:
        try:
            _hide_addresses(config)
            plan = plan_from(config, overrides=words, searches=searches)
            if plan.dry_run:
                show_plan(plan)
                return None
            return task(plan)
        except Exception as error:
            raise _Ended(error) from error

    # Hydra would print a person's mistake with its own words and exit code; raised, it is explained like any other
    os.environ["HYDRA_FULL_ERROR"] = "1"
    application = hydra.main(version_base="1.3", config_path=str(package_folder()), config_name=ROOT_CONFIG)(composed)
    failed: Exception | None = None
    try:
        with masked_files():
            application()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(mask(_first_lines(error))) from error
    except _Ended as ended:
        failed = ended.error
    if failed is not None:  # out here: its own cause is the only one
        raise failed


class _Ended(BaseException):
    """Carries an error past Hydra, which would print the overrides first and go on with a multirun's next job."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True)
class _Checked:
    """A plan without problems.

    Attributes:
        needs_hydra: whether the configuration sets something below `hydra` that acts in a single run.
    """

    plan: StudyPlan
    needs_hydra: bool


def composed_plan(
    overrides: Sequence[str],
    data_check: DataCheck | None = None,
    option_check: OptionCheck | None = None,
    *,
    searches: bool = True,
) -> StudyPlan:
    """The study that these overrides describe, without running a Hydra application.

    Args:
        searches: whether it is run as a study, not as a single trial.

    Raises:
        ConfigurationError, DataError: with all problems.
    """
    set_up_hydra()
    return _checked(in_hydras_words(overrides), data_check, option_check, searches=searches).plan


def _checked(
    overrides: Sequence[str],
    data_check: DataCheck | None = None,
    option_check: OptionCheck | None = None,
    *,
    searches: bool = True,
) -> _Checked:
    """Composes and checks, without Hydra's output folder: a command that is refused leaves nothing behind."""
    problems, usable = override_problems(overrides)
    try:
        composed = _compose(usable)
    # whatever YAML and Hydra stumble over in a person's own files
    except (HydraException, OmegaConfBaseException, YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError([*problems, mask(_composing_problem(error))]) from error
    _hide_addresses(composed)
    hydra_keys = composed.hydra
    with open_dict(composed):
        del composed["hydra"]
    earlier = [*problems, *_tracking_problems(composed)]
    plan = plan_from(composed, earlier, data_check, option_check, usable, searches=searches)
    acts = hydra_keys.callbacks or hydra_keys.job.env_set or hydra_keys.job.env_copy or hydra_keys.job.chdir
    needs_hydra = any(word.lstrip("+~").startswith("hydra") for word in usable) or bool(acts)
    return _Checked(plan, needs_hydra or hydra_keys.output_subdir is not None)


def _hide_addresses(composed: DictConfig) -> None:
    """Makes the secrets of the addresses known, before a problem can quote one."""
    for key in ("tracking.uri", "storage.url"):
        with suppress(OmegaConfBaseException):  # reported with the other problems
            hide(str(OmegaConf.select(composed, key) or ""))


def _tracking_problems(composed: DictConfig) -> tuple[str, ...]:
    """What is wrong with `tracking.uri`, known before anything is written."""
    from sweep.tracking.address import address_of

    try:
        uri = OmegaConf.select(composed, "tracking.uri")
        if isinstance(uri, str):
            address_of(uri)
    except OmegaConfBaseException:
        return ()  # reported with the other keys
    except ConfigurationError as error:
        return error.problems
    return ()


def _jobs(overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of as many jobs of a multirun as show every value: `lora.r=4` and `lora.r=8` of `lora.r=4,8`."""
    values = [_values_of_sweep(word) for word in overrides]
    for job in range(max(map(len, values), default=1)):
        yield [choices[min(job, len(choices) - 1)] for choices in values]


def _values_of_sweep(word: str) -> list[str]:
    try:
        override = OverridesParser.create().parse_override(word)
        if not override.is_sweep_override():
            return [word]
        return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    except (HydraException, ValueError):
        return [word]


def _compose(overrides: Sequence[str]) -> DictConfig:
    own = own_folder()
    GlobalHydra.instance().clear()
    search_path = [f"hydra.searchpath=[{_quoted(f'file://{own}')}]"] if own else []
    with initialize_config_dir(version_base="1.3", config_dir=str(package_folder())):
        return compose(config_name=ROOT_CONFIG, overrides=[*search_path, *overrides], return_hydra_config=True)


def _composing_problem(error: Exception) -> str:
    if isinstance(error, YAMLError):
        return f"a configuration file is not valid YAML: {' '.join(str(error).split())}"
    if isinstance(error, RecursionError):
        return "a configuration file under ./conf contains itself: by its defaults list, or by an anchor"
    if isinstance(error, UnicodeDecodeError):
        return f"{_not_utf8() or 'a configuration file under ./conf'}: is not UTF-8 ({error}); save it as UTF-8"
    return _first_lines(error)


def _not_utf8() -> Path | None:
    """The first of a person's own files that Hydra cannot read."""
    for file in sorted((own_folder() or Path("conf")).rglob("*.yaml")):
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return file
        except OSError:
            continue
    return None


def _quoted(text: str) -> str:
    """As a quoted value of Hydra's override grammar: Hydra reads paths as they are, so they must not be encoded."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _first_lines(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return " ".join(lines[:3])
