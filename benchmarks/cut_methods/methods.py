"""Ways of cutting an adapter. Each ends in `sweep.training.cut.cut_matrices`, the cut that a study makes.

plain     the best approximation of the update dW in the Frobenius norm, module by module
inputs    the best approximation of dW x on training inputs x: with C = E[x x^T] it minimizes ||(dW - dW') C^(1/2)||_F, as in
          SVD-LLM (Wang et al. 2024, https://arxiv.org/abs/2403.07378) and ASVD (Yuan et al. 2023,
          https://arxiv.org/abs/2312.05821)
both      the best approximation weighted by inputs and by gradients of the loss: with G = E[g g^T] it minimizes
          ||G^(1/2) (dW - dW') C^(1/2)||_F, to second order the change of the loss if x and g were independent
          (K-FAC: Martens and Grosse 2015, https://arxiv.org/abs/1503.05671)
... one budget
          as above, but the singular values of all modules are ranked together (per byte), and the ranks of the modules
          differ, with as many bytes in all as at the uniform rank (`rank_pattern` of PEFT)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from benchmarks.cut_methods.moments import Moments
from benchmarks.cut_methods.workshop import Adapter
from sweep.training.cut import cut_matrices

DAMPING = 0.1
"""Share of the isotropic part in G: gradients of a few examples leave directions out that matter for others."""

RIDGE = 1e-6
"""Share of the mean input energy that is added to every direction of C, so that directions without any input are ordered too."""

WEIGHTINGS = ("plain", "inputs", "both")

DEFAULT = "plain"
"""How a study cuts."""


def cut(adapter: Adapter, moments: Mapping[str, Moments], weighting: str, ranks: Mapping[str, int]) -> Adapter:
    """The adapter cut to a rank for each module.

    Args:
        weighting: one of `WEIGHTINGS`.
    """
    matrices = {}
    for name, (down, up) in adapter.matrices.items():
        if weighting == "both":
            root, inverse = _root_of_gradients(adapter.scale, up, moments[name])
            small_down, inner = cut_for_inputs(down.double(), root, adapter.scale, ranks[name], moments[name].inputs)
            matrices[name] = (small_down.float(), (up.double() @ inverse @ inner).float())
        elif weighting == "inputs":
            matrices[name] = cut_for_inputs(down, up, adapter.scale, ranks[name], moments[name].inputs)
        else:
            matrices[name] = cut_matrices(down, up, adapter.scale, ranks[name])[:2]
    return Adapter(adapter.scale, matrices)


def cut_for_inputs(
    down: torch.Tensor, up: torch.Tensor, scale: float, rank: int, gram: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best approximation of dW = scale * up @ down on inputs x with E[x x^T] = C: U U^T dW.

    U holds the first left singular vectors of dW C^(1/2), the eigenvectors of scale^2 B (A C A^T) B^T.

    Args:
        down: A, shape (R, in_features).
        up: B, shape (out_features, R).
        rank: the rank r of the result.
        gram: A C A^T, shape (R, R).

    Returns:
        A' of shape (r, in_features) and B' of shape (out_features, r).
    """
    left, inner = torch.linalg.qr(up.double())  # (out, m), (m, R)
    kept = torch.linalg.svd(scale * inner @ _root_of_inputs(gram.double(), down.double()), full_matrices=False)[0]
    kept = left @ kept[:, :rank]  # (out, at most r), orthonormal columns
    return cut_matrices(down, (kept @ (kept.t() @ up.double())).to(up), scale, rank)[:2]


def _root_of_inputs(gram: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """L with L L^T = A (C + ridge) A^T, up to a factor; eigenvalues that rounding made negative count as zero."""
    plain = down @ down.t()
    energy, plain_energy = float(gram.trace()), float(plain.trace())
    if energy > 0 and plain_energy > 0:
        plain = (gram + gram.t()) / (2 * energy) + RIDGE * plain / plain_energy
    values, vectors = torch.linalg.eigh(plain)
    return vectors * values.clamp(min=0).sqrt()


def uniform(adapter: Adapter, rank: int) -> dict[str, int]:
    """The same rank for every module."""
    return dict.fromkeys(adapter.matrices, rank)


def one_budget(adapter: Adapter, moments: Mapping[str, Moments], weighting: str, rank: int) -> dict[str, int]:
    """Ranks with as many parameters in all as at a uniform rank, chosen by singular values per parameter; 0 may occur."""
    sizes = {name: down.shape[1] + up.shape[0] for name, (down, up) in adapter.matrices.items()}
    worth = [
        (float(value) ** 2 / sizes[name], -index, name)
        for name in adapter.matrices
        for index, value in enumerate(_singular_values(adapter, moments, weighting, name))
    ]
    left = rank * sum(sizes.values())
    ranks = dict.fromkeys(adapter.matrices, 0)
    for _, index, name in sorted(worth, reverse=True):
        if sizes[name] <= left and ranks[name] == -index:
            ranks[name] += 1
            left -= sizes[name]
    return ranks


def _singular_values(adapter: Adapter, moments: Mapping[str, Moments], weighting: str, name: str) -> torch.Tensor:
    down, up = (matrix.double() for matrix in adapter.matrices[name])
    left = adapter.scale**2 * up.t() @ up if weighting != "both" else moments[name].gradients
    right = down @ down.t() if weighting == "plain" else moments[name].inputs
    return torch.linalg.svdvals(_root(left)[0] @ _root(right)[0])


def _root_of_gradients(scale: float, up: torch.Tensor, moments: Moments) -> tuple[torch.Tensor, torch.Tensor]:
    """Square root, and its inverse, of the damped moments of the gradients."""
    plain = up.double().t() @ up.double()
    weighted = moments.gradients / moments.gradients.trace() * plain.trace()
    return _root((1 - DAMPING) * weighted + DAMPING * plain)


def _root(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values, vectors = torch.linalg.eigh((matrix + matrix.t()) / 2)
    roots = values.clamp(min=float(values.max()) * 1e-10).sqrt()
    return (vectors * roots) @ vectors.t(), (vectors / roots) @ vectors.t()
