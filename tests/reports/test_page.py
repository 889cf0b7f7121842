"""The page of a study: whole, safe, small, the same each time, and there for sparse records too."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.report import report
from sweep.errors import ConfigurationError
from sweep.records import Declaration, Status, StepLoss, StudyRecord, TrialRecord
from sweep.reports.files import write_comparison, write_page
from sweep.reports.page import Beside, Contrast, answer_of, contrasts, render, render_comparison
from sweep.reports.page.chart import Chart, like, log_axis
from sweep.reports.page.curves import MOST_CURVES, MOST_POINTS, curves, thinned
from sweep.reports.page.escape import clean, script_json, web_address
from sweep.reports.page.examples import Marks, contrasts_between
from sweep.reports.page.module_ranks import by_layer, module_ranks_chart
from sweep.reports.page.samples import Answer, Sample
from sweep.reports.page.search_charts import rates_tried
from sweep.reports.page.trials import failures, wall_clock
from sweep.reports.pictures import draw_ladder
from sweep.reports.steps import open_runs, recorded_tracking, steps
from sweep.store.paths import Paths
from sweep.verdict.conclude import conclude
from tests.conftest import arm, certified_record, result, study_record
from tests.reports.made_page import made_contrasts, page, page_record
from tests.verdict.studies import with_kinds
from tests.verdict.test_kinds import COUNTS, SCORES

MOST_BYTES = 6_000_000
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&\u2028\u202e{{ 7 * 7 }}\x00\ud800"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Parsed(HTMLParser):
    """A page taken apart: every element must be closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def figures(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.tags if "id" in attributes]


