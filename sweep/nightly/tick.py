"""A tick: looks which nights are due, and runs their studies until the nights are over.

Every scheduler calls this. A tick that finds nothing due, or another one at work, ends at once, so more calls than needed do no harm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from sweep.console.masking import mask
from sweep.errors import Interrupted, NoTrialSucceeded
from sweep.nightly import open_nights
from sweep.nightly.child import end_left_over
from sweep.nightly.due import LEAST_SECONDS, PlannedNight, due, next_start, recorded_dates
from sweep.nightly.ledger import Ledger
from sweep.nightly.logs import rotate, shorten
from sweep.nightly.night import Night, Outcome
from sweep.nightly.open_nights import OpenNight
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load, load_all
from sweep.nightly.sharing import Waiting, next_turn, turn_ends, used_lately
from sweep.nightly.studies import verdict_of
from sweep.nightly.turn import Machine, prepare, read_result, take_turn

_LOOK_SECONDS = 2.0
"""How often a waiting tick looks whether it was asked to stop."""

After = Callable[[Night, Schedule], str | None]
"""Writes and sends the morning note of a recorded night; returns what went wrong."""


@dataclass
class Tick:
    """One tick.

    Attributes:
        after: called once a night is recorded.
        say: receives a line for everything that happens.
        nights: the open nights by schedule.
        aside: nights that are not run: those that are over, and while one is run now, those that a killed tick left for a later one.
        broken: the schedules that cannot be used, in words.
        code: the exit code so far.
    """

    machine: Machine
    ledger: Ledger
    after: After
    say: Callable[[str], None]
    nights: dict[str, OpenNight] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    aside: list[OpenNight] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    code: int = 0

    def run(self, only: str | None = None) -> int:
        """Runs every night that is due, or one night of one schedule now; the caller holds the lock.

        Returns:
            the exit code: 0 if nothing was due or every night ended well; 2 a schedule or its study cannot be used; 3 this machine
            lacks something; 4 a study failed; 130 stopped by a signal. Of several the largest.
        """
        self._load()
        self._recover()
        if only is None:
            self._find_due()
        else:
            self._begin_now(load(self.machine.paths, only))
        while self.nights and not self.machine.should_stop():
            night = self._next()
            if night is None:
                if only is not None or not self._wait_for_others():
                    break
                continue
            try:
                is_over = self._turn(night, self.schedules[night.schedule])
            except Exception as error:  # other studies go on
                is_over = self._fail(night, error)
            if is_over:
                self._record(night)
            self._save()
            if only is None and not self.machine.should_stop():
                self._find_due()
        for night in list(self.nights.values()):
            if night.has_run:
                self._record(night)
            elif not self.machine.should_stop():  # else a later tick of this night may begin it
                self._end(night)
        self.nights.clear()
        self._save()
        self._tidy()
        return Interrupted.exit_code if self.machine.should_stop() else self.code

    def _turn(self, night: OpenNight, schedule: Schedule) -> bool:
        """One turn of a study, unless no time is left; returns whether its night is over."""
        prepare(night, schedule, self.machine)
        if night.trials_before is None:  # not to be read now; whatever no other night has counted is this one's
            night.trials_before = self._counted_elsewhere(night)
        if not self._has_time(night, self.machine.clock.now()):  # a database that does not answer takes its time
            return False
        return take_turn(night, schedule, self._turn_end(night), self.machine, self._save)

    def _fail(self, night: OpenNight, error: Exception) -> bool:
        """Ends the night of a study with an error that nobody expected."""
        reason = mask(f"unexpected error: {error!r}; the study's records may be damaged")
        night.close(Outcome.FAILED, reason, self.machine.clock.now(), NoTrialSucceeded.exit_code)
        return True

    def _load(self) -> None:
        """Reads the schedules; one that is gone keeps its open night."""
        kept = {name: each for name, each in self.schedules.items() if name in self.nights}
        self.schedules = kept
        for each in load_all(self.machine.paths):
            if isinstance(each, Schedule):
                self.schedules[each.name] = kept.get(each.name, each)
            elif str(each) not in self.broken:
                self.broken.add(str(each))
                self.say(f"problem: {each}")
                self._note_code(each.exit_code)

    def _recover(self) -> None:
        """Nights that a killed tick left: one whose end has not come goes on, the others are recorded."""
        now = self.machine.clock.now()
        left = open_nights.read(self.machine.paths)
        self.nights.update({night.schedule: night for night in left if not night.over})
        self.aside = [night for night in left if night.over]
        for night in left:
            if night.process is not None and end_left_over(night.process, night.process_started):
                self.say(f"{night.schedule}: stopped the study, which ran on when the tick before this one was killed")
            if not night.over:
                schedule = self.schedules.get(night.schedule)
                if schedule is not None:
                    try:
                        read_result(night, schedule, self.machine)
                    except Exception as error:
                        self._fail(night, error)
                        self._record(night)
                        continue
                if schedule is not None and self._has_time(night, now) and now >= night.start:
                    night.set(ended=now, reason="the tick was killed in this night; the next one continues")
                    self.say(
                        f"{night.schedule}: the night of {night.record.date} goes on; the tick before this one was killed"
                    )
                    continue
                reason = "the machine or the tick ended in this night; the next one continues"
                night.close(Outcome.UNFINISHED, reason, now)
            self._record(night)
        self._save()

    def _counted_elsewhere(self, night: OpenNight) -> int:
        """The study's trials that other nights of the schedule have counted."""
        nights = self.ledger.nights(night.schedule, verdicts=False)
        return sum(
            each.trained for each in nights if each.study == night.record.study and each.date != night.record.date
        )

    def _find_due(self) -> None:
        """Begins the nights that are due, also of schedules that were installed since the tick began."""
        self._load()
        now = self.machine.clock.now()
        for schedule in self.schedules.values():
            nights = self.ledger.nights(schedule.name, verdicts=False)
            running = self.nights.get(schedule.name)
            dates = recorded_dates(nights, now) | ({running.record.date} if running else set())
            found = due(schedule, now, dates)
            for missed in found.missed:
                is_last = found.night is None and missed is found.missed[-1]
                self._record_missed(schedule, missed, told=is_last)
            if found.night is not None and running is None:
                self._begin(schedule, found.night, now)
        self._save()

    def _begin(self, schedule: Schedule, planned: PlannedNight, now: float) -> None:
        self.nights[schedule.name] = OpenNight.of(schedule.name, schedule.study, planned, now)
        late = ", made up for now" if planned.catches_up else ""
        self.say(
            f"{schedule.name}: the night of {planned.date}{late}, until {schedule.hours.show(planned.until)} at the latest"
        )
        log = self.machine.paths.night_log(schedule.name, planned.date)
        self.say(f"{schedule.name}: what the study prints is in {log.relative_to(self.machine.paths.root.parent)}")

    def _begin_now(self, schedule: Schedule) -> None:
        """A night at any hour, of the usual length; it continues the record of the last night that was planned."""
        now, hours = self.machine.clock.now(), schedule.hours
        date = str(hours.latest(now))
        begins = schedule.name not in self.nights
        if begins:
            self._begin(schedule, PlannedNight(date, now, min(now + hours.length, next_start(schedule, now))), now)
        night = self.nights[schedule.name]
        self.aside += [each for each in self.nights.values() if each is not night]
        self.nights = {schedule.name: night}
        for earlier in self.ledger.nights(schedule.name) if begins else ():
            if earlier.date == date and earlier.outcome.ran and earlier.study == schedule.study:
                night.record = earlier  # as it is until a turn has ended
                trials = self.machine.progress(schedule).trials
                night.trials_before = None if trials is None else trials - earlier.trained
                night.prepared = True
        self._save()

    def _next(self) -> OpenNight | None:
        """The night whose study has the next turn; those that have no more time are recorded."""
        now = self.machine.clock.now()
        for night in list(self.nights.values()):
            if not self._has_time(night, now):
                self._end(night)
        waiting = [self._waiting(night) for night in self.nights.values() if self._has_use(night, now)]
        if not waiting:
            return None
        used = used_lately(self.ledger.nights(verdicts=False), now)
        for night in self.nights.values():
            used[night.schedule] = used.get(night.schedule, 0.0) + night.record.seconds
        return self.nights[next_turn(waiting, used).schedule]

    def _wait_for_others(self) -> bool:
        """Waits until a night of another schedule begins, if turns were cut short for it; returns whether it has begun.

        The studies that wait said that no trial fits before. Afterwards they share what is left.
        """
        now = self.machine.clock.now()
        start = min(self._starts(now), default=math.inf)
        if not any(night.until - start >= LEAST_SECONDS for night in self.nights.values()):
            return False
        while (now := self.machine.clock.now()) < start and not self.machine.should_stop():
            self.machine.alive()
            self.machine.clock.sleep(min(_LOOK_SECONDS, start - now))
        if not self.machine.should_stop():
            self._find_due()
        return True

    def _starts(self, now: float) -> list[float]:
        """When nights of schedules begin that have none open."""
        return [next_start(each, now) for each in self.schedules.values() if each.name not in self.nights]

    def _has_time(self, night: OpenNight, now: float) -> bool:
        return night.until - now >= LEAST_SECONDS

    def _has_use(self, night: OpenNight, now: float) -> bool:
        """Whether more time would help: not if the study has said that as much is too little for another trial."""
        return night.declined is None or self._turn_end(night) - now > night.declined + LEAST_SECONDS

    def _turn_end(self, night: OpenNight) -> float:
        now = self.machine.clock.now()
        open_ones = [self._waiting(each) for each in self.nights.values() if each is night or self._has_time(each, now)]
        return turn_ends(self._waiting(night), open_ones, now, self._starts(now))

    def _waiting(self, night: OpenNight) -> Waiting:
        return Waiting(night.schedule, night.until)

    def _end(self, night: OpenNight) -> None:
        if not night.has_run:
            night.close(Outcome.UNFINISHED, "no time was left for it", self.machine.clock.now())
        self._record(night)

    def _record(self, night: OpenNight, *, told: bool = True) -> None:
        """Enters a night that is over into the ledger, then writes its note: a tick that is killed in between does both again."""
        night.over = True
        if self.nights.get(night.schedule) is night:
            del self.nights[night.schedule]
        if night not in self.aside:
            self.aside.append(night)
        self._save()
        self.ledger.record(night.record)
        self.say(_in_words(night.record))
        if told:
            self._tell(night.record)
        self.aside.remove(night)
        self._save()
        self._note_code(night.tick_code)

    def _record_missed(self, schedule: Schedule, missed: PlannedNight, *, told: bool) -> None:
        verdict, now = verdict_of(self.machine.paths, schedule.study), self.machine.clock.now()
        night = OpenNight.of(schedule.name, schedule.study, missed, now)
        night.set(started=missed.start, verdict=verdict, before=verdict)
        reason = "nothing looked for it in its hours: the machine or its scheduler was off"
        night.close(Outcome.MISSED, reason, max(missed.start, min(missed.until, now)))
        self._record(night, told=told)

    def _tell(self, record: Night) -> None:
        schedule = self.schedules.get(record.schedule)
        try:
            problem = self.after(record, schedule) if schedule is not None else None
        except Exception as error:
            problem = mask(f"the morning note failed: {error!r}")
        if problem:
            self.say(f"{record.schedule}: {problem}")

    def _save(self) -> None:
        open_nights.write(self.machine.paths, [*self.nights.values(), *self.aside])

    def _tidy(self) -> None:
        for name in self.schedules:
            rotate(self.machine.paths, name)
        shorten(self.machine.paths.tick_log)

    def _note_code(self, code: int) -> None:
        self.code = max(self.code, code)


_ENDS = {
    Outcome.DONE: "is done",
    Outcome.UNFINISHED: "is unfinished",
    Outcome.FAILED: "failed",
    Outcome.SKIPPED: "was skipped",
    Outcome.MISSED: "was missed",
}


def _in_words(night: Night) -> str:
    trained = f", {night.trained} trial{'' if night.trained == 1 else 's'}" if night.outcome.ran else ""
    reason = f": {night.reason}" if night.reason else ""
    champion = f"; {night.champion_news.words}" if night.champion_news is not None else ""
    return f"{night.schedule}: the night of {night.date} {_ENDS[night.outcome]}{trained}{reason}{champion}"
