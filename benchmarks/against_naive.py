"""The whole process against a plain sweep script, start to finish, trial by trial on the same arms, batches and examples.

    python -m benchmarks.against_naive --peer SCRIPT --data DIR --out FILE.json
        [--trials 16] [--steps 60] [--batch 4] [--eval 128] [--layouts 2x1 1x2] [--slots 2 4] [--device auto|cpu|cuda]

DIR holds train.jsonl, validation.jsonl and test.jsonl (`task=jsonl`); what SCRIPT must be is in benchmarks/peer.py. It runs
first and chooses the arms; Goldilocks then tries the same ones (`search.arms`), without answers by generation and
without general prose, which the peer has not. Before anything is timed, the tokens of every step and of every scored example are
compared (benchmarks/same_work.py). Initial weights and dropout are drawn differently, so losses differ as
those of two seeds do.

Each of --layouts is WORKERSxTHREADS, each of --slots trials side by side in a worker. The first of both is what the ratio is
taken with; the others are run after it and only listed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, TrainingArguments

from benchmarks import account
from benchmarks.arithmetic import shapes_of
from benchmarks.machine import Ran, chosen_device, environment, hydra_word, machine, timed
from benchmarks.peer import PeerTrial, encoding_of, run_peer, said, trained_order, training_arguments, trials_of
from benchmarks.roof import roof
from benchmarks.same_work import TUNE_FRACTION, SameWork, check_same, lay_out_data, without_template
from sweep.commands.app import composed_plan
from sweep.config.cores import available_cores
from sweep.records import StudyPlan, StudyRecord
from sweep.search.reading import studies_of
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths
from sweep.training.machine import quiet_libraries
from sweep.training.packed.memory.capacity import DEFAULT_SLOTS
from sweep.training.sources import find_model

STUDY = "against-naive"
NO_ANSWERS = ("evaluate.answers=none",)
"""The peer scores losses only, so Goldilocks generates no answers."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a run uses the machine."""

    workers: int
    threads: int
    slots: int

    def words(self) -> list[str]:
        """Its keys."""
        return [f"executor.workers={self.workers}", f"executor.threads={self.threads}", f"engine.slots={self.slots}"]


@dataclass(frozen=True, slots=True)
class Timed:
    """A run of Goldilocks and what it left."""

    layout: Layout
    ran: Ran
    record: StudyRecord


def keys(
    model: str,
    folder: Path,
    work: SameWork,
    trials: Sequence[PeerTrial],
    ranks: Sequence[int],
    longest: int,
    recipe: TrainingArguments,
) -> list[str]:
    """The words of `python -m sweep` that describe the peer's trials."""
    arms = [trial.arm for trial in trials]
    rates = [arm["learning_rate"] for arm in arms]

    def tried(name: str) -> str:
        return ",".join(dict.fromkeys(map(hydra_word, (arm[name] for arm in arms))))

    return [
        f"study.name={STUDY}",
        f"model={model}",
        f"model.path={hydra_word(str(folder))}",
        "task=jsonl",
        f"task.path={hydra_word(str(work.ours))}",
        f"task.tune_fraction={TUNE_FRACTION}",
        f"task.max_length={longest}",
        "quant=nf4",
        "certify=none",
        f"search.trials={len(arms)}",
        "search.arms=[" + ",".join(_arm(arm) for arm in arms) + "]",
        f"search.space.rank=[{','.join(map(str, ranks))}]",
        *(f"search.space.{name}=[{tried(name)}]" for name in ("alpha_ratio", "dropout", "targets")),
        f"search.space.learning_rate.low={min(rates)!r}",
        f"search.space.learning_rate.high={max(rates)!r}",
        f"train.steps={recipe.max_steps}",
        f"train.batch_size={recipe.per_device_train_batch_size}",
        f"train.schedule={recipe.lr_scheduler_type.value}",
        "train.warmup_fraction=0",
        f"train.weight_decay={recipe.weight_decay}",
        f"train.max_grad_norm={recipe.max_grad_norm}",
        f"evaluate.examples={work.scored}",
        "evaluate.general_paragraphs=0",
    ]


