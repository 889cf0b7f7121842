"""Fresh data: scores the champion, trains a challenger of its recipe if need be, and tests it.

Trials have the identities of any others, so a run that was killed finds in the store what it had finished. The champion's condition is
found on tune; certify is looked at for the test alone (`sweep.verdict.promotion.budget`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sweep.errors import ConfigurationError, EnvironmentLacks, NoTrialSucceeded
from sweep.records import (
    Arm,
    Split,
    Stage,
    Status,
    StudyPlan,
    TrialRecord,
    TrialSpec,
    arm_from_json,
    to_json,
    trained_adapter_from_json,
)
from sweep.records.champion import ChampionEntry, ChampionEvent
from sweep.store.champions import Champions, challenger_folder, copy_adapter, same_weights
from sweep.store.drift import DriftLog, DriftPoint
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.display import Display
from sweep.study.paired_losses import Outcomes, mean_loss, paired
from sweep.study.recording import sweep_run
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from sweep.study.study_run import StudyRun
from sweep.study.worker_pool import worker_pool
from sweep.tracking import Summary, check_address, open_tracker
from sweep.verdict.promotion import (
    Answer,
    Condition,
    GainLosses,
    PromotionTest,
    check_condition,
    judge_challenger,
    level_of,
)
from tasks import Example, Splits
from tasks.versions import DataVersion, change_between, old_and_new

_WIDEST_MARGIN = 0.5  # of the gain: a wider one would call any champion good


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a run of `refresh` did.

    Attributes:
        point: the champion on the present data; None if they have not changed.
        entry: the entry that a challenger led to; None if none was trained.
    """

    point: DriftPoint | None
    entry: ChampionEntry | None


def is_up_to_date(history: Champions, drift: DriftLog, after: DataVersion) -> bool:
    """Whether nothing is left to do for these data: they are those of the champion, or what they lead to is recorded."""
    entries = history.entries()
    version = entries[-1].version
    if not change_between(history.rows(version), after).is_change:
        return True
    point = drift.find(version, after.data_hash)
    if point is not None and point.condition == Condition.GOOD:
        return True
    return _answered(entries, after.data_hash)


def _answered(entries: Sequence[ChampionEntry], data_hash: str) -> bool:
    """Whether these data have led to an entry already. Nobody's rollback is undone before the data change again."""
    return any(each.data_hash == data_hash and each.event is not ChampionEvent.ROLLBACK for each in entries)


def refresh(plan: StudyPlan, splits: Splits, paths: Paths, display: Display, stop: StopRequest) -> Refreshed:
    """Brings the champion up to date with the data, continuing where an earlier run ended.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: the base cannot be loaded, or is not the champion's; its adapter is damaged.
        NoTrialSucceeded: a trial did not end complete.
        Interrupted: the run was asked to stop; all finished trials are kept.
    """
    check_address(plan.tracking_uri, paths)
    history, drift = Champions(paths, plan.name), DriftLog(paths.drift(plan.name))
    after = DataVersion.of(splits)
    if is_up_to_date(history, drift, after):
        return Refreshed(None, None)
    scoring = replace(plan.setup.scoring, examples=len(splits.tune), certify_examples=len(splits.certify))
    plan = replace(plan, setup=replace(plan.setup, scoring=scoring))
    with worker_pool(plan, paths, splits.data_hash) as pool:
        display.waiting(f"loading {plan.setup.model.name} ({plan.setup.quant.name})")
        pool.start()
        tracker = open_tracker(plan.tracking_uri, paths, plan.name, display.note)
        parent = tracker.open_sweep(sweep_run(plan, "refresh", {}, alone=False))
        status = Status.FAILED
        try:
            loaded = pool.load(stop.check)
            with Session(pool, tracker, parent, TrialStore(paths, display.note), display, stop) as session:
                night = _Night(StudyRun(plan, paths, display, session, loaded), splits, after, history, drift)
                done = night.refreshed()
            status = Status.COMPLETE
        finally:
            tracker.close_sweep(parent, status, Summary(), ())
    return done


