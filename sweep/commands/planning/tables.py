"""An outlook in tables of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from sweep.commands.planning.decision import Decision
from sweep.commands.planning.outlook import Outlook
from sweep.commands.planning.timetable import StageTime
from sweep.config.units import show_bytes, show_seconds
from sweep.records import Declaration, StudyPlan
from sweep.reports.tables import plain_table

_LAST = "all"


def stages_table(stages: Mapping[str, str], times: Sequence[StageTime]) -> Table:
    """Trials and time by stage.

    Args:
        stages: the trials of each stage in words, by its name.
        times: empty if unknown.
    """
    table = plain_table("Trials")
    table.add_column("stage")
    table.add_column("trials", overflow="fold")
    by_name = {each.name: each for each in times}
    if times:
        for name in ("at least", "about", "at most"):
            table.add_column(name, justify="right", no_wrap=True)
    words = {"start": "loading the base", **stages, "end": "the report"}
    for name in dict.fromkeys([*_ordered(words, by_name)]):
        known = by_name.get(name)
        cells = [show_rough(part) for part in (known.low, known.middle, known.high)] if known else ["", "", ""]
        table.add_row(name, words.get(name, ""), *(cells if times else []))
    if times:
        sums = (sum(e.low for e in times), sum(e.middle for e in times), sum(e.high for e in times))
        table.add_section()
        table.add_row(_LAST, "", *(show_rough(each) for each in sums), style="bold")
    return table


def _ordered(words: Mapping[str, str], times: Mapping[str, StageTime]) -> Iterator[str]:
    """The stages that have trials left, in the order in which they run."""
    for name in words:
        if name in times or name not in ("start", "base", "end"):  # these have no trials of their own
            yield name


def show_rough(seconds: float) -> str:
    """Seconds as exactly as a prediction deserves: whole seconds, tenths of minutes, minutes."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 600:
        return f"{seconds / 60:.1f} min"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return show_seconds(60 * round(seconds / 60))


def parameters_table(view: Outlook) -> Table | None:
    """Trainable parameters by rank and target set, or of each arm; None if they are unknown."""
    if view.targets:
        table = plain_table("Trainable parameters")
        table.add_column("targets", overflow="fold")
        for rank, _ in view.targets[0].by_rank:
            table.add_column(f"rank {rank}", justify="right", no_wrap=True)
        for each in view.targets:
            table.add_row(each.name, *(show_count(parameters) for _, parameters in each.by_rank))
        return table
    if not view.arms or view.facts is None:
        return None
    table = plain_table("Trainable parameters, the fewest first")
    table.add_column("arm", overflow="fold")
    peaks = view.memory.of_arms if view.memory is not None else ()
    by_arm = len(peaks) == len(view.arms) > 1
    for name in ("parameters", "of the base's", "adapter", *(["memory of\nits worker"] if by_arm else [])):
        table.add_column(name, justify="right")
    memory = [[show_bytes(peak)] for peak in peaks] if by_arm else [[] for _ in view.arms]
    for (name, size), peak in sorted(zip(view.arms, memory, strict=True), key=lambda each: each[0][1].parameters):
        if size.problem is not None:
            table.add_row(name, size.problem)
            continue
        share = f"{float(f'{100 * size.parameters / view.facts.parameters:.2g}'):g} %"
        table.add_row(name, f"{size.parameters:,}", share, show_bytes(size.bytes), *peak)
    return table


def show_count(number: int) -> str:
    """`921,600`, or `4.88 M` from ten millions on."""
    return f"{number:,}" if number < 10_000_000 else f"{number / 1e6:.1f} M"


