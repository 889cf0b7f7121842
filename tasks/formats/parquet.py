"""Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from tasks.example import DataProblems
from tasks.formats.file_format import FileFormat
from tasks.readings import Flaw

_MAGIC = b"PAR1"
_BATCH = 4096


def _rows(data: bytes) -> Iterator[tuple[int, object]]:
    return iter(list(_stream(io.BytesIO(data))))


def _stream(file: BinaryIO) -> Iterator[tuple[int, object]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        # buffers of a column chunk would hold whole row groups
        opened = ParquetFile(file, pre_buffer=False)
        names = opened.schema_arrow.names
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise DataProblems([f' the column "{repeated[0]}" appears twice; give each column a name of its own'])
        classes = _classes(opened.schema_arrow.metadata)
        for batch in opened.iter_batches(_BATCH):
            for row in _values(_shortest_floats(batch)):
                number += 1
                yield number, row if isinstance(row, Flaw) else _named(row, classes)
    except (ArrowException, OSError) as error:
        raise DataProblems([f" cannot be read as Parquet: {' '.join(str(error).split())}"]) from error


def _values(batch: Any) -> Iterator[dict[str, object] | Flaw]:
    """The rows of a batch; where one has a value that Python cannot hold, the rows one by one."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = _one_by_one(batch)
    yield from rows


def _one_by_one(batch: Any) -> Iterator[dict[str, object] | Flaw]:
    for place in range(batch.num_rows):
        row: dict[str, object] = {}
        flaw = None
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                row[name] = column[place].as_py()
            except (ValueError, OverflowError) as error:
                flaw = flaw or Flaw(
                    f'"{name}" has a value that cannot be read: {error}; correct it, or leave the column out'
                )
        yield flaw or row


def _shortest_floats(batch: Any) -> Any:
    """The batch with columns of short floats as the doubles that are written alike: 0.1, not 0.10000000149011612."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, column in enumerate(batch.schema):
        if pa.types.is_float32(column.type):
            text = pc.cast(batch.column(place), pa.string())
            batch = batch.set_column(place, column.name, pc.cast(text, pa.float64()))
    return batch


def _classes(metadata: Mapping[bytes, bytes] | None) -> dict[str, Sequence[str]]:
    """The names of classes by column, as `datasets` keeps them in a file's metadata (`ClassLabel`)."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: [str(each) for each in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _named(row: Mapping[str, object], classes: Mapping[str, Sequence[str]]) -> dict[str, object] | Flaw:
    """The row without missing values, with names in place of class indices."""
    values = {key: value for key, value in row.items() if value is not None}
    for column, names in classes.items():
        index = values.get(column)
        if isinstance(index, int):
            if not 0 <= index < len(names):
                return Flaw(
                    f'"{column}" is {index}, a class without a name, as in splits with hidden labels; use another split'
                )
            values[column] = names[index]
    return values


FORMAT = FileFormat("Parquet", lambda data: data.startswith(_MAGIC), _rows, separator=" row ", stream=_stream)
