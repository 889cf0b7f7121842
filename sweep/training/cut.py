"""Cuts a trained LoRA adapter to a smaller rank: the best approximation of its update, without training.

The update of a module is dW = scale * B A. In the Frobenius norm, its best approximation of rank r is its truncated singular value
decomposition (Eckart and Young 1936). docs/cutting.md compares it with other ways of cutting.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sweep.errors import TrialDiverged, TrialFailed
from sweep.methods import is_rank_stabilized
from sweep.methods import scale as scale_of
from sweep.methods.module_ranks import first_match, has_patterns, module_scale
from sweep.records import Arm
from sweep.store.paths import ORIGIN
from sweep.training.adapters import CONFIG, WEIGHTS, use_default_permissions

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, slots=True)
class CutAdapter:
    """What was cut.

    Attributes:
        parameters: number of parameters of the cut adapter.
        energy_kept: share of the update's squared Frobenius norm that is kept, over all modules; 1 for an update of zero.
    """

    parameters: int
    energy_kept: float


def cut_matrices(
    down: torch.Tensor, up: torch.Tensor, scale: float, rank: int, cut_scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The best approximation of scale * up @ down of a rank.

    Computed in float64 on factors; the matrix of shape (out_features, in_features) is never formed. Columns of `up` have fixed signs,
    so equal inputs give equal results.

    Args:
        down: A, shape (R, in_features).
        up: B, shape (out_features, R).
        scale: factor of the update.
        rank: the rank r of the result; with r >= R the update stays as it is.
        cut_scale: factor of the result, see `sweep.methods.scale`; None for the same as `scale`.

    Returns:
        A' of shape (r, in_features), B' of shape (out_features, r), and the share of the update's squared Frobenius norm that is kept.
        The singular values of the update are split evenly between them. dW' = cut_scale * B' A'.
    """
    full_down, full_up = down.detach().cpu().double(), up.detach().cpu().double()
    right, inner_down = torch.linalg.qr(full_down.t())  # (in, k), (k, R): A = inner_down^T right^T
    left, inner_up = torch.linalg.qr(full_up)  # (out, m), (m, R)
    core = scale * inner_up @ inner_down.t()  # (m, k): dW = left core right^T
    u, singular, v = torch.linalg.svd(core, full_matrices=False)
    u, singular, v = u[:, :rank], singular[:rank], v[:rank]
    root = (singular / (cut_scale or scale)).sqrt()
    cut_up, cut_down = left @ u * root, root[:, None] * (v @ right.t())
    signs = _signs(cut_up)
    total = float(core.square().sum())
    energy = min(1.0, float(singular.square().sum()) / total) if total > 0 else 1.0
    result_down, result_up = torch.zeros(rank, down.shape[1]), torch.zeros(up.shape[0], rank)
    result_down[: len(singular)] = (signs[:, None] * cut_down).float()
    result_up[:, : len(singular)] = (cut_up * signs).float()
    return result_down.to(down), result_up.to(up), energy


def update_energy(down: torch.Tensor, up: torch.Tensor) -> float:
    """||up @ down||_F^2, as the trace of the product of two R x R matrices."""
    a, b = down.detach().cpu().double(), up.detach().cpu().double()
    return max(0.0, float(((b.t() @ b) * (a @ a.t())).sum()))


def cut_adapter(source: Path, target: Path, arm: Arm) -> CutAdapter:
    """Cuts an adapter in PEFT's format to `arm.rank`, module by module, into another folder.

    Modules with a rank of their own (`lora.rank_pattern`) stay as they are: so they would be trained in an arm of that rank too.

    Args:
        source: folder of the adapter of `arm.parent`.
        target: folder that is written to; made if it does not exist.
        arm: the arm of the cut adapter.

    Raises:
        TrialFailed: the source is missing, damaged, or not an adapter of `arm.parent`.
        TrialDiverged: its weights are not finite.
    """
    config, weights = read_adapter(source)
    parent = arm.parent
    if config["r"] != parent.rank or bool(config.get("use_rslora")) != is_rank_stabilized(parent):
        raise TrialFailed(
            f"the adapter in {source} has rank {config['r']}, not the rank {parent.rank} that it is cut from"
        )
    scale = config["lora_alpha"] / (math.sqrt(parent.rank) if is_rank_stabilized(parent) else parent.rank)
    cut: dict[str, torch.Tensor] = {}
    kept, total = 0.0, 0.0
    for name in lora_modules(weights):
        down, up = weights[f"{name}{_A}"], weights[f"{name}{_B}"]
        if not bool(torch.isfinite(down).all() and torch.isfinite(up).all()):
            raise TrialDiverged(f"diverged: the weights of the adapter in {source} are not finite")
        module, own, to = name.removeprefix(_PREFIX), scale, scale_of(arm)
        if has_patterns(arm):
            own, to = module_scale(parent, module), module_scale(arm, module)
        if first_match(arm.rank_pattern, module) is None:
            cut_down, cut_up, share = cut_matrices(down, up, own, arm.rank, cut_scale=to)
        else:
            cut_down, cut_up, share = down, up, 1.0
        cut[f"{name}{_A}"], cut[f"{name}{_B}"] = cut_down.contiguous(), cut_up.contiguous()
        energy = update_energy(down, up) * (own / scale) ** 2
        kept, total = kept + share * energy, total + energy
    target.mkdir(parents=True, exist_ok=True)
    changed = {**config, "r": arm.rank, "lora_alpha": arm.alpha, "inference_mode": True}
    (target / CONFIG).write_text(json.dumps(changed, indent=2), encoding="utf-8")
    save_file(cut, target / WEIGHTS, metadata={"format": "pt"})
    use_default_permissions(target)
    if (source / ORIGIN).is_file():
        shutil.copyfile(source / ORIGIN, target / ORIGIN)
    return CutAdapter(sum(matrix.numel() for matrix in cut.values()), kept / total if total > 0 else 1.0)


def read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """PEFT's configuration and the weights of a saved adapter, on the CPU.

    Raises:
        TrialFailed: a file is missing or damaged.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return config, load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise TrialFailed(f"the adapter cannot be read: {folder}: {error}") from error


def lora_modules(weights: Mapping[str, torch.Tensor]) -> list[str]:
    """The modules with A and B, by PEFT's name."""
    return [
        name.removesuffix(_A) for name in weights if name.endswith(_A) and f"{name.removesuffix(_A)}{_B}" in weights
    ]


def _signs(columns: torch.Tensor) -> torch.Tensor:
    """1 or -1 for each column: the sign of its entry that is largest in size."""
    if columns.numel() == 0:
        return torch.ones(columns.shape[1], dtype=columns.dtype)
    largest = columns.gather(0, columns.abs().argmax(dim=0, keepdim=True))[0]
    return torch.where(largest < 0, -1.0, 1.0).to(columns.dtype)