def _arm(arm: Mapping[str, Any]) -> str:
    return "{" + ",".join(f"{name}:{hydra_word(value)}" for name, value in arm.items()) + "}"


def run_ours(words: Sequence[str], layout: Layout, folder: Path, environment: Mapping[str, str]) -> Timed:
    """`python -m sweep`, start to finish, in a folder where nothing was run before.

    Raises:
        SystemExit: not every trial is complete.
    """
    folder.mkdir(parents=True)
    ran = timed(["-m", "sweep", *words, *layout.words()], folder, environment)
    with existing_storage(None, Paths.here(folder / "mlruns")) as storage:
        record = studies_of(storage, STUDY)[0]
    if len(record.complete()) != record.planned:
        raise SystemExit(f"{len(record.complete())} of {record.planned} trials are complete:\n{ran.output[-3000:]}")
    return Timed(layout, ran, record)


def losses(record: StudyRecord, trials: Sequence[PeerTrial], plan: StudyPlan) -> list[dict[str, Any]]:
    """Each arm with the loss that either program ended with.

    Raises:
        SystemExit: the two did not try the same arms.
    """
    ours = {trial.spec.arm: trial.loss for trial in record.complete()}
    if set(ours) != set(plan.search.arms):
        raise SystemExit("Goldilocks has tried other arms than the peer")
    return [
        {**trial.arm, "peer": trial.loss, "ours": ours[arm]}
        for trial, arm in zip(trials, plan.search.arms, strict=True)
    ]


def measured_roofs(folder: Path, data: account.Data, layout: Layout, device: str) -> dict[str, float]:
    """The roof of training and of scoring at the sizes of this run's passes, in 1e9 operations a second."""
    shapes, steps, scoring = shapes_of(folder), data.steps(), data.scoring()
    side_by_side = {"train": (steps, layout.slots), "score": (scoring, 1)}
    return {
        part: roof(
            shapes,
            slots * round(work.tokens / work.passes),
            slots * round(work.predictions / work.passes),
            backward=part == "train",
            processes=layout.workers,
            threads=layout.threads,
            device=device,
        )
        for part, (work, slots) in side_by_side.items()
    }


def measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Runs both programs and computes the figures."""
    device = chosen_device(arguments.device)
    outside = environment(device, scratch)
    model = find_model(composed_plan([f"model={arguments.model}"]).setup.model, Paths.here()).folder
    tokenizer, encode = AutoTokenizer.from_pretrained(model), encoding_of(arguments.peer)
    recipe = training_arguments(scratch / "order", arguments.steps, arguments.batch)
    work = lay_out_data(
        arguments.data,
        scratch / "data",
        # one more than allowed, so that what the peer would cut is seen as too long
        lambda row: len(encode(row, tokenizer, arguments.max_length + 1)["input_ids"]),
        arguments.max_length,
        arguments.eval,
        lambda rows: trained_order(rows, recipe),
    )
    said_to_peer = {"model": model, "data": work.theirs, "ranks": arguments.ranks, "max-length": arguments.max_length}
    said_to_peer |= {
        "trials": arguments.trials,
        "steps": arguments.steps,
        "batch": arguments.batch,
        "eval": work.scored,
    }
    plain = without_template(model, scratch / "model")

    def words_for(trials: Sequence[PeerTrial]) -> list[str]:
        return keys(arguments.model, plain, work, trials, arguments.ranks, arguments.max_length, recipe)

    # any arm will do to see that the work is the same, and the peer's are not known yet
    some = PeerTrial(
        {"r": arguments.ranks[0], "alpha_ratio": 1, "dropout": 0.0, "targets": "q_proj", "learning_rate": 1.0}, 0.0
    )
    checked = check_same(composed_plan([*words_for([some]), *NO_ANSWERS]), work, encode, tokenizer)
    print(f"the same work: {checked}; left out as too long: {dict(work.left_out)}", flush=True)
    theirs = run_peer(arguments.peer, said_to_peer, scratch / "peer", outside)
    print(f"peer: {theirs.seconds:.1f} s", flush=True)
    trials = trials_of(scratch / "peer")
    words = words_for(trials)
    plan = composed_plan(words)
    runs: list[Timed] = []
    for layout in arguments.tried:
        run = run_ours([*words, *NO_ANSWERS], layout, scratch / f"ours-{len(runs)}", outside)
        print(
            f"ours, {layout}: {run.ran.seconds:.1f} s, {theirs.seconds / run.ran.seconds:.2f} times as fast", flush=True
        )
        runs.append(run)
    first, data = runs[0], account.data_of(plan)
    seconds = account.parts(first.record, first.ran, first.layout.workers)
    shapes = shapes_of(model)
    steps = data.steps()
    return {
        "kind": "against_naive",
        "data": arguments.data.name,
        "model": arguments.model,
        "machine": machine(device),
        "asked": {
            name: getattr(arguments, name) for name in ("trials", "steps", "batch", "eval", "max_length", "ranks")
        },
        "the_same": checked,
        "left_out": dict(work.left_out),
        "peer": {"seconds": theirs.seconds, "said": said(theirs)},
        "ours": {
            "seconds": first.ran.seconds,
            **asdict(first.layout),
            "parts": seconds,
        },
        "ratio": theirs.seconds / first.ran.seconds,
        "layouts": [{**asdict(run.layout), "seconds": run.ran.seconds} for run in runs],
        "losses": losses(first.record, trials, plan),
        "tokens": {
            "ours_a_step": steps.tokens / steps.passes,
            "ours_predictions_a_step": steps.predictions / steps.passes,
            "peer_a_step": data.padded_steps().tokens / steps.passes,
        },
        "arithmetic": account.achieved(
            account.needed(shapes, plan.search.arms, data),
            seconds,
            measured_roofs(model, data, first.layout, device),
            first.ran.seconds,
        ),
    }


def workers_and_threads(text: str) -> tuple[int, int]:
    """`2x1` as two numbers.

    Raises:
        ValueError: it is something else.
    """
    workers, threads = text.split("x")
    return int(workers), int(threads)


def parsed() -> argparse.Namespace:
    """The command line; `tried` holds the layouts in the order in which they are run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("peer", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name, value in (("trials", 16), ("steps", 60), ("batch", 4), ("eval", 128), ("max-length", 512)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4, 8, 16, 32])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--layouts",
        nargs="+",
        type=workers_and_threads,
        metavar="2x1",
        help="WORKERSxTHREADS; default: a worker for each core, or one on a GPU",
    )
    parser.add_argument("--slots", type=int, nargs="+", help="default: what engine.slots is by default")
    arguments = parser.parse_args()
    for name in ("peer", "data", "out"):
        setattr(arguments, name, getattr(arguments, name).resolve())
    cores = available_cores()
    on_gpu = chosen_device(arguments.device) == "cuda"
    layouts = arguments.layouts or [(1, cores) if on_gpu else (cores, 1)]
    slots = arguments.slots or [DEFAULT_SLOTS["cuda" if on_gpu else "cpu"]]
    arguments.tried = [Layout(workers, threads, count) for workers, threads in layouts for count in slots]
    return arguments


def main() -> None:
    """Measures, and writes the figures."""
    quiet_libraries()
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="goldilocks-benchmark-") as scratch:
        result = measure(arguments, Path(scratch))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['ratio']:.2f} times as fast as the peer; the arithmetic alone would take {_least(result)}")


def _least(result: Mapping[str, Any]) -> str:
    arithmetic = result["arithmetic"]
    return f"{arithmetic['seconds_at_the_roof']:.1f} s, {arithmetic['share_of_whole']:.0%} of what it took"


if __name__ == "__main__":
    main()
