"""All mistakes are reported at once, each with what to write instead, before anything is written."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.config.cores import available_cores
from sweep.config.groups import groups
from sweep.console.command_line import interpreter
from sweep.errors import ConfigurationError
from sweep.records import BaseModel
from sweep.store.paths import Paths
from sweep.training.sources import find_model


def problems(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(overrides)
    return caught.value.problems


def only_problem(*overrides: str) -> str:
    (problem,) = problems(*overrides)
    return problem


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("lora.rr=4", "lora.r"),
        ("+lora.alpha_ration=4", "lora.alpha_ratio"),
        ("train.lerning_rate=1e-3", "train.learning_rate"),
        ("serch.trials=3", "search.trials"),
        ("trials=3", "search.trials"),
        ("steps=3", "train.steps"),
        ("r=4", "lora.r"),
        ("seeds=2", "certify.seeds"),
        ("modle=tiny", "model"),
        ("samplr=tpe", "sampler"),
        ("model=smollm2-135", "smollm2-135m"),
        ("task=farma", "pharma"),
        ("sampler=tpee", "tpe"),
        ("pruner=[mediann]", "median"),
        ("+study=farma", "pharma"),
        ("method=rslorra", "rslora"),
        ("method=loraplus", "lora_plus"),
        ("method.name=rs_lora", "rslora"),
        ("loraplus_lr_ratio=16", "method.loraplus_lr_ratio"),
        ("search.sampler=randm", "random"),
        ("train.schedule=cosin", "cosine"),
        ("task.metric=acuracy", "accuracy"),
        ("quant.name=nf5", "nf4"),
        ("lora.targets=q_prj", "q_proj"),
        ("lora.targets=[q_proj,v_prj]", "v_proj"),
        ("search.space.targets=[q_v,atention]", "attention"),
    ],
)
def test_misspelt_word_gets_the_nearest(override: str, nearest: str) -> None:
    assert f"did you mean '{nearest}'?" in only_problem(override)


def test_perplexity_is_no_metric_of_answers_and_the_message_says_where_it_is() -> None:
    reported = only_problem("task.metric=perplexity")
    assert reported.startswith(
        "task.metric=perplexity: no score of answers, from 0 to 1, but the exponential of the loss"
    )
    assert "see the study's page, or perplexity in MLflow" in reported
    assert "known: exact_match, " in reported


@pytest.mark.parametrize("group", [group for group in groups() if group != "study"])
def test_unknown_option_gets_the_list(group: str) -> None:
    reported = only_problem(f"{group}=xxxxxxxxxxxx")
    assert reported.startswith(f"{group}=xxxxxxxxxxxx: there is no {group} 'xxxxxxxxxxxx'")
    assert f"(known: {', '.join(groups()[group])})" in reported


def test_unlike_any_key() -> None:
    assert (
        only_problem("zzz.qqq=1")
        == f"zzz.qqq=1: there is no key 'zzz.qqq' ({interpreter()} -m sweep help lists all keys)"
    )


@pytest.mark.parametrize(
    ("override", "instead"),
    [("study=pharma", "write +study=NAME"), ("+model=tiny", "write model=NAME"), ("model=null", "known")],
)
def test_group_chosen_in_the_wrong_way(override: str, instead: str) -> None:
    assert instead in only_problem(override)


def test_several_kinds_are_reported_at_once() -> None:
    reported = problems(
        "lora.rr=4",  # no such key
        "modle=tiny",  # no such group
        "sampler=tpee",  # no such option
        "train.steps=many",  # wrong type
        "search.space.rank=8",  # wrong type, and empty by default
        "certify.alpha=3",  # wrong value
        "budget.wall_clock=soon",  # wrong value, as text
        "lora.targets=q_prj",  # no such module
        "task=jsonl",  # needs task.path
    )
    for key in (
        "lora.rr",
        "modle",
        "sampler",
        "train.steps",
        "search.space.rank",
        "certify.alpha",
        "budget.wall_clock",
    ):
        assert sum(problem.startswith(key) for problem in reported) == 1, key
    assert "task.path: a value is needed; write task.path=FOLDER" in reported
    assert any(problem.startswith("lora.targets: ") for problem in reported)
    assert len(reported) == 9


def test_consequences_of_a_missing_value_are_not_reported() -> None:
    # the study's name is made of the model's
    assert problems("model.name=???", "certify.alpha=3") == (
        "model.name: a value is needed; write model.name=...",
        "certify.alpha=3.0: must be from 1e-06 to 0.5",
    )


@pytest.mark.parametrize("key", ["search.space.rank", "certify.ladder"])
@pytest.mark.parametrize(
    ("ranks", "reported"),
    [
        ("[0,1]", "every value must be from 1 to 4096"),
        ("[-2,2]", "every value must be from 1 to 4096"),
        ("[2,1000000]", "every value must be from 1 to 4096"),
        (f"{list(range(1, 66))}", "has 65 values; at most 64 are possible"),
        ("[8,4]", "ascending order"),
        ("[]", "at least one value is needed"),
    ],
)
def test_ranks(key: str, ranks: str, reported: str) -> None:
    assert reported in only_problem(f"{key}={ranks}")


def test_searched_ranks_are_powers_of_two_while_a_ladder_may_hold_any() -> None:
    assert "searched ranks are powers of two" in only_problem("search.space.rank=[2,3,4]")
    assert composed_plan(["certify.ladder=[3,6,12]"]).declaration.ladder == (3, 6, 12)


@pytest.mark.parametrize(("rank", "instead"), [(8, "[4,8]"), (1, "[1,2]"), (5, "[2,5]")])
def test_a_ladder_of_one_rank_is_refused(rank: int, instead: str) -> None:
    problem = only_problem(f"certify.ladder=[{rank}]")
    assert problem.startswith(f"certify.ladder=[{rank}]: a verdict compares at least two ranks")
    assert f"certify.ladder={instead}, or certify=none" in problem
    composed_plan([f"certify.ladder={instead}"])
    assert composed_plan([f"certify.ladder=[{rank}]", "certify=none"]).declaration.ladder == (rank,)


def test_repeated_ranks() -> None:
    assert any("a value is repeated" in problem for problem in problems("certify.ladder=[4,4]"))


def test_searched_ranks_are_evenly_spaced_while_a_ladder_need_not_be() -> None:
    assert "same multiple" in only_problem("search.space.rank=[2,4,16]")
    assert composed_plan(["certify.ladder=[2,4,16]"]).declaration.ladder == (2, 4, 16)
    assert composed_plan(["search.space.rank=[4,16,64]"]).space.ranks == (4, 16, 64)


@pytest.mark.parametrize(
    "override",
    [
        "lora.r=0",
        "train.learning_rate=0",
        "train.learning_rate=inf",
        "lora.dropout=1",
        "search.trials=0",
        "certify.margin=-0.1",
        "executor.threads=0",
        "train.weight_decay=-1",
        "seed=-1",
        "search.space.dropout=[1.0]",
        "search.space.alpha_ratio=[0]",
        "search.space.learning_rate.low=1",
        "search.space.learning_rate.low=nan",
        "budget.memory=much",
        "study.name=../other",
        "study.name='two words'",
        "lora.targets=null",
        "lora.targets=[]",
        "seed=null",
        "lora=null",
    ],
)
def test_senseless_value_is_reported_with_its_key(override: str) -> None:
    key = override.partition("=")[0]
    assert only_problem(override).startswith((f"{key}=", f"{key}:", key.rpartition(".")[0] + ":"))


@pytest.mark.parametrize(
    ("overrides", "reported"),
    [
        (["method.loraplus_lr_ratio=16"], "method=lora has no such parameter; write method=lora_plus"),
        (
            ["method=rslora", "method.loraplus_lr_ratio=16"],
            "method=rslora has no such parameter; write method=rslora_plus",
        ),
        (["method=lora_plus", "method.loraplus_lr_ratio=1"], "must be above one"),
        (["method=rslora_plus", "method.loraplus_lr_ratio=-2"], "must be above one"),
        (["method=lora_plus", "method.loraplus_lr_ratio=inf"], "must be above one"),
        (["method=lora_plus", "method.loraplus_lr_ratio=null"], "a value is needed with method=lora_plus"),
        (["method.name=lora_plus"], "a value is needed with method=lora_plus"),
        (["method=lora_plus", "method.loraplus_lr_ratio=much"], "must be a number"),
    ],
)
def test_a_ratio_of_rates_is_for_lora_plus_and_above_one(overrides: list[str], reported: str) -> None:
    problem = only_problem(*overrides)
    assert problem.startswith("method.loraplus_lr_ratio")
    assert reported in problem


@pytest.mark.parametrize(
    ("override", "reported"),
    [
        ("certify.ladder=8", "write a list in brackets, as in certify.ladder=[A,B]"),
        ("certify.ladder={}", "write a list in brackets"),
        ("train.steps={}", "write one value, as in train.steps=A"),
        ("train.steps=[3]", "write one value"),
        ("lora=5", "is a group of keys; write lora.NAME=VALUE (names: r, alpha_ratio, alpha, dropout, targets, init, "),
        ("lora=[1]", "is a group of keys"),
        ("lora=null", "cannot be null; leave it out for its default"),
        ("search.sampler_options=5", "is a group of values by name; write search.sampler_options.NAME=VALUE"),
        ("search.sampler_options=[1]", "is a group of values by name"),
        ("search.pruner_options=null", "cannot be null"),
        ("lora.r=4,8", "has several values; write one, a list in brackets, or text with commas in quotes"),
        ("search.sampler_options.n_startup_trials=1,2", "has several values"),
        ("model.target_sets.mine=q_proj", "write each value as a list in brackets, as in model.target_sets.NAME=[A,B]"),
        ("lora={rr: 8}", "there is no key 'lora.rr'; did you mean 'lora.r'?"),
        ("search.space={learning_rate: {low: [1]}}", "write one value, as in search.space.learning_rate.low=A"),
        ("study.name=größe", "or letters beyond a to z"),
        (f"seed={'9' * 5000}", "cannot be read: the number has too many digits"),
    ],
)
def test_lists_groups_and_single_values_are_distinguished(override: str, reported: str) -> None:
    problem = only_problem(override)
    assert problem.startswith(override.partition("=")[0].removesuffix(".mine"))
    assert reported in problem
    assert len(problem) < 250


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        (b"a: [1", "is not valid YAML: while parsing a flow sequence"),
        (b"a:\tb\n\tc: d", "is not valid YAML: while scanning"),
        (b"\x00", "is not valid YAML: unacceptable character"),
        (b"# @package _global_\nseed: 1\nseed: 2\n", "found duplicate key seed"),
        (b"# @package _global_\nseed: !!python/object/apply:os.system ['id']\n", "could not determine a constructor"),
        (b"# @package _global_\nlora: &a\n  r: *a\n", "contains itself"),
        (b"# @package _global_\ndefaults:\n  - mine\n", "contains itself"),
        (b"# @package _global_\nstudy:\n  name: caf\xe9\n", "mine.yaml: is not UTF-8"),
        (b"# @package _global_\nseed: " + b"9" * 5000, "Exceeds the limit (4300 digits)"),
    ],
)
def test_own_files_that_cannot_be_read(
    content: bytes, reported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf/study").mkdir(parents=True)
    (tmp_path / "conf/study/mine.yaml").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert reported in only_problem("+study=mine")


def test_sections_and_values_may_refer_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/study").mkdir(parents=True)
    file = tmp_path / "conf/study/mine.yaml"
    monkeypatch.chdir(tmp_path)
    file.write_text(
        "# @package _global_\ncertify:\n  ladder: ${search.space.rank}\nsearch:\n  space:\n    rank: [4, 8]\n"
    )
    assert composed_plan(["+study=mine"]).declaration.ladder == (4, 8)
    file.write_text("# @package _global_\ntracking: ${storage}\nstorage:\n  uri: memory://\n")
    assert [problem.partition(";")[0] for problem in problems("+study=mine")] == [
        "tracking.url: there is no such key",
        "storage.uri: there is no such key",
    ]
    file.write_text("# @package _global_\ntracking: ${nothing}\n")
    assert only_problem("+study=mine").startswith("tracking: Interpolation key 'nothing' not found")


def test_groups_are_written_whole_or_value_by_value() -> None:
    assert composed_plan(["search.sampler_options={a: 1}"]).search.sampler_options == {"a": 1}
    sets = composed_plan(["model.target_sets={mine: [q_proj]}", "lora.targets=mine"])
    assert sets.arm.targets == ("q_proj",)


def test_refused_command_explains_itself_and_writes_nothing(tmp_path: Path) -> None:
    ended = sweep(tmp_path, "task=jsonl", "certify.alpha=3", "lora.r=abc")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "The configuration cannot be used:",
        "  - lora.r=abc: must be a whole number",
        "  - certify.alpha=3.0: must be from 1e-06 to 0.5",
        "  - task.path: a value is needed; write task.path=FOLDER",
    ]
    assert list(tmp_path.iterdir()) == []


def test_refused_multirun_writes_nothing(tmp_path: Path) -> None:
    ended = sweep(tmp_path, "lora.r=4,8", "certify.alpha=3", "-m", module="sweep.train")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "The configuration cannot be used:",
        "  - certify.alpha=3.0: must be from 1e-06 to 0.5",
    ]
    assert list(tmp_path.iterdir()) == []


def test_own_files_are_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    plan = composed_plan(["+study=mine"])
    assert (plan.name, plan.setup.model.name, plan.training.steps) == ("mine", "own-llama", 7)
    assert "did you mean 'mine'?" in only_problem("+study=minee")


def test_own_files_are_found_by_the_command(tmp_path: Path) -> None:
    write_own_files(tmp_path)
    ended = sweep(tmp_path, "+study=mine", "--cfg", "job")
    assert ended.returncode == 0, ended.stderr
    assert "name: own-llama" in ended.stdout


def write_own_files(folder: Path) -> None:
    for group in ("study", "model"):
        (folder / "conf" / group).mkdir(parents=True)
    (folder / "conf/study/mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: mine\nstudy:\n  name: mine\ntrain:\n  steps: 7\n"
    )
    (folder / "conf/model/mine.yaml").write_text(
        "defaults:\n  - base/common@_here_\n  - base/llama@_here_\n  - _self_\nname: own-llama\nid: me/own-llama\n"
    )


def sweep(folder: Path, *overrides: str, module: str = "sweep") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *overrides], cwd=folder, capture_output=True, text=True, check=False
    )


def test_more_threads_than_cores_are_refused() -> None:
    cores = available_cores()
    with pytest.raises(ConfigurationError, match=rf"executor\.threads={cores + 1}: with executor\.workers=1 that is"):
        composed_plan([f"executor.threads={cores + 1}"])
    with pytest.raises(ConfigurationError, match=r"executor\.workers=many: must be a whole number above zero, or auto"):
        composed_plan(["executor.workers=many"])
    with pytest.raises(ConfigurationError, match=rf"executor\.workers={cores + 1}: this machine has {cores} cores"):
        composed_plan([f"executor.workers={cores + 1}"])


def test_every_value_of_a_multirun_is_checked_before_the_first_job(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "sweep.train", "model=tiny", "-m", "lora.r=4,-1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 2
    assert "lora.r=-1: must be from 1 to 4096" in refused.stderr
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("name", ["my project", "größe, 50+1 @home"])
def test_own_conf_is_found_below_any_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / name / "conf" / "study"
    study.mkdir(parents=True)
    (study / "kitchen.yaml").write_text("# @package _global_\nstudy:\n  name: kitchen\n")
    monkeypatch.chdir(tmp_path / name)
    assert composed_plan(["+study=kitchen"]).name == "kitchen"


class Refusing(BaseHTTPRequestHandler):
    """Answers as a server that knows no such account."""

    def do_GET(self) -> None:
        self.send_error(401)

    do_POST = do_GET  # noqa: N815 (its base gives the name)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def refusing_server() -> Iterator[int]:
    """The port of a server that refuses every request."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("module", ["sweep", pytest.param("sweep.train", marks=pytest.mark.slow)])