def shown(record: StudyRecord, **beside: Any) -> Parsed:
    conclusion = conclude(record)
    return Parsed(render(record, conclusion, answer_of(record, conclusion), Beside("today", **beside)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(page_record(), tmp_path_factory.mktemp("scores"))


@pytest.fixture(scope="module")
def parsed(whole: str) -> Parsed:
    return Parsed(whole)


def test_everything_is_on_the_page(parsed: Parsed) -> None:
    sections = [
        "answer",
        "ladder",
        "test",
        "kinds",
        "cost",
        "rates",
        "importances",
        "curves",
        "examples",
        "trials",
        "failures",
        "provenance",
    ]
    assert [name for name in parsed.ids() if name in sections] == sections
    assert set(parsed.figures()) == {
        *("ladder", "finals", "pareto-adapter", "pareto-memory", "pareto-time", "rates", "importances", "curves"),
    }
    for words in (
        "Rank 8 is enough.",
        "924 kB",
        "diverged: the loss was nan at step 12",
        "Rank 4 against rank 8",
        "base in float32",
    ):
        assert words in parsed.text


def test_charts_have_text_alternatives(parsed: Parsed) -> None:
    labels = [attributes["aria-label"] for _, attributes in parsed.tags if "data-chart" in attributes]
    assert len(labels) == 6
    assert "rank 8: +0.005" in (labels[0] or "")
    assert "certified" in (labels[0] or "")


def test_ids_are_given_once(parsed: Parsed) -> None:
    assert len(parsed.ids()) == len(set(parsed.ids()))


def test_nothing_is_asked_of_a_network(parsed: Parsed) -> None:
    addresses = [value for _, attributes in parsed.tags for key in ("src", "href") if (value := attributes.get(key))]
    assert all(address.startswith(("#", "data:", "http://127.0.0.1:5000/")) for address in addresses)
    policy = next(attributes["content"] for tag, attributes in parsed.tags if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    assert allowed == {
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in parsed.scripts[1:]
    }


def test_the_page_is_the_same_each_time(whole: str, tmp_path: Path) -> None:
    assert page(page_record(), tmp_path) == whole


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    record = page_record(explored=12)
    trials = tuple(
        replace(
            trial,
            run_id=HOSTILE,
            result=replace(
                trial.result,
                status=Status.FAILED if number % 2 else trial.status,
                reason=HOSTILE,
                spec=replace(trial.spec, arm=replace(arm(), targets=(HOSTILE,), rank=2 + number % 2)),
                provenance=replace(trial.result.provenance, device=HOSTILE, versions={HOSTILE: HOSTILE})
                if trial.result.provenance
                else None,
            ),
        )
        for number, trial in enumerate(record.trials)
    )
    hostile = replace(
        record,
        trials=trials,
        model=HOSTILE,
        task=HOSTILE,
        config=HOSTILE,
        command=HOSTILE,
        data_hash=HOSTILE,
        run_page=f"javascript:alert(1)//{{run}}{HOSTILE}",
        importances={HOSTILE: 0.5},
    )
    conclusion = conclude(record)
    text = render(
        hostile,
        conclusion,
        replace(answer_of(hostile, conclusion), headline=(HOSTILE,), reasons=(HOSTILE,), findings=(HOSTILE,)),
        Beside(
            created=HOSTILE,
            contrasts=[Contrast(HOSTILE, HOSTILE, 4, HOSTILE, 8, HOSTILE, 1.0)],
            samples=[Sample(HOSTILE * 9, HOSTILE, HOSTILE, Answer(HOSTILE, 0.5), Answer(HOSTILE, None))],
            open_runs=HOSTILE,
        ),
    )
    text.encode()
    found = Parsed(text)
    assert [tag for tag, _ in found.tags].count("script") == 3
    assert "img" not in {tag for tag, _ in found.tags}
    assert not any(key.startswith("on") for _, attributes in found.tags for key in attributes)
    assert not any((attributes.get("href") or "").startswith("javascript") for _, attributes in found.tags)
    assert "{{ 7 * 7 }}" in found.text
    assert not set("\u2028\u202e\x00") & set(found.scripts[0])
    figures = json.dumps(found.figures())
    assert "<script>" not in figures
    assert "&lt;script&gt;" in figures


@pytest.mark.parametrize(
    ("run_page", "address"),
    [
        ("https://mlflow.example/#/runs/{run}", "https://mlflow.example/#/runs/run-0003"),
        ("#/runs/{run}", "http://127.0.0.1:5000/#/runs/run-0003"),
        (None, None),
    ],
)
def test_trials_link_to_their_runs(run_page: str | None, address: str | None) -> None:
    found = shown(replace(page_record(explored=4), run_page=run_page))
    links = [attributes["href"] for tag, attributes in found.tags if tag == "a" and "rel" in attributes]
    assert (address in links) if address else links == []


def test_json_cannot_end_its_script() -> None:
    value = {"</script>": [HOSTILE.replace("\ud800", ""), 1.5, None]}
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "https://a.b/ c", "file:///etc", "", None])
def test_only_web_addresses_are_links(link: str | None) -> None:
    assert web_address(link) is None


def test_text_is_cut_and_cleaned() -> None:
    assert clean("a\x00b\u202ec", 100) == "a\\x00b\\u202ec"
    assert clean("abcdef", 3) == "abc …"
    assert clean("line\n\ttab") == "line\n\ttab"


def test_a_large_study_stays_small_and_quick() -> None:
    record = page_record(explored=1000, history=100)
    started = time.process_time()
    text = page(record, None)
    assert time.process_time() - started < 10
    assert len(text.encode()) < MOST_BYTES
    found = Parsed(text)
    assert sum(tag == "tr" and "data-stage" in attributes for tag, attributes in found.tags) > 1000


def test_a_huge_study_is_cut_and_says_so() -> None:
    record = page_record(explored=100)
    record = replace(record, trials=record.trials * 60, config="x" * 1_000_000, certification=None)
    text = page(record)
    assert len(text.encode()) < MOST_BYTES
    found = Parsed(text)
    assert "The first 1500 of 6001 trials are listed" in found.text
    assert "The 1500 best of" in found.text


@pytest.mark.parametrize(
    "record",
    [
        study_record([]),
        study_record([], base_loss=None),
        study_record([result(arm(), 1.0)]),
        study_record([result(arm(), None, Status.FAILED, "diverged")], base_loss=None),
        study_record([result(arm(4), 1.2), result(arm(8), 1.0), result(arm(8), None, Status.PRUNED, "trailed")]),
    ],
)
def test_sparse_records_have_a_page(record: StudyRecord) -> None:
    found = shown(record)
    assert "No rank yet" in found.text
    assert "trials" in found.ids()
    assert "provenance" in found.ids()
    assert "finals" not in found.figures()


def test_no_metrics_no_scores_no_charts_of_them() -> None:
    record = certified_record(answers=False)
    bare = replace(record, trials=tuple(without_metrics(trial) for trial in record.trials), base=None)
    found = shown(bare)
    assert "Rank 8" in found.text
    assert "ladder" in found.figures()


def test_an_empty_history_is_reported() -> None:
    record = page_record(explored=3)
    assert record.certification is not None
    bare = replace(
        record,
        trials=tuple(replace(trial, result=replace(trial.result, history=())) for trial in record.trials),
        certification=replace(record.certification, trials=()),
    )
    found = shown(bare)
    assert "The records hold no training loss by step" in found.text
    assert "curves" not in found.figures()


def test_without_bounds_there_are_no_bars() -> None:
    record = certified_record(seeds=1)
    figure = shown(record).figures()["ladder"]
    assert all("error_y" not in trace for trace in figure["data"])


def test_a_margin_of_the_metric_is_in_points() -> None:
    record = certified_record(margin=0.02, margin_of="metric")
    figure = shown(record).figures()["ladder"]
    assert figure["layout"]["yaxis"]["title"]["text"] == "gap to the best rank, points of accuracy"
    assert figure["layout"]["shapes"][1]["y0"] == 0.02


def test_states_differ_by_symbol_too(parsed: Parsed) -> None:
    symbols = {trace["name"]: trace["marker"]["symbol"] for trace in parsed.figures()["ladder"]["data"]}
    assert len(set(symbols.values())) == len(symbols)


def test_ranks_that_could_not_be_compared_are_on_the_ladder() -> None:
    record = certified_record(failures={64: (Status.INFEASIBLE, "out of memory")})
    assert "infeasible: out of memory" in shown(record).text


def test_curves_are_few_and_thin() -> None:
    record = page_record(explored=200, history=1000)
    drawn = curves(replace(record, certification=None))
    assert drawn.drawn == MOST_CURVES
    assert drawn.known > MOST_CURVES
    assert drawn.chart is not None
    assert max(len(trace["x"]) for trace in drawn.chart.spec["data"]) <= MOST_POINTS
    ranks = {trace["legendgroup"] for trace in drawn.chart.spec["data"]}
    assert ranks == {"2", "4", "8", "16", "32"}


def test_a_thinned_point_is_a_mean() -> None:
    history = [StepLoss(step, float(step), 1e-3) for step in range(1, 101)]
    points = thinned(history, most=10)
    assert points[0] == (5.5, 5.5)
    assert len(points) == 10
    assert thinned([]) == []


def test_another_method_than_lora_is_part_of_the_recipe() -> None:
    record = certified_record()
    assert record.certification is not None
    recipe = replace(record.certification.recipe, method="lora_plus", loraplus_lr_ratio=16.0)
    found = shown(replace(record, certification=replace(record.certification, recipe=recipe)))
    assert "alpha 2 × rank, LoRA+ (B 16 times as fast as A)" in found.text
    assert "LoRA+" not in shown(record).text


def test_ranks_that_differ_by_module_are_drawn() -> None:
    record = page_record()
    assert module_ranks_chart(record) is None
    ranks = {"model.layers.0.self_attn.q_proj": 6, "model.layers.1.self_attn.q_proj": 2, "lm_head": 0}
    assert by_layer(ranks) == {"q_proj": {0: 6, 1: 2}, "lm_head": {-1: 0}}
    best = min(record.complete(), key=lambda trial: trial.loss)
    trials = [
        replace(trial, result=replace(trial.result, measures=replace(best.measures, module_ranks=ranks)))
        if trial.number == best.number
        else trial
        for trial in record.trials
    ]
    spread = replace(record, trials=tuple(trials))
    drawn = module_ranks_chart(spread)
    assert drawn is not None
    assert "0 to 6, 2.7 on average; q_proj has 4.0, lm_head has 0.0" in drawn.says
    assert "Which modules got the rank" in shown(spread).text


def test_rates_of_other_recipes_are_not_on_the_map() -> None:
    record = certified_record()
    other = replace(record.trials[0], result=result(arm(2, dropout=0.1, learning_rate=9e-3), 0.01))
    tried = rates_tried(replace(record, trials=(*record.trials, other)))
    assert 9e-3 not in {point.rate for point in tried}
    assert 9e-3 in {point.rate for point in rates_tried(replace(record, trials=(other,), certification=None))}


def test_an_axis_always_has_labels() -> None:
    assert log_axis("rate", [1e-3, 4e-3], exponents=True)["ticktext"] == ["1e-3", "2e-3", "5e-3"]
    assert log_axis("size", [0.3, 11.0])["ticktext"] == ["0.5", "1", "2", "5", "10"]
    assert "type" not in log_axis("loss", [5.2, 5.6])


def test_a_chart_like_another_holds_what_differs() -> None:
    first = Chart("a", "", {"data": [{"x": [1], "text": ["long"]}], "layout": {"xaxis": 1, "yaxis": 2}})
    other = Chart("b", "", {"data": [{"x": [2], "text": ["long"]}], "layout": {"xaxis": 3, "yaxis": 2}})
    assert like(other, first).spec == {"like": "a", "data": [{"x": [2]}], "layout": {"xaxis": 3}}


def test_equal_failures_are_grouped() -> None:
    trials = [TrialRecord(number, result(arm(), None, Status.FAILED, "diverged")) for number in range(9)]
    trials += [TrialRecord(9, result(arm(), None, Status.INFEASIBLE, "out of memory"))]
    trials += [TrialRecord(10, result(arm(), None, Status.PRUNED, "trailed")), TrialRecord(11, result(arm(), 1.0))]
    first, second = failures(trials)
    assert (first.reason, first.count) == ("diverged", 9)
    assert first.names.endswith("and 3 more")
    assert second.status == "infeasible"


def test_contrasts_are_the_largest_differences_over_seeds(tmp_path: Path) -> None:
    def scores(name: str, *nats: float, answers: tuple[str | None, ...] = ("x", "y")) -> Path:
        rows = [
            {
                "key": str(number),
                "kind": None,
                "prompt": f"p{number}",
                "expected": "y",
                "answer": answers[number],
                "nats": value,
                "tokens": 1,
                "score": None if answers[number] is None else float(answers[number] == "y"),
            }
            for number, value in enumerate(nats)
        ]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / name

    small = [scores("a", 4.0, 1.0), scores("b", 6.0, 1.0), scores("c", 5.0, 1.2)]
    large = [scores("d", 2.0, 1.0, answers=("y", "y")), scores("e", 3.0, 2.0, answers=(None, None))]
    (found,) = contrasts_between(4, small, 8, [*large, tmp_path / "gone"])
    assert (found.prompt, found.smaller_answer, found.larger_answer) == ("p0", "x", "y")
    assert found.difference == pytest.approx(5.0 - 2.5)
    assert found.seeds == 2
    assert found.smaller_marks == Marks(shown=0.0, mean=0.0, right=0, seeds=3)
    assert found.larger_marks == Marks(shown=1.0, mean=1.0, right=1, seeds=1)


def test_a_right_answer_is_not_crossed_out_because_another_seed_was_wrong(tmp_path: Path) -> None:
    def seed(name: str, answer: str, score: float, nats: float) -> Path:
        row = {"key": "0", "prompt": "p", "expected": "y", "answer": answer, "nats": nats, "tokens": 1, "score": score}
        (tmp_path / name).write_text(json.dumps(row) + "\n")
        return tmp_path / name

    right = [seed(f"r{number}", "y", 1.0, 2.0) for number in range(3)]
    (found,) = contrasts_between(4, [*right, seed("w", "x", 0.0, 9.0)], 8, [seed("l", "y z", 0.5, 1.0)])
    record = page_record(explored=2)
    text = shown(record, contrasts=[found]).text
    assert "y ✓ 3 of 4 seeds right" in text
    assert "y z ✗ score 0.50" in text
    assert (found.smaller_marks and found.smaller_marks.words) == "3 of 4 seeds right"
    partly = [seed("a", "y z", 0.5, 3.0), seed("b", "y", 1.0, 3.0), seed("c", "y", 1.0, 3.0)]
    (found,) = contrasts_between(4, partly, 8, [seed("l", "y", 1.0, 1.0)])
    assert found.smaller_marks is not None
    assert found.smaller_marks.is_right
    assert found.smaller_marks.words == "score 0.83, mean of 3 seeds"


def test_only_averaged_curves_are_described_as_averaged() -> None:
    plain, long = page_record(explored=2, history=MOST_POINTS), page_record(explored=2, history=MOST_POINTS + 1)
    assert "mean of neighbouring steps" not in shown(plain).text
    assert "mean of neighbouring steps" in shown(long).text


def test_wall_clock_and_summed_time_are_two_figures() -> None:
    def trial(started: float, seconds: float) -> TrialRecord:
        return TrialRecord(0, replace(result(arm(), 1.0), started=started, seconds=seconds))

    side_by_side = [trial(1000.0, 60.0), trial(1010.0, 60.0), trial(1010.0, 20.0), trial(2000.0, 30.0)]
    assert wall_clock(side_by_side) == 70.0 + 30.0
    assert wall_clock([trial(0.0, 50.0)]) == 0.0
    found = shown(replace(study_record([]), base=None, trials=tuple(side_by_side)))
    assert "wall-clock time 1 min 40 s trials summed: 2 min 50 s" in found.text
    assert "in all" not in found.text


@pytest.mark.parametrize(
    ("record", "certified"),
    [
        (certified_record(), True),
        (certified_record(seed_noise=0.02), False),
        (study_record([result(arm(), 1.0)]), False),
    ],
)
def test_an_adapter_that_is_not_certified_is_not_offered_as_if_it_were(
    record: StudyRecord, certified: bool, tmp_path: Path
) -> None:
    first = next(iter(steps(record, conclude(record), Paths(tmp_path), None)))
    assert ("not certified" in first.purpose) != certified


def test_kinds_have_a_table_with_counts() -> None:
    record = with_kinds(certified_record(final=(8, 32)), SCORES, COUNTS)
    found = shown(record)
    assert "kinds" in found.ids()
    assert "brand little use 12 0.00 0.00 0.00 12 0.00 0.00 0.00" in found.text
    assert "kinds" not in shown(certified_record()).ids()


def test_a_metric_that_gained_nothing_comes_before_the_rank() -> None:
    text = shown(certified_record(scores={0: 0.57, **dict.fromkeys((2, 4, 8, 16, 32), 0.54)})).text
    assert text.index("The loss falls, but accuracy does not rise") < text.index("Rank 8")
    assert text.count("The loss falls, but accuracy does not rise") == 1


def test_damaged_scores_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"key": 1}\n')
    (tmp_path / "b").write_text("no json\n")
    assert contrasts_between(4, [tmp_path / "a"], 8, [tmp_path / "b"]) == []


