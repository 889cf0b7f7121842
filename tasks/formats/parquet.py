"""Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from tasks.example import DataProblems
from tasks.formats.file_format import FileFormat

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
        for batch in ParquetFile(file, pre_buffer=False).iter_batches(_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield number, {key: value for key, value in row.items() if value is not None}
    except (ArrowException, OSError) as error:
        raise DataProblems([f" cannot be read as Parquet: {' '.join(str(error).split())}"]) from error


FORMAT = FileFormat("Parquet", lambda data: data.startswith(_MAGIC), _rows, separator=" row ", stream=_stream)
