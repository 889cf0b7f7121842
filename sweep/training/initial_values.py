"""What A and B start as (`lora.init`): computed from the base and, for EVA, from training examples. Both engines take it from here.

The parts of a weight that PiSSA (Meng et al. 2024, https://arxiv.org/abs/2404.02948), OLoRA (Büyükakyüz 2024,
https://arxiv.org/abs/2406.01775) and LoftQ (Li et al. 2023, https://arxiv.org/abs/2310.08659) start from, and EVA's directions
(Paischer et al. 2024, https://arxiv.org/abs/2410.07170), depend on the base and the data alone: a worker computes them once, for all
trials.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from sweep.methods.initialization import initialization_of
from sweep.methods.module_ranks import module_rank, module_scale
from sweep.records import Arm
from sweep.records.arm import DEFAULT_INIT
from sweep.training.adapters import initial_a, random_stream, target_modules
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.input_grams import calibration_examples, input_grams
from sweep.training.quantization import plain_weight
from sweep.training.starts import Start, Starts
from sweep.training.stored_weights import StoredWeights

EXACT = 2048
"""Up to this width, singular values are computed exactly; above by subspace iteration, which takes seconds instead of minutes."""

_ITERATIONS, _MORE = 16, 8
"""Of subspace iteration, and columns beside those that are wanted (Halko et al. 2011, https://arxiv.org/abs/0909.4061)."""

_GRAM_BYTES = 256 * 2**20
"""Memory for the Gram matrices that are collected in one pass; more modules take further passes."""

_LEAST_ENERGY = 1e-9
"""Share of the largest eigenvalue below which inputs have no component in a direction, up to rounding."""

Factors = tuple[torch.Tensor, torch.Tensor]
"""Rows and columns of which A and B are made, shapes (k, in_features) and (out_features, k), the most important first."""


class Initializer:
    """Computes initial values for the adapters of one base, and keeps what does not depend on the trial.

    Args:
        base: without an adapter attached when `starts` is called.
    """

    def __init__(self, base: LoadedBase) -> None:
        self._base = base
        self._known: dict[tuple[str, ...], tuple[int, Factors]] = {}
        self._stored: StoredWeights | None = None

    def starts(self, arm: Arm, seed: int, train: Sequence[Encoded]) -> Starts:
        """A and B of each target module; empty for the default initialization.

        Where a weight or the inputs have fewer directions than the rank, further rows of A start as by default, and columns of B at zero.

        Args:
            train: the training examples, of which EVA passes some through the base.

        Raises:
            ConfigurationError: a target module does not exist, or LoftQ's unquantized weights cannot be read.
        """
        if arm.init == DEFAULT_INIT:
            return {}
        names = target_modules(arm, self._base.linear_modules)
        ranks = {name: module_rank(arm, name) for name in names}
        if initialization_of(arm).seeded:
            draw = {"gaussian": _gaussian, "orthogonal": _orthogonal}[arm.init]
            return {name: draw(random_stream(seed, name), ranks[name], *self._shape(name)) for name in names}
        factors = self._eva(ranks, train) if arm.init == "eva" else self._of_weights(ranks, arm)
        scaled = arm.init in ("pissa", "loftq")
        roots = {name: module_scale(arm, name) ** 0.5 if scaled else 1.0 for name in names}
        return {name: self._filled(name, ranks[name], seed, factors[name], roots[name]) for name in names}

    def _of_weights(self, ranks: Mapping[str, int], arm: Arm) -> Mapping[str, Factors]:
        compute = {"pissa": self._pissa, "olora": self._olora, "loftq": self._loftq}[arm.init]
        return {
            name: self._remembered((arm.init, name), rank, partial(compute, name, rank)) for name, rank in ranks.items()
        }

    def _remembered(self, key: tuple[str, ...], rank: int, compute: Callable[[], Factors]) -> Factors:
        known = self._known.get(key)
        if known is None or known[0] < rank:
            down, up = compute()
            known = self._known[key] = rank, (down.cpu().contiguous(), up.cpu().contiguous())
        down, up = known[1]
        return down[:rank], up[:, :rank]

    def _pissa(self, name: str, rank: int) -> Factors:
        return leading(plain_weight(self._module(name)), rank)

    def _olora(self, name: str, rank: int) -> Factors:
        orthonormal, upper = torch.linalg.qr(plain_weight(self._module(name)))
        return upper[:rank], orthonormal[:, :rank]

    def _loftq(self, name: str, rank: int) -> Factors:
        if self._stored is None:
            self._stored = StoredWeights(self._base.folder, getattr(self._base.model, "base_model_prefix", ""))
        quantized = plain_weight(self._module(name))
        whole = self._stored.read(name, (quantized.shape[0], quantized.shape[1]))
        return leading(whole.to(quantized) - quantized, rank)

    def _eva(self, ranks: Mapping[str, int], train: Sequence[Encoded]) -> Mapping[str, Factors]:
        """The eigenvectors of E[x x^T] with the largest eigenvalues as rows of A; the mean of x is not subtracted, as A does not see it."""
        examples = calibration_examples(train)
        digest = hashlib.sha256(repr([(item.prompt, item.completion) for item in examples]).encode()).hexdigest()
        missing = [name for name, rank in ranks.items() if self._known.get(("eva", name, digest), (0,))[0] < rank]
        for some in self._groups(missing):
            whole: dict[int, torch.Tensor] = {}  # one identity for all modules of a width
            downs = {name: whole.setdefault(width := self._shape(name)[0], torch.eye(width)) for name in some}
            (grams,) = input_grams(self._base, [downs], examples)
            for name in some:
                rank, (width, outputs) = ranks[name], self._shape(name)
                directions = main_directions(grams[name], rank) if name in grams else torch.zeros(0, width)
                self._known["eva", name, digest] = rank, (directions, torch.zeros(outputs, len(directions)))
        return {name: self._remembered(("eva", name, digest), rank, _unknown) for name, rank in ranks.items()}

    def _groups(self, names: Sequence[str]) -> Iterator[list[str]]:
        group: list[str] = []
        taken = 0
        for name in names:
            needed = 8 * self._shape(name)[0] ** 2
            if group and taken + needed > _GRAM_BYTES:
                yield group
                group, taken = [], 0
            group.append(name)
            taken += needed
        if group:
            yield group

    def _filled(self, name: str, rank: int, seed: int, factors: Factors, root: float) -> Start:
        inputs, outputs = self._shape(name)
        down, up = initial_a(seed, name, (rank, inputs)), torch.zeros(outputs, rank)
        rows, columns = factors
        down[: len(rows)], up[:, : columns.shape[1]] = rows / root, columns / root
        return Start(down, up)

    def _shape(self, name: str) -> tuple[int, int]:
        """(in_features, out_features)"""
        module = self._module(name)
        if hasattr(module, "in_features"):
            return int(module.in_features), int(module.out_features)
        return int(module.weight.shape[0]), int(module.weight.shape[1])  # transformers' Conv1D

    def _module(self, name: str) -> Any:
        return self._base.model.get_submodule(name)


def leading(matrix: torch.Tensor, rank: int) -> Factors:
    """sqrt(S) V^T and U sqrt(S) of the largest singular values, at most `rank` of them.

    Args:
        matrix: shape (out_features, in_features).
    """
    if min(matrix.shape) <= EXACT:
        u, singular, v = torch.linalg.svd(matrix, full_matrices=False)
    else:
        draw = torch.randn(matrix.shape[1], rank + _MORE, generator=torch.Generator().manual_seed(0))
        right = torch.linalg.qr(draw.to(matrix)).Q
        for _ in range(_ITERATIONS):
            left = torch.linalg.qr(matrix @ right).Q
            right = torch.linalg.qr(matrix.t() @ left).Q
        u, singular, inner = torch.linalg.svd(matrix @ right, full_matrices=False)
        v = inner @ right.t()
    root = singular[:rank].sqrt()
    return root[:, None] * v[:rank], u[:, :rank] * root


def main_directions(gram: torch.Tensor, rank: int) -> torch.Tensor:
    """The eigenvectors of the largest eigenvalues as rows, at most `rank`, and none of those that are zero up to rounding."""
    values, vectors = torch.linalg.eigh(gram.double())
    kept = values.flip(0)[:rank] > _LEAST_ENERGY * values[-1].clamp(min=0)
    return vectors.flip(1)[:, :rank].t()[kept].float()


def _gaussian(stream: torch.Generator, rank: int, inputs: int, outputs: int) -> Start:
    return Start(torch.randn(rank, inputs, generator=stream) / rank, torch.zeros(outputs, rank))


def _orthogonal(stream: torch.Generator, rank: int, inputs: int, outputs: int) -> Start:
    """As PEFT's `orthogonal_init`: A has only every other row of an orthogonal matrix in it, and B only those between."""
    basis = torch.linalg.qr(torch.randn(rank, rank, generator=stream)).Q
    down = (torch.randn(inputs, rank // 2, generator=stream) @ basis[0::2]).t() / 10
    up = torch.randn(outputs, rank // 2, generator=stream) @ basis[1::2] / 10
    return Start(down, up)


def _unknown() -> Factors:
    raise AssertionError("computed before")