def test_contrasts_compare_the_chosen_rank_with_its_neighbours(tmp_path: Path) -> None:
    record = page_record(explored=2)
    found = made_contrasts(record, conclude(record), tmp_path)
    assert {(contrast.smaller_rank, contrast.larger_rank) for contrast in found} == {(4, 8), (8, 32)}
    assert contrasts(replace(record, certification=None), None, lambda name: tmp_path / name) == ()


def test_two_studies_are_shown_side_by_side() -> None:
    first, second = page_record(explored=5), replace(study_record([]), name="other")
    found = Parsed(render_comparison((first, conclude(first)), (second, conclude(second)), "today"))
    assert "Rank 8" in found.text
    assert "No rank yet" in found.text
    assert "The data differ" not in found.text
    assert "The base models differ" in found.text
    assert "The task metrics differ: set_f1 and accuracy." in found.text


def test_ladders_of_two_studies_share_a_scale() -> None:
    first, second = certified_record(), certified_record(margin=0.02)
    found = Parsed(render_comparison((first, conclude(first)), (second, conclude(second)), "today"))
    figure = found.figures()["ladders"]
    assert figure["layout"]["yaxis"]["title"]["text"] == "gap to the best rank, in margins"
    points = [trace for trace in figure["data"] if "error_y" in trace]
    assert points[0]["y"][0] == pytest.approx(2 * points[1]["y"][0], rel=1e-3)


