"""Whether the model hub answers: asked once, with a short limit, so that machines without it do not wait."""

from __future__ import annotations

import functools
import os
import threading
import urllib.error
import urllib.request

HUB_SECONDS = 3.0
"""The hub is used only if it answers within this many seconds."""


@functools.lru_cache(maxsize=1)
def hub_answers(seconds: float = HUB_SECONDS) -> bool:
    """Whether the model hub answers within so many seconds, name lookup included; False if switched off."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    answer: list[bool] = []
    # urllib's time limit does not cover the name lookup, so the question is asked in a thread of its own
    asking = threading.Thread(target=lambda: answer.append(_ask(seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    return bool(answer and answer[0])


def _ask(seconds: float) -> bool:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if not endpoint.startswith(("https://", "http://")):
        return False
    try:
        request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 (scheme checked above)
        with urllib.request.urlopen(request, timeout=seconds):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False
