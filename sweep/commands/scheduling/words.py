"""The words of `schedule install`: its own keys, and the overrides of the study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sweep.console.suggest import did_you_mean
from sweep.nightly.kinds import kinds

KEYS = (
    "at",
    "deadline",
    "zone",
    "name",
    "kind",
    "notify",
    "environment",
    "catch_up",
    "refresh",
    "since",
    "memory",
    "disk",
    "gpu_memory",
    "dry_run",
)
_SYNONYMS: Mapping[str, str] = {
    "tz": "zone",
    "timezone": "zone",
    "time_zone": "zone",
    "time": "at",
    "start": "at",
    "until": "deadline",
    "end": "deadline",
    "env": "environment",
    "catchup": "catch_up",
    "persistent": "catch_up",
}
_TRUTHS = {"true": True, "false": False}


@dataclass
class Words:
    """What is written for `install`.

    Attributes:
        own: the values of its own keys.
        study: the overrides of the study.
        problems: what is wrong with the words.
        lacks: what this machine lacks for them.
        warnings: what may be wrong and prevents nothing.
    """

    own: dict[str, list[str]] = field(default_factory=dict)
    study: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def one(self, key: str, default: str = "") -> str:
        """The value of a key that may be given once."""
        values = self.own.get(key, [default])
        if len(values) > 1:
            self.problems.append(f"{key}: is given {len(values)} times")
            self.own[key] = values[:1]
        return values[0]

    def truth(self, key: str, default: bool) -> bool:
        """The value of a key that is true or false."""
        text = self.one(key, str(default).lower())
        if text and text not in _TRUTHS:
            self.problems.append(f"{key}={text}: write true or false")
        return _TRUTHS.get(text, default)


def sorted_words(words: Sequence[str]) -> Words:
    """The words, own keys and overrides apart, with what is wrong with them by themselves."""
    said = Words()
    of_kinds = {key for kind in kinds().values() for key in kind.keys}
    for word in words:
        key, sign, value = word.partition("=")
        if word.startswith("-"):
            said.problems.append(f"{word}: flags are not taken here; write KEY=VALUE")
        elif key in _SYNONYMS and sign:
            said.problems.append(f"{word}: there is no key '{key}'; write {_SYNONYMS[key]}={value}")
        elif key in KEYS or key in of_kinds:
            if not value:
                said.problems.append(f"{key}: a value is needed; write {key}=...")
            said.own.setdefault(key, []).append(value)
        else:
            said.study.append(word)
    kind = kinds().get(said.own.get("kind", ["systemd"])[0])
    for key in [key for key in said.own if key not in KEYS]:
        if kind is not None and key not in kind.keys:
            takers = ", ".join(name for name, each in kinds().items() if key in each.keys)
            said.problems.append(f"{key}: is a key of kind={takers}, not of kind={kind.name}")
    said.truth("dry_run", False)
    return said


def with_own_keys(problems: Iterable[str], words: Sequence[str]) -> Iterator[str]:
    """The problems of the study's words; where one names a key that is nearly one of `install`, that is suggested instead.

    Args:
        words: those words.
    """
    known = own_keys()
    for problem in problems:
        word = next((each for each in words if problem.startswith(f"{each}: there is no key ")), "")
        key = word.partition("=")[0]
        near = did_you_mean(key, known) if "." not in key else ""
        yield f"{word}: there is no key '{key}'{near}" if near else problem


def own_keys() -> list[str]:
    """The keys that no study has."""
    return [*KEYS, *dict.fromkeys(key for kind in kinds().values() for key in kind.keys)]