def test_two_studies_without_trials_have_a_page() -> None:
    empty = study_record([])
    found = Parsed(render_comparison((empty, None), (empty, None), "today"))
    assert found.figures() == {}


def test_the_picture_of_the_ladder_is_the_same_each_time(tmp_path: Path) -> None:
    record = replace(page_record(explored=3), task="a $price$ & <tag>")
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    assert all(draw_ladder(record, conclude(record), file) for file in files)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert not draw_ladder(study_record([]), None, tmp_path / "c.svg")


@pytest.mark.parametrize(
    ("config", "shows"),
    [
        ("tracking:\n  uri: sqlite:///elsewhere.db\n", "python -m sweep.ui tracking=sqlite:///elsewhere.db"),
        ("tracking:\n  uri: null\n", "mlflow.db"),
        ("tracking:\n  uri: memory://\n", None),
    ],
)
def test_a_report_made_again_links_to_the_recorded_runs(tmp_path: Path, config: str, shows: str | None) -> None:
    found = open_runs(Paths(tmp_path), recorded_tracking(replace(page_record(explored=1), config=config)))
    assert found is None if shows is None else shows in str(found)


def test_pages_are_written_whole(tmp_path: Path) -> None:
    paths, record = Paths(tmp_path), page_record(explored=3)
    written = write_page(record, conclude(record), paths)
    compared = write_comparison(record, replace(record, name="other"), paths)
    assert [file.name for file in (*written, compared)] == ["index.html", "ladder.svg", "compare-other.html"]
    assert {file.name for file in paths.report("pharma").iterdir()} == {file.name for file in (*written, compared)}
    assert "python -m sweep.predict study=pharma prompt=&#34;...&#34;" in written[0].read_text()


@pytest.mark.parametrize(
    ("make", "last"),
    [
        (lambda: study_record([result(arm(), 1.0)]), "search.trials=20"),
        (certified_record, "sweep.ui"),
    ],
)
def test_steps_are_commands(make: Callable[[], StudyRecord], last: str, tmp_path: Path) -> None:
    record = make()
    found = list(steps(record, conclude(record), Paths(tmp_path), None))
    assert last in found[-1].command
    assert list(steps(study_record([]), None, Paths(tmp_path), None)) == []


def without_metrics(trial: TrialRecord) -> TrialRecord:
    measures = trial.result.measures
    return replace(trial, result=replace(trial.result, measures=replace(measures, metrics={}) if measures else None))


def test_the_declared_margin_is_shown() -> None:
    record = replace(study_record([]), declaration=Declaration((2, 4), 3, 0.02, "metric", 0.05))
    assert "2 points of accuracy, error rate 5 %" in shown(record).text


@pytest.mark.parametrize("words", [["study=a", "compare=a"], ["study=a", "compare=b", "compare=c"], ["compare=b"]])
def test_the_command_wants_one_study_and_one_other(words: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"name one"):
        report(words)
