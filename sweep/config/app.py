"""The Hydra application that `python -m sweep` and `python -m sweep.train` are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sweep.config.groups import ROOT_CONFIG, own_folder, package_folder
from sweep.config.load import plan_from
from sweep.config.overrides import override_problems
from sweep.config.resolvers import register_resolvers
from sweep.errors import ConfigurationError
from sweep.records import StudyPlan

_ASKS_HYDRA = ("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc")


def run_app(task: Callable[[StudyPlan], float | None]) -> None:
    """Composes the configuration from the command line and calls `task` with the study it describes.

    What is wrong with the command line, and what is wrong with the configuration that it makes, is reported together.

    Raises:
        ConfigurationError: with all problems.
    """
    register_resolvers()
    words = sys.argv[1:]
    asks_hydra = any(word.split("=")[0] in _ASKS_HYDRA for word in words)
    if not asks_hydra:
        overrides = [word for word in words if not word.startswith("-")]
        problems, usable = override_problems(overrides)
        if problems:
            _report_all(problems, usable)
    own = own_folder()
    if own is not None and "--config-dir" not in words and "-cd" not in words:
        sys.argv[1:1] = ["--config-dir", str(own)]

    def composed(config: DictConfig) -> float | None:
        return task(plan_from(config))

    # Hydra would print a person's mistake with its own words and exit code; raised, it is explained like any other
    os.environ["HYDRA_FULL_ERROR"] = "1"
    application = hydra.main(version_base="1.3", config_path=str(package_folder()), config_name=ROOT_CONFIG)(composed)
    try:
        application()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(_first_lines(error)) from error


def composed_plan(overrides: Sequence[str]) -> StudyPlan:
    """The study that these overrides describe, without running a Hydra application.

    Raises:
        ConfigurationError: with all problems.
    """
    register_resolvers()
    problems, usable = override_problems(overrides)
    return plan_from(_compose(usable), problems)


def _report_all(problems: Sequence[str], usable: Sequence[str]) -> None:
    swept = [word for word in usable if not _is_sweep(word)]
    try:
        plan_from(_compose(swept), problems)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError([*problems, _first_lines(error)]) from error


def _is_sweep(word: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(word).is_sweep_override()


def _compose(overrides: Sequence[str]) -> DictConfig:
    own = own_folder()
    GlobalHydra.instance().clear()
    search_path = [f"hydra.searchpath=[{own.as_uri()}]"] if own else []
    with initialize_config_dir(version_base="1.3", config_dir=str(package_folder())):
        return compose(config_name=ROOT_CONFIG, overrides=[*search_path, *overrides])


def _first_lines(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return " ".join(lines[:3])
