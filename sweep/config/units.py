"""Times and sizes in the notation of people."""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_MOST_SECONDS = 10 * 366 * 86400
_MOST_BYTES = 10**18


def seconds(text: object) -> float:
    """Seconds from `90`, `90s`, `25m`, `1h30m` or `2d`.

    Raises:
        ValueError: the text is not a time, not above zero, or more than ten years.
    """
    value = str(text).strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", value):
        total = float(value)
    elif re.fullmatch(r"(\d+(\.\d+)?[smhd])+", value):
        total = sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smhd])", value))
    else:
        raise ValueError(f"'{text}' is not a time; write seconds, or for example 90s, 25m, 1h30m")
    if total <= 0:
        raise ValueError(f"'{text}' must be above zero")
    if total > _MOST_SECONDS:
        raise ValueError(f"'{text}' is more than ten years; write null for no limit")
    return total


def byte_count(text: object) -> int:
    """Bytes from `4GiB`, `500MB` or a plain number.

    Raises:
        ValueError: the text is not a size, not above zero, or more than any machine has.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?", str(text).strip().lower())
    if not match:
        raise ValueError(f"'{text}' is not a size; write bytes, or for example 4GiB or 500MB")
    total = float(match[1]) * _BYTES[match[2] or "b"]
    if total < 1:
        raise ValueError(f"'{text}' must be above zero")
    if total > _MOST_BYTES:
        raise ValueError(f"'{text}' is more than any machine has; write null for no limit")
    return int(total)


def show_seconds(value: float) -> str:
    """`41 s`, `12 min 5 s` or `1 h 30 min`."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 100:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def show_bytes(value: float) -> str:
    """`0.9 MB`, `168 MB` or `1.2 GB` (powers of ten)."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if value >= size:
            number = value / size
            return f"{number:.1f} {unit}" if number < 100 else f"{number:.0f} {unit}"
    return f"{value:.0f} B"
