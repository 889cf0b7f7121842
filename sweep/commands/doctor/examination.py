"""All checks of one study; the rehearsal runs in a child process meanwhile."""

from __future__ import annotations

import os
from collections.abc import Sequence

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from sweep.commands.app import composed_plan
from sweep.commands.doctor import capacity, databases, machine, sources
from sweep.commands.doctor.findings import Finding
from sweep.commands.doctor.rehearsal import Rehearsal
from sweep.config.cores import available_cores
from sweep.config.gpus import amd_gpus, nvidia_gpus, visible
from sweep.errors import ConfigurationError
from sweep.records import StudyPlan
from sweep.store.paths import Paths
from sweep.training.machine import available_memory, quiet_libraries
from sweep.training.sources import hub_answers


def planned(overrides: Sequence[str]) -> StudyPlan:
    """The study that these overrides describe.

    Raises:
        ConfigurationError: with all problems.
    """
    try:
        return composed_plan(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ConfigurationError(" ".join(lines[:3])) from error


def examine(plan: StudyPlan) -> list[Finding]:
    """Checks what a study needs of this machine; neither trains nor downloads its model."""
    paths = Paths.here()
    setup = plan.setup
    quiet_libraries()
    with Rehearsal(setup.device) as rehearsal:
        # first: if the hub does not answer, this sets HF_HUB_OFFLINE, which its library reads on import
        data = sources.data(setup.task, paths)
        folder = sources.folder_of(setup.model, paths)
        base = sources.base_model(setup.model, folder, hub_answers)
        hub_model = setup.model.path is None and setup.model.source in ("auto", "hub")
        hub_needed = (base.state == "problem" and hub_model) or (data.state == "problem" and setup.task.kind == "hub")
        elsewhere = [
            sources.model_hub(hub_answers(), hub_needed),
            databases.tracking(plan.tracking_uri, paths),
            *databases.artifacts(paths),
            databases.storage(plan.storage_url, paths),
            data,
            sources.running_sweep(paths, plan.name),
        ]
        found = [gpu for listed in (nvidia_gpus(), amd_gpus()) for _, gpu in visible(listed, os.environ)]
        rehearsed = rehearsal.result()
    on_gpu = rehearsed.device not in (None, "cpu")
    wheel_first = setup.model.source == "wheel" or (setup.model.source == "auto" and not hub_answers())
    need = capacity.need(
        sources.parameters_of(setup.model, folder),
        plan,
        fetched=folder is not None,
        from_wheel=setup.model.wheel is not None and wheel_first,
        on_gpu=on_gpu,
    )
    return [
        machine.processor(
            available_cores(), machine.processor_features(), setup.threads, plan.workers, machine.core_quota()
        ),
        capacity.graphics(
            found, rehearsed.device, need.gpu_memory, plan.workers, str(yaml.safe_load(plan.config)["device"])
        ),
        capacity.memory(need.memory, available_memory(), setup.memory_budget),
        capacity.disk(paths.root, need.disk),
        *([capacity.hub_cache(sources.hub_cache_folder(), need.cache)] if need.cache else []),
        *(rehearsed.finding(quantization, setup.quant.name) for quantization in ("nf4", "int8")),
        base,
        *elsewhere,
    ]
