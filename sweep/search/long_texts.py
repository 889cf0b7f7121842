"""Columns that hold long texts: what Optuna's tables lack on MySQL and MariaDB, whose type TEXT ends at 64 KB."""

from __future__ import annotations

import sqlalchemy

_COLUMN = "value_json"
"""The column of attributes, in the tables of studies and trials; a trial's is as long as its examples are many."""


def allow_long_texts(engine: sqlalchemy.Engine) -> None:
    """Gives attributes up to 16 MB, once; does nothing on other databases.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the tables cannot be read or changed.
    """
    if engine.dialect.name not in ("mysql", "mariadb"):
        return
    short = sqlalchemy.text(
        "select table_name from information_schema.columns "
        "where table_schema = database() and column_name = :column and data_type = 'text'"
    )
    with engine.begin() as connection:
        for (table,) in connection.execute(short, {"column": _COLUMN}).all():
            connection.execute(sqlalchemy.text(f"alter table `{table}` modify `{_COLUMN}` mediumtext"))