class _Night:
    """One night's work on changed data."""

    def __init__(self, run: StudyRun, splits: Splits, after: DataVersion, history: Champions, drift: DriftLog) -> None:
        self._run = run
        self._splits = splits
        self._after = after
        self._history = history
        self._drift = drift
        entries = history.entries()
        self._last = entries[-1]
        self._champion = entries[self._last.version - 1]
        self._before = history.rows(self._last.version)
        self._weights = history.adapter(self._last.version)
        if not self._champion.training:
            raise EnvironmentLacks(
                f"version {self._last.version} of the champion has no record of its training, so it cannot be scored; run the study "
                f"again and take its verdict into use: `python -m sweep.champion study={run.plan.name} adopt=true`"
            )
        self._trained = trained_adapter_from_json(dict(self._champion.training))
        if self._trained.provenance.base_hash != run.loaded.base_hash:
            raise ConfigurationError(
                f"model={run.plan.setup.model.name}: the weights differ from those that the champion was trained on; use the base that it "
                "was trained on, or run the study again under another name"
            )

    def refreshed(self) -> Refreshed:
        """Scores the champion, then trains and tests a challenger unless the champion is good."""
        self._restore_champion()
        point = self._score()
        self._drift.add(point)
        self._run.display.note(f"the champion is {point.condition} on the changed data ({point.change})")
        if point.condition == Condition.GOOD:
            return Refreshed(point, None)
        return Refreshed(point, self._challenge())

    def _score(self) -> DriftPoint:
        base = self._run.spec(Stage.BASE, None, self._run.plan.seed, split=Split.TUNE, answers=False)
        champion = self._of_champion(Stage.SINGLE, Split.TUNE)
        losses = self._outcomes([base, champion])
        by_base, by_champion = losses[base.identity], losses[champion.identity]
        old, new = self._old_and_new("tune")
        gains = GainLosses(paired(by_champion, by_base, old), paired(by_champion, by_base, new))
        gained = -gains.before.mean
        margin = min(self._champion.margin / gained, _WIDEST_MARGIN) if gained > 0 else _WIDEST_MARGIN
        check = check_condition(gains, margin, self._champion.alpha)
        return DriftPoint(
            created=_now(),
            version=self._last.version,
            data_hash=self._after.data_hash,
            change=change_between(self._before, self._after).words(),
            condition=str(check.condition),
            retained=check.retained,
            old=mean_loss(by_champion, old),
            new=mean_loss(by_champion, new),
            base_old=mean_loss(by_base, old),
            base_new=mean_loss(by_base, new),
            units=check.units,
        )

    def _challenge(self) -> ChampionEntry:
        run, last = self._run, self._last
        arm, seed = self._arm, self._trained.seed
        challenger = run.spec(Stage.CERTIFY, arm, seed, split=Split.CERTIFY, answers=False)
        champion = self._of_champion(Stage.CERTIFY, Split.CERTIFY)
        records = self._run_all([challenger, champion])
        losses = {identity: run.session.store.outcomes_by_key(identity) for identity in records}
        old, new = (
            paired(losses[challenger.identity], losses[champion.identity], part)
            for part in self._old_and_new("certify")
        )
        level = level_of(last.alpha, last.tests + 1, last.promotions)
        test = judge_challenger(old, new, last.margin, level)
        event = {
            Answer.PROMOTE: ChampionEvent.PROMOTION,
            Answer.KEEP: ChampionEvent.KEPT,
            Answer.TOO_FEW: ChampionEvent.UNTESTED,
        }[test.answer]
        trained = run.session.store.adapters.find(challenger.adapter_id)
        if trained is None:
            raise EnvironmentLacks("the challenger's adapter was deleted meanwhile; run the same command again")
        entry = replace(
            last,
            number=last.number + 1,
            event=event,
            created=_now(),
            tests=last.tests + (event is not ChampionEvent.UNTESTED),
            promotions=last.promotions + (event is ChampionEvent.PROMOTION),
            reason=test.reason,
            data_hash=self._after.data_hash,
            trial=challenger.identity,
            rank=challenger.rank,
            recipe=to_json(arm),
            training=to_json(trained),
            verdict={},
            test=_test_json(test),
        )
        if event is not ChampionEvent.PROMOTION:
            return self._history.append(entry)
        source = run.session.store.adapter_folder(challenger)
        with challenger_folder(self._weights, source, entry, run.paths.champions(run.plan.name)) as folder:
            return self._history.append(entry, adapter=folder, rows=self._after)

    @property
    def _arm(self) -> Arm:
        return arm_from_json(dict(self._champion.recipe))

    def _of_champion(self, stage: Stage, split: Split) -> TrialSpec:
        """The champion's adapter, which was trained on other data, on these."""
        spec = self._run.spec(
            stage, self._arm, self._trained.seed, split=split, answers=False, adapter_of=self._champion.trial
        )
        return replace(spec, adapter=self._trained.identity)

    def _restore_champion(self) -> None:
        """Puts the champion's adapter back into the store if it is gone: it would be trained again there, on the present data."""
        store = self._run.session.store.adapters
        if store.find(self._trained.identity) is None:
            with store.writing(self._trained.identity) as scratch:
                copy_adapter(self._weights, scratch / "adapter")
                store.commit(scratch, self._trained)

    def _outcomes(self, specs: Sequence[TrialSpec]) -> dict[str, Outcomes]:
        self._run_all(specs)
        return {spec.identity: self._run.session.store.outcomes_by_key(spec.identity) for spec in specs}

    def _run_all(self, specs: Sequence[TrialSpec]) -> dict[str, TrialRecord]:
        """Runs trials, or takes them from the store.

        Raises:
            NoTrialSucceeded: one did not end complete.
            EnvironmentLacks: the champion's weights in the store are not its own.
        """
        self._run.display.planned(len(specs), 0)
        records = {}
        for record in self._run.session.run(specs):
            if not record.is_complete:
                raise NoTrialSucceeded(
                    f"{record.name}: {record.status.value}: {record.reason}; the output of the worker is in {self._run.log}"
                )
            records[record.identity] = record
        store = self._run.session.store.adapters
        if not same_weights(store.folder(self._trained.identity), self._weights):
            store.reject(self._trained.identity, "it is not the champion's")
            raise EnvironmentLacks(
                "the champion's adapter could not be read and was trained again on other data, which was set aside; run the same "
                "command again"
            )
        return records

    def _old_and_new(self, part: str) -> tuple[list[Example], list[Example]]:
        divided = old_and_new(self._before, self._after, part)
        examples: Sequence[Example] = getattr(self._splits, part)
        return [examples[place] for place in divided.old], [examples[place] for place in divided.new]


def _test_json(test: PromotionTest) -> dict[str, object]:
    """The test without infinities."""
    plain = dataclasses.asdict(test) | {"answer": test.answer.value}
    for side in ("old", "new"):
        plain[side] = {name: value if math.isfinite(value) else None for name, value in plain[side].items()}
    return plain


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
