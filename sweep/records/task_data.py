"""Where a task's examples come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from sweep.records.keys import Key, Limit
from tasks.metrics import METRICS

DROP = "drop"
LEFT = "truncate_left"
TOO_LONG = (DROP, LEFT, "truncate_right")


@dataclass(frozen=True, slots=True)
class TaskData:
    """Where a task's examples come from, and their metric.

    Attributes:
        replay: the file of general text that is mixed into training (`train.replay_path`), empty for our own; None without replay.
    """

    name: Annotated[str, Key("short name of the task")]
    kind: Annotated[
        str,
        Key(
            "where the examples come from; choose it with task=NAME",
            choices=("builtin", "python", "data", "jsonl", "hub"),
        ),
    ]
    metric: Annotated[
        str,
        Key(
            "task metric: mean score of the answers, 0 to 1; or a function of your own, MODULE:FUNCTION (docs/tasks.md)",
            choices=METRICS,
        ),
    ]
    path: Annotated[
        str | None,
        Key(
            "task=data: a file or folder of a known format (docs/tasks.md); task=jsonl: folder with train.jsonl, validation.jsonl and "
            "test.jsonl",
            example="my_data",
        ),
    ] = None
    columns: Annotated[
        Mapping[str, str],
        Key("task=data: columns by what they stand for, if not detected by name", example="{prompt: question}"),
    ] = field(default_factory=dict)
    group_column: Annotated[
        str | None,
        Key("task=data: rows with the same value in this column stay in one split", example="customer"),
    ] = None
    system_prompt: Annotated[str | None, Key("system message of the chat template; null for the template's own")] = None
    tune_fraction: Annotated[
        float, Key("share of the validation split used by the search; the rest is for the verdict", Limit(0.05, 0.95))
    ] = 0.5
    max_length: Annotated[
        int,
        Key(
            "longer examples (tokens of prompt and completion) are left out or shortened (task.too_long), and counted",
            Limit(1, 10_000_000),
        ),
    ] = 512
    too_long: Annotated[
        str,
        Key(
            "what happens to examples longer than task.max_length: left out, or the prompt loses its beginning or its end. Completions are "
            "never shortened",
            choices=TOO_LONG,
        ),
    ] = DROP
    dataset: Annotated[
        str | None, Key("task=hub: ORG/NAME on the hub, or a local folder or file", example="fancyzhx/ag_news")
    ] = None
    subset: Annotated[str | None, Key("task=hub: configuration of the data set, if it has several")] = None
    revision: Annotated[str | None, Key("task=hub: branch, tag or commit of the data set")] = None
    train_split: Annotated[str, Key("task=hub: split to train on")] = "train"
    validation_split: Annotated[str, Key("task=hub: split to search and judge; made of train if missing")] = (
        "validation"
    )
    test_split: Annotated[str, Key("task=hub: split for the final test; made of train if missing")] = "test"
    prompt_column: Annotated[str, Key("task=hub: column with the prompt, unless task.template is given")] = "prompt"
    completion_column: Annotated[str, Key("task=hub: column with the expected answer")] = "completion"
    label_column: Annotated[str | None, Key("task=hub: column with the class, for accuracy and macro_f1")] = None
    template: Annotated[str | None, Key("task=hub: prompt made of columns", example='"Classify: {text}"')] = None
    replay: str | None = None
    limits: Annotated[
        str | None,
        Key("what results on the data must not be used for; shown on every page", example='"no medical advice"'),
    ] = None
