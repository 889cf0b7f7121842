"""A night on which the data have changed: the champion's condition, and the challenger that follows from it.

The condition and the challenger's recipe are found on tune. Certify is looked at for the test alone (`sweep.verdict.promotion.budget`).
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
    TrialSpec,
    arm_from_json,
    to_json,
    trained_adapter_from_json,
)
from sweep.records.champion import ChampionEntry, ChampionEvent
from sweep.store.champions import Champions, challenger_folder, copy_adapter, same_weights
from sweep.store.drift import DriftLog, DriftPoint
from sweep.store.outcomes import OutcomeCache
from sweep.study.challenger import chosen_recipe
from sweep.study.paired_losses import Outcomes, mean_loss, paired
from sweep.study.study_run import StudyRun
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


class ChampionNight:
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
                f"version {self._last.version} of the champion has no record of its training, so it cannot be scored; take the "
                f"study's verdict into use again: `python -m sweep.champion study={run.plan.name} adopt=true`"
            )
        self._known: dict[str, Outcomes] = {}  # by trial: asked for again, one is neither run nor recorded again
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
        if (
            run.spec(Stage.PROMOTION, self._arm, self._trained.seed, split=Split.CERTIFY).adapter
            == self._trained.identity
        ):
            return self._untested()
        arm = self._recipe()
        challenger = run.spec(Stage.PROMOTION, arm, self._trained.seed, split=Split.CERTIFY, answers=False)
        champion = self._of_champion(Stage.PROMOTION, Split.CERTIFY)
        losses = self._outcomes([challenger, champion])
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

    def _untested(self) -> ChampionEntry:
        entry = replace(
            self._last,
            number=self._last.number + 1,
            event=ChampionEvent.UNTESTED,
            created=_now(),
            reason="the training data have not changed, so the champion's recipe gives the champion again",
            data_hash=self._after.data_hash,
            trial=self._champion.trial,
            rank=self._champion.rank,
            recipe=self._champion.recipe,
            training=self._champion.training,
            verdict={},
            test={},
        )
        return self._history.append(entry)

    def _recipe(self) -> Arm:
        """The challenger's recipe, chosen on tune."""
        champion = self._of_champion(Stage.SINGLE, Split.TUNE)
        on_tune = self._outcomes([champion])[champion.identity]

        def outcomes_of(arms: Sequence[Arm]) -> list[Outcomes | None]:
            seed = self._trained.seed
            specs = [self._run.spec(Stage.RATES, arm, seed, split=Split.TUNE, answers=False) for arm in arms]
            done = self._outcomes(specs, all_needed=False)
            return [done.get(spec.identity) for spec in specs]

        return chosen_recipe(self._arm, outcomes_of, on_tune, *self._old_and_new("tune"), self._last.margin)

    @property
    def _other_version(self) -> str:
        """What to do about a champion that cannot be scored."""
        return f"; if that fails again, take another version into use: `{self._history.way_out_of(self._last.version)}`"

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
        """Puts the champion's adapter back into the store if it is gone: it would be trained again there, on the present data.

        A run that was killed may have left an adapter there that was.
        """
        store = self._run.session.store.adapters
        if store.find(self._trained.identity) is None or not self._has_own_weights():
            self._reject_stored()
            with store.writing(self._trained.identity) as scratch:
                copy_adapter(self._weights, scratch / "adapter")
                store.commit(scratch, self._trained)

    def _has_own_weights(self) -> bool:
        """Whether the store has the champion's weights under the identity of its adapter."""
        return same_weights(self._run.session.store.adapters.folder(self._trained.identity), self._weights)

    def _reject_stored(self) -> None:
        """Sets aside what the store has of the champion's adapter; its losses first, which must not outlive the wrong weights."""
        identity, store = self._trained.identity, self._run.session.store
        store.reject_scores(identity)
        OutcomeCache(self._run.paths).forget(identity)
        if store.adapters.folder(identity).is_dir():
            store.adapters.reject(identity, "it is not the champion's")

    def _outcomes(self, specs: Sequence[TrialSpec], *, all_needed: bool = True) -> dict[str, Outcomes]:
        """The outcomes of trials, by identity, run here or taken from the store.

        Args:
            all_needed: else those that did not end complete are left out.

        Raises:
            BudgetSpent: the budget allows no further one; those that had begun have ended.
            NoTrialSucceeded: one that is needed did not end complete.
            EnvironmentLacks: the champion's weights in the store are not its own.
        """
        missing = [spec for spec in specs if spec.identity not in self._known]
        self._run.display.planned(len(missing), 0)
        for record in self._run.run_trials(missing):
            if record.is_complete:
                self._known[record.identity] = self._run.session.store.outcomes_by_key(record.identity)
            elif all_needed:
                raise NoTrialSucceeded(
                    f"{record.name}: {record.status.value}: {record.reason}; the output of the worker is in {self._run.log}"
                    + (self._other_version if record.spec.adapter_of is not None else "")
                )
        if not self._has_own_weights():
            self._reject_stored()
            raise EnvironmentLacks(
                "the champion's adapter could not be read and was trained again on other data, which was set aside; run the same "
                f"command again{self._other_version}"
            )
        return {spec.identity: self._known[spec.identity] for spec in specs if spec.identity in self._known}

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
