"""The explore stage: arms are asked for and trained until there are as many as planned."""

from __future__ import annotations

from statistics import median

from sweep.errors import NoProgress
from sweep.records import Split, Stage, TrialRecord
from sweep.search.explorer import AskedTrial, Explorer
from sweep.study.invocation import Invocation


def explore(call: Invocation, explorer: Explorer) -> bool:
    """Scores the base and runs trials until none is left; answers whether the budget allowed it.

    Nothing here is scored on anything but tune.

    Raises:
        NoTrialSucceeded: too many trials in a row failed, or the base could not be scored.
        NoProgress: the base or a trial ended in a way that does not count, so it would be asked for again and again.
        Interrupted: a person or the system asked to stop; all that is finished is kept.
    """
    session = call.session
    if explorer.record().base is None:
        call.score_base(Split.TUNE, explorer.remember_base)
        if explorer.record().base is None:
            raise _stands_still(call, "the unadapted base's score on tune")
    already = explorer.count()
    call.display.planned(already + explorer.remaining(), already)
    begun = 0
    while True:
        while session.pool.has_free_slot() and explorer.remaining() > 0:
            session.stop.check()  # here, since a trial that is asked for and not begun looks like a killed sweep's
            if already + begun > explorer.count() + session.running:
                raise _stands_still(call, f"{explorer.remaining()} trials")
            expected = _expected(call, explorer)
            if not call.affordable(expected):
                session.finish_all()
                call.display.note(
                    f"{call.budget_spent(expected)}; {explorer.remaining()} trials are left for another call"
                )
                return False
            _begin(call, explorer, explorer.ask())
            begun += 1
        if not session.running:
            return True
        session.step()


def _begin(call: Invocation, explorer: Explorer, asked: AskedTrial) -> None:
    def done(record: TrialRecord) -> None:
        explorer.tell(asked, record.result, record.run_id)
        call.count(record)

    call.session.begin(
        explorer.count() + call.session.running + 1,
        call.spec(Stage.EXPLORE, asked.arm, call.plan.seed, report_every=explorer.report_every),
        lambda step, loss: explorer.report(asked, step, loss),
        done,
    )


def _stands_still(call: Invocation, awaited: str) -> NoProgress:
    return NoProgress(
        f"the explore stage stands still: it waits for {awaited}, and what was begun ended without a result; what is "
        f"finished is kept, and what the workers printed is in {call.paths.log(call.plan.name)}"
    )


def _expected(call: Invocation, explorer: Explorer) -> float:
    """Seconds that one more trial will take, going by the median so far; 0 where there is no limit to hold it against."""
    if call.plan.wall_clock is None:
        return 0.0
    took = [trial.result.seconds for trial in explorer.ended() if trial.is_complete]
    return median(took) if took else 0.0
