"""Secrets and e-mail addresses in text, by their form. Where they are is reported; what secrets are, never.

The forms are those that their issuers document. A form is looked for only in text that has the letters it begins with, which costs
next to nothing. What has no form of its own, such as a password in a sentence, is not found.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Pattern:
    """A kind of sensitive text.

    Attributes:
        name: in the plural.
        letters: one of these is part of each.
        sign: a character that all of these have, and little else, so that text without it needs no search for them.
    """

    name: str
    letters: tuple[str, ...]
    form: re.Pattern[str]
    sign: str = ""

    def may_be_in(self, text: str) -> bool:
        """Whether the text has the letters."""
        return self.sign in text and any(letters in text for letters in self.letters)


def _pattern(name: str, form: str, *letters: str) -> Pattern:
    return Pattern(name, letters, re.compile(form), "_" if all("_" in each for each in letters) else "")


_EMAIL = "e-mail addresses"

PATTERNS = (
    # the sign comes first, because a search for it is fast
    _pattern(_EMAIL, r"@(?<=[\w.+%-]@)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b", "@"),
    _pattern("private keys", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----", "PRIVATE KEY"),
    _pattern("AWS access keys", r"(?:AKIA|ASIA)(?<![A-Z0-9]....)[A-Z0-9]{16}\b", "AKIA", "ASIA"),
    _pattern(
        "GitHub tokens",
        r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{40}",
        *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    _pattern("GitLab tokens", r"glpat-[\w-]{20}", "glpat-"),
    _pattern("Slack tokens", r"xox[abeoprs]-[A-Za-z0-9-]{10,}", "xox"),
    _pattern("Google API keys", r"AIza[\w-]{35}", "AIza"),
    _pattern("Hugging Face tokens", r"hf_[A-Za-z]{30,}", "hf_"),
    _pattern("OpenAI and Anthropic keys", r"sk-(?<!\w...)(?:proj-|ant-|svcacct-)?[\w-]{20,}", "sk-"),
    _pattern("Stripe keys", r"[rs]k_live_[A-Za-z0-9]{16,}", "k_live_"),
    _pattern("JSON web tokens", r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", "eyJ"),
    _pattern("passwords in addresses", r"://[^\s:/@]+:[^\s/@]+@[\w.-]", "://"),
)


def rows_with(texts: Sequence[str]) -> dict[str, list[int]]:
    """The places of the texts in which each kind occurs, by its name; kinds that do not occur are left out."""
    whole = "\n".join(texts)
    present = [pattern for pattern in PATTERNS if pattern.may_be_in(whole)]
    starts = list(accumulate((len(text) + 1 for text in texts), initial=0)) if present else []
    found = {
        pattern.name: sorted({bisect_right(starts, match.start()) - 1 for match in pattern.form.finditer(whole)})
        for pattern in present
    }
    return {name: places for name, places in found.items() if places}


def has_any(text: str) -> bool:
    """Whether any kind occurs in the text."""
    return bool(rows_with([text]))


def masked(text: str) -> str:
    """The text with keys, tokens and passwords replaced by `***`. E-mail addresses stay: data about contacts would not be recognized."""
    for pattern in PATTERNS:
        if pattern.name != _EMAIL and pattern.may_be_in(text):
            text = pattern.form.sub("***", text)
    return text
