"""Findings about LoRA's limits, each with the experiment that follows (docs/limits.md)."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.methods import FULL, LORA_FAMILY
from sweep.records import Certification, Rung, StudyRecord
from sweep.verdict import experiments, limit_words
from sweep.verdict.conclusion import Finding
from sweep.verdict.ladder import LadderData
from sweep.verdict.limits import far_from_full, rank_ceiling
from sweep.verdict.memorized import memorized, small_gain
from sweep.verdict.record import MarginOf, State, Verdict


def limit_findings(
    record: StudyRecord,
    certification: Certification,
    data: LadderData,
    verdict: Verdict | None,
    *,
    gains: bool,
    improving: bool,
) -> Iterator[Finding]:
    """That LoRA falls short of what could be learned, that the data are memorized, or that full fine-tuning should tell which.

    Args:
        gains: whether the best rank is shown to be better than the base; if not, there is nothing to fall short of.
        improving: whether the largest rank of a ladder of ranks is found to be better than the next by more than the margin.
    """
    short = _falls_short(record, certification, data, verdict) if verdict is not None and gains else None
    if short is not None:
        yield short
    level = verdict.level if verdict is not None else certification.declared.alpha
    found = memorized(record, certification, data, level)
    if found is not None and not _helped_by_rank(verdict, found.rank):
        text = limit_words.memorized(found, certification.declared.alpha)
        yield Finding("data_too_small", text, experiments.one_pass(record, certification, found.examples))
    elif gains and verdict is not None:
        rising = improving or short is not None
        gain = None if rising else small_gain(data, level)
        tried = any(arm.arm.method == FULL for arm in certification.declared.arms)
        with_full = None if tried else experiments.with_full(record, certification)
        if with_full is not None and (gain is not None or rising):
            yield Finding("full_not_tried", limit_words.full_not_tried(gain), with_full)


def _falls_short(
    record: StudyRecord, certification: Certification, data: LadderData, verdict: Verdict
) -> Finding | None:
    """The rank is used up, or no rank is near to full fine-tuning; of ladders of arms."""
    declared = certification.declared
    margin = declared.margin if declared.margin_of == MarginOf.METRIC else verdict.margin_in_loss
    ceiling = rank_ceiling(data, declared, verdict.level)
    if ceiling is not None:
        text = limit_words.rank_ceiling(ceiling, margin, declared.alpha)
        return Finding("still_improving", text, experiments.wider(record, certification, ceiling.top))
    far = far_from_full(data, declared, verdict.level)
    if far is None:
        return None
    arms = sum(isinstance(rank, Rung) and rank.of.arm.method in LORA_FAMILY for rank in data.ranks)
    text = limit_words.far_from_full(far, margin, declared.alpha, arms)
    return Finding("far_from_full", text, experiments.wider(record, certification, far.best))


def _helped_by_rank(verdict: Verdict | None, rank: int) -> bool:
    """Whether a larger rank is shown to be better on certify, so that it is not the data that is missing."""
    return verdict is not None and any(one.rank == rank and one.state is State.INFERIOR for one in verdict.ladder)
