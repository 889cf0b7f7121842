"""The Optuna databases of the search room's tests."""

from __future__ import annotations

from tests.search.conftest import empty_database, new_storage

__all__ = ["empty_database", "new_storage"]
