"""Secrets and e-mail addresses are found by their form, and secrets are never shown."""

from __future__ import annotations

import pytest

from tasks.sensitive import PATTERNS, has_any, masked, rows_with

# put together here, so that no scanner of this repository takes them for real ones
SECRETS = {
    "e-mail addresses": "ann.b+c@mail.example.co.uk",
    "private keys": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "AWS access keys": "AKIA" + "IOSFODNN7EXAMPLE",
    "GitHub tokens": "ghp_" + "a1B2" * 9,
    "GitLab tokens": "glpat-" + "abc_" * 5,
    "Slack tokens": "xoxb-" + "123456789012-abc",
    "Google API keys": "AIza" + "a1B2-" * 7,
    "Hugging Face tokens": "hf_" + "aBcDe" * 7,
    "OpenAI and Anthropic keys": "sk-ant-" + "api03-a1B2c3D4e5F6g7",
    "Stripe keys": "sk_live_" + "a1B2" * 6,
    "JSON web tokens": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0In0." + "abcDEF12345",
    "passwords in addresses": "postgresql://ann:s3cret@db.example/x",
}
ORDINARY = (
    "Meet me @ six, or write to user@localhost; ratings of 4@5 are fine.",
    "AKIAS is a name, task-oriented and risk-averse are words, eyJ is nothing.",
    "https://example.org:8080/a@b and http://user@localhost/",
    "def ghp_(x): return hf_hub_download(x, sk_live_=1)",
    "public key: -----BEGIN PUBLIC KEY-----",
)


def test_every_pattern_has_an_example() -> None:
    assert list(SECRETS) == [pattern.name for pattern in PATTERNS]


@pytest.mark.parametrize("name", SECRETS)
def test_it_is_found_and_masked(name: str) -> None:
    texts = ["nothing", f"here is {SECRETS[name]}, keep it", "nothing", f"{SECRETS[name]}\nand {SECRETS[name]}"]
    assert rows_with(texts)[name] == [1, 3]
    assert has_any(texts[1])
    if name == "e-mail addresses":
        assert masked(texts[3]) == texts[3]
        return
    assert not has_any(masked(texts[1]))
    assert SECRETS[name] not in masked(texts[3])


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_not(text: str) -> None:
    assert rows_with([text]) == {}
    assert masked(text) == text


def test_of_many_texts() -> None:
    assert rows_with([]) == {}
    assert rows_with(["a@b.de", "", "c@d.fr"]) == {"e-mail addresses": [0, 2]}
    assert masked("Contact:ann.b@example.org, x-GITHUB".replace("GITHUB", SECRETS["GitHub tokens"])) == (
        "Contact:ann.b@example.org, x-***"
    )
