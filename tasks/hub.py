"""Loads a data set from the Hugging Face Hub, or from a local folder or file, through `datasets`.

Code in a data set is never run: `datasets` reads data files only and refuses scripts.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tasks.carving import carve
from tasks.checks import assemble, read_examples, read_rows
from tasks.example import DataProblems, Example, RawSplits
from tasks.formats import prompt_completion
from tasks.readings import Flaw, Origin, Reading
from tasks.suggest import closest, did_you_mean
from tasks.understanding import Columns, Meaning, UnpairedPreferences, examples_of_row, understood

_SEEN = 20
"""Rows whose columns are looked at, to understand a format."""
_NO_NAME = "has a class index without a name, as in splits with hidden labels; use another split"
_BUILDERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
_NETWORK_ERRORS = ("ConnectError", "ConnectTimeout", "ReadTimeout", "LocalEntryNotFoundError", "OfflineModeIsEnabled")


class DataUnreachable(DataProblems):
    """The Hub cannot be reached, and the data set is not in the cache."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a row; a template, if given, fills the prompt from the columns in `prompt`."""

    prompt: tuple[str, ...]
    completion: str
    label: str | None
    template: str | None

    def all(self) -> list[str]:
        return list(dict.fromkeys([*self.prompt, self.completion, *([self.label] if self.label else [])]))


def load(
    dataset: str,
    *,
    subset: str | None = None,
    revision: str | None = None,
    train_split: str = "train",
    validation_split: str = "validation",
    test_split: str = "test",
    prompt_column: str = "prompt",
    completion_column: str = "completion",
    label_column: str | None = None,
    template: str | None = None,
    cache_dir: Path | None = None,
) -> RawSplits:
    """Loads the splits of a data set and converts their rows to examples.

    A missing validation or test split is taken from train by a hash of the prompt, with a warning. Class indices become
    class names; integers and booleans become text.

    Without columns or a template, and without columns "prompt" and "completion" of text, the format of rows is detected as for files
    (`tasks.understanding`): chats, instructions, classification, and the like.

    Args:
        dataset: `ORG/NAME` on the Hub, or a local folder or file (JSON, JSON lines, CSV, Parquet, or `save_to_disk`).
        subset: configuration of the data set, if it has several.
        revision: branch, tag or commit on the Hub; a commit makes the data reproducible.
        train_split: name of the training split.
        validation_split: name of the split that is divided into tune and certify.
        test_split: name of the split for the final evaluation.
        prompt_column: column of the prompt; ignored with a `template`.
        completion_column: column of the answer.
        label_column: column of the class, for `accuracy` and `macro_f1`.
        template: prompt with column names in braces, as in `"Classify: {text}\\nAnswer:"`; a literal brace is `{{`.
        cache_dir: cache folder of `datasets`; None for its default.

    Raises:
        DataUnreachable: the Hub cannot be reached.
        DataProblems: lists all other problems of all splits.
    """
    columns = _Columns(
        _template_columns(template) if template is not None else (prompt_column,),
        completion_column,
        label_column,
        template,
    )
    loaded = _load_dataset(dataset, subset, revision, cache_dir)
    names = {"train": train_split, "validation": validation_split, "test": test_split}
    problems = _unusable_splits(dataset, names, list(loaded))
    present = [name for name in dict.fromkeys(names.values()) if name in loaded]
    meaning = None
    if not problems and columns == _Columns(("prompt",), "completion", None, None):
        meaning = _detected(dataset, loaded[train_split])
    for name in present if meaning is None else ():
        problems += _missing_columns(f"{dataset} {name}", columns, list(loaded[name].features))
    if problems:
        raise DataProblems(problems)

    warnings = _column_warnings(columns, loaded[train_split].features) if meaning is None else []
    readings = {
        role: _read(dataset, name, loaded[name], columns)
        if meaning is None
        else _understood(dataset, name, loaded[name], meaning)
        for role, name in names.items()
        if name in loaded
    }
    for role in ("validation", "test"):
        if role not in readings:
            readings["train"], readings[role] = carve(readings["train"], role)
            warnings.append(_carved(readings[role], names[role], role, list(loaded)))
    notes = [f"{dataset}: read as {meaning.in_words()}"] if meaning is not None else []
    return assemble(readings["train"], readings["validation"], readings["test"], warnings, notes)


