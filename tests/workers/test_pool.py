"""The contract of the pool, with scripted workers in threads and in real child processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import Pipe, current_process
from pathlib import Path

import pytest

from sweep.errors import DataError, EnvironmentLacks, Interrupted
from sweep.records import (
    BaseModel,
    CapacityRequest,
    EvaluationSettings,
    Quantization,
    Stage,
    Status,
    TaskData,
    TrialResult,
    TrialSpec,
    WorkerSetup,
)
from sweep.store.paths import Paths
from sweep.workers import worker
from sweep.workers.messages import LossReport, Progress, TrialEnd
from sweep.workers.pool import Event, Pool
from sweep.workers.worker import Worker
from tests.conftest import TRAINING, arm
from tests.workers.scripted import DEVICE_ERROR, STEPS, ScriptedLauncher

PATIENCE_SECONDS = 60.0
SETUP = WorkerSetup(
    BaseModel("tiny", "tiny", "made"),
    Quantization(),
    TaskData("made", "jsonl", "accuracy"),
    EvaluationSettings(),
    "packed",
    1,
)
OpenPool = Callable[..., tuple[Pool, ScriptedLauncher]]


def does(what: str, identity: str = "a") -> TrialSpec:
    """A trial with which a scripted worker does that."""
    return TrialSpec(identity * 32, what, Stage.EXPLORE, arm(), TRAINING, 0)


def on(quant: str, spec: TrialSpec) -> TrialSpec:
    """The trial, of an arm with a quantization of its own."""
    return replace(spec, arm=replace(arm(), quant=quant))


def asks(slots: int) -> CapacityRequest:
    return CapacityRequest(slots, (arm(),), TRAINING, 0, 1)


def events_of(pool: Pool) -> Iterator[Event]:
    """What happens until no trial is running."""
    end = time.monotonic() + PATIENCE_SECONDS
    while pool.running():
        assert time.monotonic() < end, "the trials did not end"
        yield from pool.events(0.1)


def results_of(pool: Pool) -> dict[str, TrialResult]:
    ends = [event.message for event in events_of(pool) if isinstance(event.message, TrialEnd)]
    return {ended.result.spec.identity[0]: ended.result for ended in ends}


def no_check() -> None:
    pass


@pytest.mark.parametrize("kind", ["thread", "process"])
class TestPool:
    @pytest.fixture
    def open_pool(self, kind: str, tmp_path: Path) -> Iterator[OpenPool]:
        with ExitStack() as pools:

            def opened(
                *scripts: str, workers: int = 1, capacity_request: CapacityRequest | None = None, load: bool = True
            ) -> tuple[Pool, ScriptedLauncher]:
                launcher = ScriptedLauncher(kind, scripts or ("loads",))
                pool = Pool(SETUP, Paths(tmp_path), workers, "made", capacity_request, launch=launcher)
                pools.enter_context(pool)
                if load:
                    pool.load(no_check)
                return pool, launcher

            yield opened

    def test_later_workers_must_load_what_the_first_one_loaded(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool(workers=2)
        assert pool.load(no_check).device == "none"
        pool.start_all()
        first, second = launcher.started
        assert (first.requirements.base_hash, first.requirements.data_hash) == (None, None)
        assert (second.requirements.base_hash, second.requirements.data_hash) == ("b" * 64, "d" * 64)

    def test_a_setup_that_cannot_be_loaded_is_the_worker_s_own_error(self, open_pool: OpenPool) -> None:
        pool, _ = open_pool("refuses", load=False)
        with pytest.raises(DataError) as caught:
            pool.load(no_check)
        assert caught.value.problems == ("train.jsonl: line 1 is empty", "test.jsonl is missing")

    def test_a_worker_that_dies_loading_is_an_error(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool("dies loading", "loads", load=False)
        said: list[str] = []
        with pytest.raises(EnvironmentLacks, match=r"the worker ended with exit code 3 while it loaded .*made\.log"):
            pool.load(no_check, said.append)
        assert (len(launcher.started), said) == (1, []), "it ended by itself, and would again"

    def test_a_worker_that_is_killed_while_it_loads_is_started_once_more(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool("is killed loading", "loads", capacity_request=asks(2), load=False)
        said: list[str] = []
        pool.use_timings({"a GPU": {1: 0.5}})
        assert pool.load(no_check, said.append).device == "none"
        assert said == [
            "the worker was killed by signal 9 (SIGKILL) while it loaded the base model; it is started once more"
        ]
        first, second = launcher.started
        assert second.capacity_request is not None
        assert second == replace(first, process=second.process), "all the first one was asked for"
        pool.submit(does("completes"))
        assert results_of(pool)["a"].status is Status.COMPLETE
        assert len(launcher.started) == 2

    def test_a_worker_that_is_killed_for_memory_while_it_loads_is_started_once_more(
        self, open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kills = iter(range(100))
        monkeypatch.setattr(worker, "oom_kills", lambda: next(kills))
        pool, _ = open_pool("is killed loading", "loads", load=False)
        said: list[str] = []
        assert pool.load(no_check, said.append).device == "none"
        assert said == ["the worker was killed by the system while it loaded the base model; it is started once more"]

    def test_two_workers_that_are_killed_while_they_load_are_an_error(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool("is killed loading", "is killed loading", "loads", load=False)
        said: list[str] = []
        with pytest.raises(
            EnvironmentLacks,
            match=r"SIGKILL\) while it loaded the base model, twice in a row; its output is in .*made\.log",
        ):
            pool.load(no_check, said.append)
        assert (len(launcher.started), len(said)) == (2, 1)

    def test_what_the_second_worker_says_while_it_loads_counts(self, open_pool: OpenPool) -> None:
        pool, _ = open_pool("is killed loading", "dies loading", load=False)
        with pytest.raises(
            EnvironmentLacks,
            match=r"exit code 3 while it loaded .*; the one before it was killed by signal 9 \(SIGKILL\);",
        ):
            pool.load(no_check)
        pool, _ = open_pool("is killed loading", "refuses", load=False)
        with pytest.raises(DataError):
            pool.load(no_check)

    def test_workers_that_are_killed_for_memory_while_they_load_say_what_to_do(
        self, open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kills = iter(range(100))
        monkeypatch.setattr(worker, "oom_kills", lambda: next(kills))
        pool, _ = open_pool("is killed loading", load=False)
        with pytest.raises(
            EnvironmentLacks, match=r"was killed by the system while it loaded .*twice .*memory ran out: .*quant=nf4"
        ):
            pool.load(no_check)

    def test_loading_can_be_stopped(self, open_pool: OpenPool) -> None:
        pool, _ = open_pool("never loads", load=False)

        def stop() -> None:
            raise Interrupted("stopped")

        with pytest.raises(Interrupted):
            pool.load(stop)

    def test_a_trial_s_events_arrive_in_order(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool()
        spec = does("completes")
        pool.submit(spec)
        assert pool.running() == [spec]
        events = list(events_of(pool))
        assert all(event.spec == spec for event in events)
        *progress, end = [event.message for event in events]
        assert progress == [Progress(spec.identity, "train", step, STEPS, 1.0 / step) for step in range(1, STEPS + 1)]
        assert end == TrialEnd(TrialResult(spec, Status.COMPLETE))
        pool.submit(does("completes", "b"))
        assert results_of(pool)["b"].status is Status.COMPLETE
        assert len(launcher.started) == 1, "a sound worker is kept"

    @pytest.mark.parametrize("prune", [True, False])
    def test_a_report_is_answered(self, open_pool: OpenPool, prune: bool) -> None:
        pool, _ = open_pool()
        pool.submit(does("reports"))
        statuses = []
        for event in events_of(pool):
            if isinstance(event.message, LossReport):
                assert (event.message.step, event.message.loss) == (STEPS, 0.5)
                pool.decide(event.spec, prune=prune)
            elif isinstance(event.message, TrialEnd):
                statuses.append(event.message.result.status)
        assert statuses == [Status.PRUNED if prune else Status.COMPLETE]

    def test_later_workers_checkpoint_as_the_first_one_decided(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool(workers=2, capacity_request=asks(2))
        pool.start_all()
        assert [each.requirements.checkpointing for each in launcher.started] == [False, True]

    def test_the_first_worker_learns_what_earlier_ones_measured(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool(capacity_request=asks(2), load=False)
        pool.use_timings({"a GPU": {1: 0.5}})
        pool.load(no_check)
        (first,) = launcher.started
        assert first.capacity_request is not None
        assert first.capacity_request.timings == {"a GPU": {1: 0.5}}
        pool.use_timings({"a GPU": {2: 0.5}})  # too late, and harmless

    def test_the_first_worker_s_capacity_holds_for_all(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool(workers=2, capacity_request=asks(2))
        pool.start_all()
        first, second = launcher.started
        assert first.capacity_request is not None
        assert second.capacity_request is None
        for identity in "abcd":
            assert pool.has_free_slot()
            pool.submit(does("waits", identity))
        assert not pool.has_free_slot()
        with pytest.raises(RuntimeError, match="every worker has all the trials it can take"):
            pool.submit(does("waits", "e"))

    def test_a_trial_on_another_base_gets_a_worker_with_that_base(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool(capacity_request=asks(2))
        pool.submit(does("completes", "a"))
        results_of(pool)
        pool.submit(on("nf4", does("completes", "b")))
        results_of(pool)
        pool.submit(on("nf4", does("completes", "c")))
        results_of(pool)
        pool.submit(does("completes", "d"))
        assert results_of(pool)["d"].status is Status.COMPLETE
        assert [each.requirements.quant for each in launcher.started] == [None, "nf4", None]
        assert [each.requirements.base_hash for each in launcher.started] == [None, "b" * 64, "b" * 64]
        asked = [each.capacity_request is not None for each in launcher.started]
        assert asked == [True, True, False], "what fits is found once for each base"

    def test_a_trial_waits_while_every_worker_trains_on_another_base(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool("loads", "survives", capacity_request=asks(3))
        pool.submit(does("reports", "a"))
        pool.submit(on("nf4", does("completes", "b")))
        assert not pool.has_free_slot(), "no other trial overtakes it"
        assert [spec.identity[0] for spec in pool.running()] == ["a", "b"]
        ended = []
        for event in events_of(pool):
            if isinstance(event.message, LossReport):
                assert len(launcher.started) == 1
                pool.decide(event.spec, prune=False)
            elif isinstance(event.message, TrialEnd):
                ended.append(event.spec.identity[0])
        assert ended == ["a", "b"]
        assert [each.requirements.quant for each in launcher.started] == [None, "nf4"]

    def test_trials_on_two_bases_run_on_two_workers(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool(workers=2)
        pool.start_all()
        pool.submit(on("int8", does("waits", "a")))
        pool.submit(does("waits", "b"))
        assert [(each.place, each.requirements.quant) for each in launcher.started] == [
            (0, None),
            (1, None),
            (0, "int8"),
        ]
        assert not pool.has_free_slot()

    def test_a_killed_worker_is_replaced_by_one_with_the_same_base(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool("loads", "loads", "survives")
        pool.submit(on("nf4", does("is killed")))
        assert results_of(pool)["a"].status is Status.COMPLETE
        assert [each.requirements.quant for each in launcher.started] == [None, "nf4", "nf4"]

    def test_trials_go_to_the_worker_that_has_fewest(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool(workers=2)
        pool.submit(does("waits", "a"))
        pool.submit(does("completes", "b"))
        assert len(launcher.started) == 2
        end = time.monotonic() + PATIENCE_SECONDS
        while len(pool.running()) > 1:
            assert time.monotonic() < end
            list(pool.events(0.1))
        assert [spec.identity[0] for spec in pool.running()] == ["a"]
        assert pool.fewest_trials() == 0
        pool.submit(does("waits", "c"))
        assert pool.fewest_trials() == 1

    def test_an_exit_is_a_failure_and_not_tried_again(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool()
        pool.submit(does("exits"))
        result = results_of(pool)["a"]
        assert (result.status, result.reason) == (Status.FAILED, "the worker ended with exit code 3")
        assert [step.step for step in result.history] == [1, 2, 3]
        assert len(launcher.started) == 1
        pool.submit(does("completes", "b"))
        assert results_of(pool)["b"].status is Status.COMPLETE

    def test_a_trial_that_kills_its_worker_twice_has_failed(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool()
        pool.submit(does("is killed"))
        result = results_of(pool)["a"]
        assert (result.status, result.reason) == (Status.FAILED, "the worker was killed by signal 9 (SIGKILL)")
        assert len(launcher.started) == 2

    def test_a_trial_whose_worker_was_killed_is_tried_once_more(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool("loads", "survives")
        pool.submit(does("is killed"))
        assert results_of(pool)["a"].status is Status.COMPLETE
        assert len(launcher.started) == 2

    def test_a_kill_of_the_kernel_for_memory_is_infeasible(
        self, open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kills = iter(range(100))
        monkeypatch.setattr(worker, "oom_kills", lambda: next(kills))
        pool, launcher = open_pool()
        pool.submit(does("is killed"))
        result = results_of(pool)["a"]
        assert (result.status, result.reason) == (
            Status.INFEASIBLE,
            "out of memory: the worker was killed by the system",
        )
        assert len(launcher.started) == 1

    def test_a_kill_for_memory_before_the_trial_began_was_of_another_process(
        self, open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pool, _ = open_pool("loads", "survives")
        monkeypatch.setattr(worker, "oom_kills", lambda: 1)
        pool.submit(does("is killed"))
        assert results_of(pool)["a"].status is Status.COMPLETE

    def test_an_unsound_worker_is_replaced(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool()
        pool.submit(does("fails"))
        assert results_of(pool)["a"].reason == "broken"
        pool.submit(does("completes", "b"))
        assert results_of(pool)["b"].status is Status.COMPLETE
        assert len(launcher.started) == 2

    def test_a_replaced_worker_keeps_its_place_and_with_it_its_device(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool(workers=2)
        pool.start_all()
        pool.submit(does("waits", "a"))
        pool.submit(does("exits", "b"))
        end = time.monotonic() + PATIENCE_SECONDS
        while len(pool.running()) > 1:
            assert time.monotonic() < end
            list(pool.events(0.1))
        pool.submit(does("waits", "c"))
        assert [launched.place for launched in launcher.started] == [0, 1, 1]

    def test_a_worker_with_other_trials_is_kept(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool(capacity_request=asks(2))
        pool.submit(does("waits", "a"))
        pool.submit(does("fails", "b"))
        end = time.monotonic() + PATIENCE_SECONDS
        while len(pool.running()) > 1:
            assert time.monotonic() < end
            list(pool.events(0.1))
        pool.submit(does("completes", "c"))
        list(pool.events(0.1))
        assert len(launcher.started) == 1

    @pytest.mark.parametrize("what", ["breaks two", "kills two"])
    def test_trials_of_a_broken_pack_are_trained_again_half_as_many_at_a_time(
        self, open_pool: OpenPool, what: str
    ) -> None:
        pool, launcher = open_pool("loads", "survives", capacity_request=asks(2))
        pool.submit(does(what, "a"))
        pool.submit(does(what, "b"))
        end = time.monotonic() + PATIENCE_SECONDS
        while len(launcher.started) < 2:
            assert time.monotonic() < end
            assert not [event for event in pool.events(0.1) if isinstance(event.message, TrialEnd)]
        assert not pool.has_free_slot(), "there is one slot now, and the other trial waits for it"
        assert {name: result.status for name, result in results_of(pool).items()} == {
            "a": Status.COMPLETE,
            "b": Status.COMPLETE,
        }
        assert launcher.started[1].capacity_request is None
        pool.submit(does("waits", "c"))
        assert not pool.has_free_slot()

    def test_a_device_that_fails_once_is_nobody_s_fault(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool("loads", "survives", capacity_request=asks(2))
        pool.submit(does("waits", "a"))
        pool.submit(does("breaks its device", "b"))
        statuses = {name: result.status for name, result in results_of(pool).items()}
        assert statuses == {"a": Status.COMPLETE, "b": Status.COMPLETE}
        assert len(launcher.started) == 2, "a process cannot use a device that failed"
        pool.submit(does("waits", "c"))
        assert pool.has_free_slot(), "memory was not the reason, so as many are trained side by side"

    def test_a_trial_that_breaks_its_device_again_and_again_is_tried_alone_and_has_failed(
        self, open_pool: OpenPool
    ) -> None:
        pool, launcher = open_pool("loads", "loads", "spares", capacity_request=asks(4))
        for identity in "abc":
            pool.submit(does("waits", identity))
        pool.submit(does("breaks its device", "d"))
        results = results_of(pool)
        assert {name: result.status for name, result in results.items()} == {
            **dict.fromkeys("abc", Status.COMPLETE),
            "d": Status.FAILED,
        }
        assert results["d"].reason == (
            f"the device failed 3 times in this trial, the last time with no other trial beside it: {DEVICE_ERROR}"
        )
        assert len(launcher.started) == 3

    def test_a_trial_that_breaks_its_device_alone_is_tried_once_more(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool()
        pool.submit(does("breaks its device"))
        result = results_of(pool)["a"]
        assert (result.status, len(launcher.started)) == (Status.FAILED, 2)
        assert result.reason == (
            f"the device failed 2 times in this trial, the last time with no other trial beside it: {DEVICE_ERROR}"
        )
        assert [step.step for step in result.history] == [1, 2, 3]
        pool.submit(does("completes", "b"))
        assert results_of(pool)["b"].status is Status.COMPLETE

    def test_trials_are_side_by_side_again_once_those_that_saw_the_device_fail_have_ended(
        self, open_pool: OpenPool
    ) -> None:
        pool, launcher = open_pool("loads", "loads", "survives", capacity_request=asks(2))
        pool.submit(does("waits", "a"))
        pool.submit(does("breaks its device", "b"))
        end = time.monotonic() + PATIENCE_SECONDS
        while len(launcher.started) < 3:
            assert time.monotonic() < end
            list(pool.events(0.1))
        assert not pool.has_free_slot(), "one at a time until it is known which one it is"
        assert set(results_of(pool)) == {"a", "b"}
        pool.submit(does("waits", "c"))
        assert pool.has_free_slot()

    @pytest.mark.parametrize(
        ("said", "status", "reason", "started"),
        [
            (
                "Error out of memory at line 74 in file /src/csrc/ops.cu",
                Status.INFEASIBLE,
                "out of memory: the worker was ended by bitsandbytes (CUDA error: out of memory)",
                1,
            ),
            ("Error an illegal memory access was encountered at line 74 in file ops.cu", Status.COMPLETE, None, 2),
            ("Error: of another kind", Status.FAILED, "the worker ended with exit code 1", 1),
        ],
    )
    def test_bitsandbytes_ends_the_process_without_an_exception(
        self, open_pool: OpenPool, said: str, status: Status, reason: str | None, started: int
    ) -> None:
        pool, launcher = open_pool("loads", "survives")
        pool.log.parent.mkdir(parents=True, exist_ok=True)
        pool.log.write_text(f"loading\n{said}\n")
        pool.submit(does("exits as bitsandbytes does"))
        result = results_of(pool)["a"]
        assert (result.status, result.reason, len(launcher.started)) == (status, reason, started)

    def test_a_trial_that_cannot_be_run_is_the_worker_s_own_error(self, open_pool: OpenPool) -> None:
        pool, _ = open_pool()
        pool.submit(does("refuses"))
        with pytest.raises(DataError, match="no such module"):
            list(events_of(pool))

    def test_a_worker_that_died_idle_costs_no_trial(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool("dies idle", "loads")
        launcher.started[0].process.join(PATIENCE_SECONDS)
        pool.submit(does("completes"))
        assert results_of(pool)["a"].status is Status.COMPLETE

    def test_a_worker_that_dies_loading_costs_no_trial_three_times(self, open_pool: OpenPool) -> None:
        pool, launcher = open_pool("loads", *["dies loading"] * 3, "loads", "dies loading")
        pool.submit(does("fails", "z"))  # so that the worker is replaced
        results_of(pool)
        pool.submit(does("completes", "a"))
        assert results_of(pool)["a"].status is Status.COMPLETE
        assert len(launcher.started) == 5
        pool.submit(does("fails", "z"))
        results_of(pool)
        pool.submit(does("completes", "b"))
        assert results_of(pool)["b"].reason == "the worker ended with exit code 3"

    def test_a_silent_worker_holds_nobody_up(self, open_pool: OpenPool) -> None:
        pool, _ = open_pool()
        spec = does("waits")
        pool.submit(spec)
        clock = time.monotonic()
        while time.monotonic() - clock < 0.2:
            list(pool.events(0.05))
        assert time.monotonic() - clock < 10
        assert pool.running() == [spec]
        pool.__exit__()
        assert time.monotonic() - clock < 10
        assert pool.running() == []

    def test_a_deaf_worker_is_killed(self, open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worker, "END_SECONDS", 0.1)
        pool, _ = open_pool()
        pool.submit(does("is deaf"))
        progress = 0
        while progress < STEPS:
            progress += len(list(pool.events(0.1)))
        clock = time.monotonic()
        pool.__exit__()
        assert time.monotonic() - clock < 10


def test_messages_that_are_read_ahead_hold_no_worker_up_and_come_in_order(tmp_path: Path) -> None:
    ours, theirs = Pipe()
    many = [Progress("a" * 32, "evaluate", done, 5000) for done in range(5000)]

    def serve() -> None:
        for message in many:
            theirs.send(message)

    speaking = threading.Thread(target=serve, daemon=True)
    given = Worker(ours, current_process(), tmp_path / "log")
    speaking.start()
    speaking.join(0.5)
    assert speaking.is_alive(), "nobody reads, so it waits"
    end = time.monotonic() + PATIENCE_SECONDS
    while speaking.is_alive() and time.monotonic() < end:
        given.read_ahead()
    assert not speaking.is_alive()
    given.read_ahead()
    theirs.close()
    assert list(given.receive(timeout=0.0)) == many
