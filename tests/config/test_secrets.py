"""No account, password or token of an address reaches the configuration that is kept with records."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.config.app import composed_plan
from sweep.config.secrets import mask

letters = string.ascii_letters + string.digits
words = st.text(letters, min_size=6, max_size=12)
passwords = st.text(letters + "@:/?#%&=+!", max_size=12).map(lambda text: f"Secret{text}")


@given(st.sampled_from(["postgresql", "mysql+pymysql", "https"]), words, passwords, words)
def test_account_is_masked_whatever_the_password_holds(scheme: str, user: str, password: str, host: str) -> None:
    shown = mask(f"{scheme}://{user}:{password}@{host}.example:5432/database")
    assert shown == f"{scheme}://***@{host}.example:5432/database"


@given(words, words)
def test_token_of_the_query_is_masked(host: str, token: str) -> None:
    assert mask(f"https://{host}.example/api?token=Secret{token}") == f"https://{host}.example/api?***"


@pytest.mark.parametrize(
    "url", ["sqlite:////home/me@work/mlflow.db", "http://127.0.0.1:5000", "memory://", "postgresql://host/database", ""]
)
def test_address_without_secrets_stays(url: str) -> None:
    assert mask(url) == url


def test_address_inside_a_text_is_masked() -> None:
    told = mask("cannot open postgresql://user:Secret@host/db?sslkey=Secret (is it there?)")
    assert told == "cannot open postgresql://***@host/db?*** (is it there?)"


@pytest.mark.parametrize("key", ["tracking.uri", "storage.url"])
@pytest.mark.parametrize("url", ["postgresql://user:Secret@host/db", "https://host/api?token=Secret"])
def test_plan_uses_the_address_and_keeps_it_masked(key: str, url: str) -> None:
    plan = composed_plan([f"{key}='{url}'"])
    used = plan.tracking_uri if key == "tracking.uri" else plan.storage_url
    assert used == url
    assert "Secret" not in plan.config
    assert mask(url) in plan.config


def test_address_from_the_environment_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADE_UP_ADDRESS", "postgresql://user:Secret@host/db")
    plan = composed_plan(["tracking.uri=${oc.env:MADE_UP_ADDRESS}"])
    assert plan.tracking_uri == "postgresql://user:Secret@host/db"
    assert "Secret" not in plan.config