def test_no_password_is_written_anywhere(module: str, tmp_path: Path, made_task: Path) -> None:
    flags = ["-m", "lora.r=4,8"] if module == "sweep.train" else []
    with refusing_server() as port:
        words = [
            *("model=tiny", "task=jsonl", f"task.path={made_task}"),
            f"tracking.uri=http://me:hushhush@127.0.0.1:{port}",
        ]
        failed = subprocess.run(
            [sys.executable, "-m", module, *flags, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
    assert failed.returncode == 3, failed.stdout + failed.stderr
    assert "401" in failed.stderr
    assert "hushhush" not in failed.stdout + failed.stderr
    written = [file for file in (tmp_path / "mlruns").rglob("*") if file.is_file()]
    assert written
    assert not [file for file in written if b"hushhush" in file.read_bytes()]


def test_a_model_id_cannot_leave_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a name here"):
        find_model(BaseModel(name="tiny", id="../../elsewhere", source="made"), Paths(tmp_path / "mlruns"))


def test_cores_respect_the_quota_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr("sweep.config.cores._QUOTA", quota)
    quota.write_text("100000 100000\n")
    assert available_cores() == 1
    quota.write_text("max 100000\n")
    assert available_cores() >= 1


def test_a_margin_in_points_needs_answers() -> None:
    assert "certify.margin_of=metric" in only_problem("evaluate.answers=none", "certify.margin_of=metric")


def test_a_limit_of_forgetting_needs_paragraphs() -> None:
    few = ("certify.max_forgetting=0.2", "evaluate.general_paragraphs=7")
    assert only_problem(*few).startswith(
        "evaluate.general_paragraphs=7: a limit of forgetting (certify.max_forgetting)"
    )
    assert composed_plan([*few, "certify=none"]).declaration.max_forgetting == 0.2
    assert "must be from 0 to 100" in only_problem("certify.max_forgetting=-0.1")
    assert "known: auto, generate, likelihood, none" in only_problem("evaluate.answers=nothing")


def test_every_mistake_in_arms_is_reported_at_once() -> None:
    reported = problems(
        "search.arms=[{r: 7, rr: 3, learning_rate: 1}, 5, {r: 8}, {r: 8}, {targets: o_proj, dropout: much}, {targets: 3}]",
        "lora.alpha_ratio=3",
        "certify.alpha=3",
    )
    fields = "(fields: r, alpha_ratio, dropout, targets, learning_rate)"
    ratio = (
        "alpha_ratio=3.0 (from lora.alpha_ratio) is not in search.space.alpha_ratio=[1.0, 2.0, 4.0]; add it there, or"
    )
    assert "certify.alpha=3.0: must be from 1e-06 to 0.5" in reported
    assert f"search.arms: arm 1: there is no field 'rr'; did you mean 'r'? {fields}" in reported
    assert f"search.arms: arm 3: {ratio} change the arm" in reported
    for text in (
        "arm 1: r=7 is not in search.space.rank=[2, 4, 8, 16, 32]; add it there, or change the arm",
        "arm 1: learning_rate=1 is outside search.space.learning_rate, 0.001 to 0.01; widen that range, or change the arm",
        f"arm 2 is '5'; write {{r: 8, learning_rate: 1e-3}} {fields}",
        "arm 5: dropout=much: write a number",
        "arm 5: targets=o_proj is not in search.space.targets=['q_v', 'attention', 'all_linear']; add it there, or change the arm",
        "arm 6: targets=3: write a set's name (q_v, attention, mlp, all_linear) or module names",
    ):
        assert f"search.arms: {text}" in reported


def test_a_repeated_arm_is_reported() -> None:
    arms = "search.arms=[{r: 8}, {r: 4}, {r: 8, targets: 'v_proj,q_proj'}]"
    assert only_problem(arms) == "search.arms: arm 3 is the same as arm 1; write it once"


def test_arms_are_not_blamed_for_a_wrong_space() -> None:
    assert problems("search.space.rank=8", "search.arms=[{r: 8}]") == problems("search.space.rank=8")


@pytest.mark.parametrize("slots", ["0", "-1", "many", "1.5", "true"])
def test_slots_are_a_number_or_auto(slots: str) -> None:
    reported = only_problem(f"engine.slots={slots}")
    assert reported.startswith("engine.slots=")
    assert "above zero, or auto" in reported


def test_gradient_checkpointing_is_on_off_or_auto() -> None:
    assert only_problem("train.gradient_checkpointing=often") == (
        "train.gradient_checkpointing=often: must be true, false or auto"
    )
    values = [composed_plan([f"train.gradient_checkpointing={word}"]).training for word in ("true", "false", "auto")]
    assert [each.gradient_checkpointing for each in values] == [True, False, "auto"]
    assert composed_plan([]).training == values[2]


def test_the_trainer_has_one_slot() -> None:
    reported = problems("engine=trainer", "engine.slots=4", "lora.r=0")
    assert sorted(text.partition("=")[0] for text in reported) == ["engine.slots", "lora.r"]
    assert "write engine=packed" in next(text for text in reported if text.startswith("engine.slots=4"))
    assert composed_plan(["engine=trainer"]).slots == 1
    assert (composed_plan([]).slots, composed_plan(["engine.slots=4"]).slots) == (None, 4)