def _load_dataset(dataset: str, subset: str | None, revision: str | None, cache_dir: Path | None) -> Mapping[str, Any]:
    import datasets

    path = Path(dataset).expanduser()
    cache = str(cache_dir) if cache_dir else None
    if not path.exists() and (path.is_absolute() or dataset.startswith((".", "~"))):
        raise DataProblems([f"{dataset}: there is no such folder or file (looked at {path.absolute()})"])
    loaded: Mapping[str, Any]
    try:
        if path.is_file():
            loaded = _load_file(path, cache)
        elif (path / "dataset_dict.json").is_file():
            loaded = datasets.load_from_disk(str(path))
        else:
            source = str(path) if path.is_dir() else dataset
            loaded = datasets.load_dataset(source, subset, revision=revision, cache_dir=cache)
    except DataProblems:
        raise
    # any error of a reader is a problem of the data or of access to it
    except Exception as error:
        raise _explained(dataset, error) from error
    return loaded


def _load_file(path: Path, cache: str | None) -> Mapping[str, Any]:
    import datasets

    builder = _BUILDERS.get(path.suffix.casefold())
    if not builder:
        raise DataProblems([f"{path}: is not one of {', '.join(_BUILDERS)}; convert it to one of them"])
    separator = {"sep": "\t"} if path.suffix.casefold() == ".tsv" else {}
    loaded = datasets.load_dataset(builder, data_files={"train": str(path)}, cache_dir=cache, **separator)
    return cast(Mapping[str, Any], loaded)


def _explained(dataset: str, error: Exception) -> DataProblems:
    chain = list(_causes(error))
    if any(isinstance(one, (ConnectionError, TimeoutError)) or type(one).__name__ in _NETWORK_ERRORS for one in chain):
        return DataUnreachable(
            [
                f"{dataset}: is not a local folder, the Hugging Face Hub cannot be reached, and it is not in "
                "the cache; on a machine with a network, download it (hf download --repo-type dataset "
                f"{dataset} --local-dir DIR) and set task.dataset=DIR, or write it as JSON lines and use task=jsonl "
                "task.path=DIR"
            ]
        )
    text = ": ".join(dict.fromkeys(" ".join(str(one).split()) for one in chain))
    if "scripts are no longer supported" in text:
        return DataProblems(
            [
                f"{dataset}: needs a script to be read, and scripts are never run; try the Hub's conversion with "
                "task.revision=refs/convert/parquet, or write the rows as JSON lines and use task=jsonl"
            ]
        )
    advice = "; check the name, or log in with hf auth login" if type(error).__name__ == "DatasetNotFoundError" else ""
    return DataProblems([f"{dataset}: cannot be loaded: {type(error).__name__}: {text}{advice}"])


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _template_columns(template: str) -> tuple[str, ...]:
    try:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise DataProblems([f"template: {error}; write a literal brace as {{{{ or }}}}"]) from error
    names = [name for _, name, form, conversion in parts if name and not form and not conversion]
    if not parts or len(names) < len(parts):
        raise DataProblems(['template: put a column\'s name, and only that, in braces, as in "Classify: {text}"'])
    return tuple(dict.fromkeys(names))


def _unusable_splits(dataset: str, names: Mapping[str, str], existing: Sequence[str]) -> list[str]:
    """Problems of splits that are missing and cannot be taken from train: train itself, and any with a configured name."""
    if len(set(names.values())) < len(names):
        return [
            f"{dataset}: train, validation and test must be three different splits, not {', '.join(names.values())}"
        ]
    return [
        f'{dataset}: has no split "{name}"{did_you_mean(name, existing)}; it has {", ".join(existing)}; '
        f"set task.{role}_split"
        for role, name in names.items()
        if name not in existing and (role == "train" or name != role)
    ]


def _missing_columns(place_name: str, columns: _Columns, existing: Sequence[str]) -> list[str]:
    settings = dict.fromkeys(columns.prompt, "task.template" if columns.template is not None else "task.prompt_column")
    settings |= {columns.completion: "task.completion_column"}
    settings |= {columns.label: "task.label_column"} if columns.label else {}
    return [
        f'{place_name}: has no column "{column}"{did_you_mean(column, existing)}; it has {", ".join(existing)}; '
        f"set {setting}"
        for column, setting in settings.items()
        if column not in existing
    ]


