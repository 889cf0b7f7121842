"""Formats of data: how a file holds rows, and what a row means. A new format is one file here, and its line in a table.

The formats of rows and their names are those of TRL (https://huggingface.co/docs/trl/dataset_formats).
"""

from tasks.formats import (
    chat,
    classification,
    delimited,
    instruction,
    json_array,
    json_lines,
    parquet,
    prompt_completion,
)
from tasks.formats.file_format import FileFormat
from tasks.formats.row_format import RowFormat

FILES: tuple[FileFormat, ...] = (parquet.FORMAT, json_array.FORMAT, json_lines.FORMAT, delimited.FORMAT)
"""By content: the first that fits is taken."""

ROWS: tuple[RowFormat, ...] = (
    chat.MESSAGES,
    chat.CONVERSATIONS,
    chat.PROMPT_COMPLETION,
    instruction.FORMAT,
    prompt_completion.FORMAT,
    classification.FORMAT,
)
"""By the columns and their values: the first that fits is taken."""

__all__ = ["FILES", "ROWS", "FileFormat", "RowFormat"]
