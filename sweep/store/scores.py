"""Scores on disk, by adapter and by example: `mlruns/scores/xx/ADAPTER/RULE.jsonl`.

A cache: more examples, another metric or another split of an adapter that is there score only the examples that are missing. Lines
that cannot be read count as missing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.store.paths import Paths


@dataclass(frozen=True, slots=True)
class ScoredExample:
    """What an adapter makes of one example.

    Attributes:
        nats: negative log-likelihood of the expected completion, summed over its tokens.
        answer: what the model answered, or None where it was not asked.
    """

    nats: float
    tokens: int
    answer: str | None


class ScoreStore:
    """Scored examples of adapters.

    Args:
        paths: the store is below their root.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def known(self, adapter: str, rule: str) -> dict[str, ScoredExample]:
        """The examples that were scored under this rule, by the example's key (`tasks.Example.key`).

        Args:
            adapter: the adapter's identity.
            rule: how answers were made, see `rule_key`.
        """
        found: dict[str, ScoredExample] = {}
        try:
            lines = self._file(adapter, rule).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return {}
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                row = json.loads(line)
                if row.pop("check") != _check(row):
                    continue
                nats, answer = float(row["nats"]), row["answer"]
                if math.isfinite(nats) and (answer is None or isinstance(answer, str)):
                    found[str(row["key"])] = ScoredExample(nats, int(row["tokens"]), answer)
        return found

    def add(self, adapter: str, rule: str, scored: Mapping[str, ScoredExample]) -> None:
        """Keeps more scored examples; losses that are not finite are left out."""
        kept = self.known(adapter, rule) | {key: one for key, one in scored.items() if math.isfinite(one.nats)}
        file = self._file(adapter, rule)
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        rows = ({"key": key, "nats": one.nats, "tokens": one.tokens, "answer": one.answer} for key, one in kept.items())
        fresh.write_text("".join(f"{json.dumps({**row, 'check': _check(row)})}\n" for row in rows), encoding="utf-8")
        fresh.replace(file)

    def forget(self, adapter: str) -> None:
        """Drops the scores of an adapter that is trained anew."""
        shutil.rmtree(self._paths.scores(adapter), ignore_errors=True)

    def _file(self, adapter: str, rule: str) -> Path:
        return self._paths.scores(adapter) / f"{rule}.jsonl"


def _check(row: Mapping[str, Any]) -> str:
    """A checksum of a line's contents: what was changed since it was written counts as missing."""
    return hashlib.sha256(json.dumps(dict(row), sort_keys=True).encode()).hexdigest()[:12]


def rule_key(max_new_tokens: int | None, labels: Mapping[str, tuple[int, ...]] | None = None) -> str:
    """A name for how answers are made, safe as a file's: `losses` where none are asked for.

    Args:
        max_new_tokens: tokens that a decoded answer may have; None where no answers are asked for.
        labels: token ids by label, where the likeliest label is the answer.
    """
    if max_new_tokens is None:
        return "losses"
    if not labels:
        return f"decoded-{max_new_tokens}"
    words = json.dumps(sorted((text, list(ids)) for text, ids in labels.items()))
    return f"labels-{hashlib.sha256(words.encode()).hexdigest()[:16]}"
