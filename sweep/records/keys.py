"""What the configuration says about a field: its meaning and its limits, written beside the field.

A field annotated as `steps: Annotated[int, Key("...")] = 100` is a key of the configuration. Its type, default, meaning and limits
are stated there and nowhere else; `sweep.config.keys` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

_WORDS = {"0": "zero", "1": "one"}


@dataclass(frozen=True, slots=True)
class Limit:
    """The smallest and the largest value of a number, or of each number in a list.

    Upper limits lie far beyond any use: they turn a slip of the keyboard into a message before memory or hours are spent on it.

    Attributes:
        above: the number must be greater than `low`, not equal to it.
    """

    low: float
    high: float
    above: bool = False

    def allows(self, value: float) -> bool:
        """Whether the number is within the limits; NaN is not."""
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        """The limits as they follow "must be"."""
        low, high = (str(int(end)) if end == int(end) and end < 1e15 else f"{end:g}" for end in (self.low, self.high))
        return f"above {_WORDS.get(low, low)} and at most {high}" if self.above else f"from {low} to {high}"


@dataclass(frozen=True, slots=True)
class Key:
    """Marks a field as a key of the configuration.

    Attributes:
        text: the meaning in one line, as `help KEY` shows it.
        limit: for numbers and lists of numbers.
        choices: the words that the key takes; empty if any value may be given.
        example: a value worth showing, as a person would type it.
        null: the value that null stands for, if the field's type has no None.
        kind: the values it takes in words, if the field's type is Any.
    """

    text: str
    limit: Limit | None = None
    choices: tuple[str, ...] = ()
    example: str | None = None
    null: str | None = None
    kind: str | None = None


RANK = Limit(1, 4096)
ALPHA = Limit(0, 4_096_000, above=True)
ALPHA_RATIO = Limit(0, 1000, above=True)
DROPOUT = Limit(0, 0.999)
LEARNING_RATE = Limit(0, 3e38, above=True)
"""The range of 32-bit floats: which rate diverges is for training to find out."""
EXAMPLES = Limit(1, 10_000_000)
