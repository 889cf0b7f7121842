"""What `--help` and `help KEY` print."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.commands.help import COMMANDS, MOST_USED, all_keys, explained, screen, show
from sweep.config.keys import key_help, section_help
from sweep.errors import ConfigurationError

CONF = Path(__file__).parents[2] / "conf"


def test_the_screen_fits_a_terminal() -> None:
    lines = list(screen())
    assert len(lines) <= 46
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert all(f"\n  {name} " in text for name in (*COMMANDS, *MOST_USED))


def test_all_keys_have_one_line_each() -> None:
    lines = list(all_keys(width=None))
    for key, about in key_help().items():
        (line,) = [line for line in lines if line.startswith(f"  {key}=")]
        assert line.endswith(about.text)
    assert max(map(len, all_keys(width=80))) <= 80


@pytest.mark.parametrize("key", list(key_help()))
def test_every_key_is_explained(key: str) -> None:
    text = "\n".join(explained(key))
    assert text.startswith(f"{key}\n")
    assert "\n  Type     " in text
    assert f"\n  Example  {key}=" in text


def test_a_key_has_its_limits_and_choices() -> None:
    assert list(explained("lora.r")) == [
        "lora.r",
        f"  {key_help()['lora.r'].text}",
        "",
        "  Type     whole number",
        "  Default  16",
        "  Limits   from 1 to 4096",
        "  Example  lora.r=16",
    ]
    assert "  Choices  gain, loss, metric" in list(explained("certify.margin_of"))


@pytest.mark.parametrize("section", list(section_help()))
def test_every_section_lists_its_keys(section: str) -> None:
    text = "\n".join(explained(section))
    assert text.startswith(f"{section}: ")
    assert f"  {section}." in text


def test_a_group_lists_its_options() -> None:
    studies = sorted(file.stem for file in (CONF / "study").glob("*.yaml"))
    assert f"  Choose with +study=NAME: {', '.join(studies)}" in list(explained("study"))
    assert "  Choose with quant=NAME: fp4, int8, nf4, none" in list(explained("quant"))


@pytest.mark.parametrize(
    ("word", "text"),
    [("rank", "did you mean 'lora.r'?"), ("trials", "did you mean 'search.trials'?"), ("qqq.zz", "lists all")],
)
def test_an_unknown_word_gets_a_suggestion(word: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text.replace("?", r"\?")):
        list(explained(word))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert show([name]) == 0
    assert capsys.readouterr().out.startswith(("Usage: ", "python -m sweep.doctor", "Goldilocks"))
