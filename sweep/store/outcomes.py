"""A cache of example outcomes, by adapter and example: `mlruns/scores/xx/ADAPTER/RULE.jsonl`.

With it, another metric, another split or more examples compute only what is missing. A line that cannot be read counts as missing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep.records import ExampleOutcome
from sweep.store.paths import Paths


class OutcomeCache:
    """Outcomes (losses and answers, not scores) of examples under adapters.

    In all methods, `adapter` is the adapter's identity and `rule` says how answers were made, see `rule_key`. Examples are
    identified by `tasks.Example.key`.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def known(self, adapter: str, rule: str) -> dict[str, ExampleOutcome]:
        """The outcomes in the cache, by example."""
        outcomes: dict[str, ExampleOutcome] = {}
        try:
            lines = self._file(adapter, rule).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return {}
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                row = json.loads(line)
                if row.pop("check") != _checksum(row):
                    continue
                nats, answer = float(row["nats"]), row["answer"]
                if math.isfinite(nats) and (answer is None or isinstance(answer, str)):
                    outcomes[str(row["key"])] = ExampleOutcome(nats, int(row["tokens"]), answer)
        return outcomes

    def add(self, adapter: str, rule: str, outcomes: Mapping[str, ExampleOutcome]) -> None:
        """Adds outcomes, except those whose loss is not finite."""
        finite = {key: one for key, one in outcomes.items() if math.isfinite(one.nats)}
        rows = (
            {"key": key, "nats": one.nats, "tokens": one.tokens, "answer": one.answer}
            for key, one in (self.known(adapter, rule) | finite).items()
        )
        file = self._file(adapter, rule)
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name(f".{file.name}.{os.getpid()}")
        scratch.write_text(
            "".join(f"{json.dumps({**row, 'check': _checksum(row)})}\n" for row in rows), encoding="utf-8"
        )
        scratch.replace(file)

    def forget(self, adapter: str) -> None:
        """Drops the outcomes of an adapter that was trained again."""
        shutil.rmtree(self._paths.scores(adapter), ignore_errors=True)

    def _file(self, adapter: str, rule: str) -> Path:
        return self._paths.scores(adapter) / f"{rule}.jsonl"


def _checksum(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(row), sort_keys=True).encode()).hexdigest()[:12]


def rule_key(
    max_new_tokens: int | None, labels: Mapping[str, tuple[int, ...]] | None = None, *, of_kind: bool = False
) -> str:
    """A file name for how answers are made; `losses` where none are asked for.

    Args:
        max_new_tokens: maximum number of tokens of a decoded answer; None where no answers are asked for.
        labels: token ids by label, where the likeliest label is the answer.
        of_kind: whether a label is compared with those of its kind alone.
    """
    if max_new_tokens is None:
        return "losses"
    if not labels:
        return f"decoded-{max_new_tokens}"
    words = json.dumps(sorted((text, list(ids)) for text, ids in labels.items()))
    return f"{'kinds' if of_kind else 'labels'}-{hashlib.sha256(words.encode()).hexdigest()[:16]}"