def _read(dataset: str, name: str, split: Any, columns: _Columns) -> Reading:
    selected = split.select_columns(columns.all())
    rows = (_row(values, selected.features, columns) for values in selected)
    return read_rows(Origin(f"{dataset} {name}", name, " row "), enumerate(rows))


def _detected(dataset: str, train: Any) -> Meaning | None:
    """What the rows mean, by the names and values of their columns; None for plain prompts and completions, and if that is unknown."""
    try:
        first = [_as_texts(row, train.features) for row in train.select(range(min(_SEEN, len(train))))]
        meaning = understood(dataset, first, list(train.features), Columns()) if first else None
    except UnpairedPreferences:
        raise
    except (DataProblems, ValueError):  # of no known format, or with class indices that have no name
        return None
    as_named = {"prompt": "prompt", "completion": "completion"}
    plain = meaning is not None and meaning.format is prompt_completion.FORMAT and "system" not in meaning.columns
    return None if plain and meaning is not None and as_named.items() <= meaning.columns.items() else meaning


def _understood(dataset: str, name: str, split: Any, meaning: Meaning) -> Reading:
    rows = ((number, _examples(row, split.features, meaning)) for number, row in enumerate(split))
    return read_examples(Origin(f"{dataset} {name}", name, " row "), rows)


def _examples(row: Mapping[str, Any], features: Mapping[str, Any], meaning: Meaning) -> Sequence[Example] | Flaw:
    try:
        return examples_of_row(_as_texts(row, features), meaning, Columns())
    except ValueError:
        return Flaw(_NO_NAME)


def _as_texts(row: Mapping[str, Any], features: Mapping[str, Any]) -> dict[str, object]:
    """A row with class names in place of indices, without missing values."""
    return {name: _text(value, features[name]) for name, value in row.items() if value is not None}


def _row(values: Mapping[str, Any], features: Mapping[str, Any], columns: _Columns) -> dict[str, object] | Flaw:
    try:
        texts = {column: _text(value, features[column]) for column, value in values.items()}
    except ValueError:
        return Flaw(_NO_NAME)
    row = {"completion": texts[columns.completion], "label": texts[columns.label] if columns.label else None}
    if columns.template is None:
        return {"prompt": texts[columns.prompt[0]], **row}
    wrong = [column for column in columns.prompt if not isinstance(texts[column], str)]
    if wrong:
        kind = "null" if texts[wrong[0]] is None else type(texts[wrong[0]]).__name__
        return Flaw(f'the column "{wrong[0]}" of the template contains {kind} here, not text')
    return {"prompt": _filled(columns.template, texts), **row}


def _filled(template: str, texts: Mapping[str, object]) -> str:
    # not str.format: columns may be named "a.b" or "0", and templates must not access attributes
    parts = string.Formatter().parse(template)
    return "".join(literal + (str(texts[name]) if name is not None else "") for literal, name, _, _ in parts)


def _text(value: object, feature: Any) -> object:
    """Converts a class index to its name, integers and booleans to text; returns other values unchanged.

    Raises:
        ValueError: the class index has no name.
    """
    if not isinstance(value, int):
        return value
    if hasattr(feature, "int2str"):
        return str(feature.int2str(value))
    return str(value).lower() if _holds_numbers(feature) else value


def _holds_numbers(feature: Any) -> bool:
    """Returns whether the column's declared type is integer or boolean."""
    return str(getattr(feature, "dtype", "")).startswith(("int", "uint", "bool"))


def _column_warnings(columns: _Columns, features: Mapping[str, Any]) -> list[str]:
    answers = [columns.completion, *([columns.label] if columns.label else [])]
    warnings = [
        f'the column "{column}" contains {features[column].dtype}; its values are used as text'
        for column in dict.fromkeys(answers)
        if _holds_numbers(features[column]) and not hasattr(features[column], "int2str")
    ]
    if columns.template and "\\n" in columns.template:
        warnings.append("the template contains a backslash followed by n, which is not a line break")
    return warnings


def _carved(reading: Reading, name: str, role: str, existing: Sequence[str]) -> str:
    other = closest(role, [split for split in existing if split != "train"])
    hint = f'; if its split "{other}" is meant, set task.{role}_split={other}' if other else ""
    return f'the data set has no split "{name}": {len(reading.rows)} rows of train are used instead{hint}'