def needs_table(plan: StudyPlan, view: Outlook) -> Table:
    """Memory and disk: what is needed, and what is free."""
    table = plain_table("Memory and disk")
    table.add_column("")
    table.add_column("needs", overflow="fold")
    table.add_column("free", justify="right", no_wrap=True)
    place = "memory" if plan.setup.device == "cpu" else "GPU memory"
    if view.memory is None:
        table.add_row(place, "known once the base is on this machine", show_bytes(view.machine.memory))
    else:
        each, sharing = view.memory.bytes, plan.setup.workers_on_device
        known = (
            "measured here"
            if view.memory.measured
            else "estimated from the base's configuration, for the longest batch"
        )
        copies = f", dequantized copies of {show_bytes(view.memory.copies)} included" if view.memory.copies else ""
        fits = max(0, int(view.machine.memory // max(1, each)))
        workers = "1 worker" if sharing == 1 else f"{sharing} workers of {show_bytes(each)}"
        beside = "" if fits == sharing else "; none would fit" if not fits else f"; {fits} would fit"
        table.add_row(
            place,
            f"{show_bytes(sharing * each)}: {workers} ({known}{copies}){beside}",
            show_bytes(view.machine.memory),
        )
    disk = (
        "known once the base is on this machine"
        if view.disk is None
        else f"{show_bytes(view.disk)} at most, under mlruns/"
    )
    table.add_row("disk", disk, show_bytes(view.machine.disk))
    return table


def limits_table(view: Outlook) -> Table | None:
    """What this machine cannot do, and what to change; None if it can do all."""
    if not view.limits:
        return None
    table = plain_table("What this machine cannot do")
    table.add_column("limit", overflow="fold")
    table.add_column("change", overflow="fold")
    for problem, change in view.limits:
        table.add_row(problem, change)
    return table


def decision_table(decision: Decision) -> Table:
    """Chances of an answer, in simulated studies."""
    looks = f"{'looks at ' if len(decision.looks) > 1 else ''}{_and(decision.looks)} seeds"
    table = plain_table(f"What {looks} decide, in simulated studies")
    at = "a cut that loses, in margins" if decision.cut else "margin, in standard deviations between seeds"
    table.add_column(at)
    for row in decision.rows:
        table.add_column(f"{row.at:g}", justify="right", no_wrap=True)
    certified = "is certified" if decision.cut else "the smallest of equal ranks is certified"
    table.add_row(certified, *(_percent(row.certified) for row in decision.rows))
    if decision.cut:
        table.add_row("is shown to be too small", *(_percent(row.inferior) for row in decision.rows))
    return table


def decision_lines(plan: StudyPlan, decision: Decision) -> Iterator[str]:
    """What follows from the chances for this study."""
    if decision.simulated != decision.looks:
        yield f"Simulated with {_and(decision.simulated)} seeds; more seeds decide at least as often."
    margin, noise, enough = _margin_words(plan.declaration), decision.noise, decision.enough()
    if noise is not None:
        yield (
            f"The margin is about {noise.margin:.3f} nats here, {noise.margin_in_sd:.1f} standard deviations between seeds "
            f"({noise.seed_sd:.3f} nats, seen on {noise.arms} arm{'' if noise.arms == 1 else 's'} with several seeds)."
        )
    if decision.cut:
        most = f"at most {enough:g} of the margin" if enough is not None else "nothing"
        yield f"In 8 of 10 studies a cut is certified if it loses {most} ({margin})."
        return
    chance = decision.chance()
    if chance is None or noise is None:
        needs = f"needs a margin of {enough:g} standard deviations between seeds" if enough else "is out of reach"
        yield f"An answer in 8 of 10 studies {needs} ({margin}). How noisy seeds are is known after the first look."
        return
    yield f"The smallest of equal ranks is certified with a chance of {_percent(chance)}."
    if chance < _LIKELY_UNDECIDED:
        wider = f"certify.margin={_rounded(plan.declaration.margin * enough / noise.margin_in_sd)}" if enough else ""
        more = f"certify.seeds={2 * plan.declaration.seeds}"
        yield f"Likely undecided. What helps, before the first trial: {' or '.join(filter(None, (wider, more)))}."


_LIKELY_UNDECIDED = 0.5


def _margin_words(declared: Declaration) -> str:
    if declared.margin_of == "metric":
        return f"margin: {declared.margin:g} of the metric"
    return f"margin: {100 * declared.margin:g} % of the {declared.margin_of}"


def _and(numbers: Sequence[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} and {last}" if others else last


def _rounded(margin: float) -> float:
    return float(f"{margin:.1g}") if margin >= 0.1 else float(f"{margin:.2f}")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
