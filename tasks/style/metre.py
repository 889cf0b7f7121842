"""The metre of the verse: how many syllables a line has. Iambic tetrameter has eight."""

from __future__ import annotations

import re

TETRAMETER = 8

_WORD = re.compile(r"[a-z']+")
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT_ED = re.compile(r"(?<![td])(?<![^aeiouyl]l)ed$")
_SILENT_ES = re.compile(r"(?<![sxzcg])(?<!sh)(?<!ch)(?<![^aeiouyl]l)es$")
_SILENT_E = re.compile(r"(?<![^aeiouy]l)e$")

_EXCEPTIONS = {
    word: count
    for count, words in (
        (1, "plague prayer"),
        (
            2,
            "barefoot being beyond bridegroom bridesmaids corpse's dying evening every forehead lately latest naked poet prisoners "
            "quiet sable someone spectre traveller useless",
        ),
        (3, "nightingale violin"),
    )
    for word in words.split()
}


def syllables(line: str) -> int:
    """The syllables of a line: groups of vowels in its words, without silent endings, and exceptions by a table."""
    return sum(map(_of_word, _WORD.findall(line.lower().replace("-", " "))))


def last_word(line: str) -> str:
    """The word that a line rhymes on."""
    return str(_WORD.findall(line.lower())[-1])


def _of_word(word: str) -> int:
    if word in _EXCEPTIONS:
        return _EXCEPTIONS[word]
    bare = word.removesuffix("'s").replace("'", "")
    heard = bare
    if len(bare) > 2:
        heard = _SILENT_ED.sub("", bare)
        heard = _SILENT_ES.sub("s", heard)
        heard = _SILENT_E.sub("", heard) if heard == bare else heard
    return max(1, len(_VOWELS.findall(heard)))
