"""Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator

from tasks.example import DataProblems
from tasks.formats.file_format import FileFormat

_MAGIC = b"PAR1"
_BATCH = 4096


def _rows(data: bytes) -> Iterator[tuple[int, object]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(io.BytesIO(data))
        rows = [row for batch in file.iter_batches(_BATCH) for row in batch.to_pylist()]
    except (ArrowException, OSError) as error:
        raise DataProblems([f" cannot be read as Parquet: {' '.join(str(error).split())}"]) from error
    return enumerate(({key: value for key, value in row.items() if value is not None} for row in rows), start=1)


FORMAT = FileFormat("Parquet", lambda data: data.startswith(_MAGIC), _rows, separator=" row ")
