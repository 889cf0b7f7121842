"""The child process of `sweep.nightly.notify`: reads a message and addresses, sends it to all side by side, reports each at once."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, NoReturn

_LONGEST = 300
"""Characters of a service's error that are reported."""


def main() -> NoReturn:
    """Reads one job from standard input, writes a line `[number, error or null]` for each address, and ends the process."""
    job: dict[str, Any] = json.load(sys.stdin)
    reports, lock = sys.stdout, threading.Lock()
    # a service that prints does not disturb the reports
    sys.stdout = sys.stderr

    def send(number: int, address: str) -> None:
        error = _sent(job, address)
        with lock:
            print(json.dumps([number, error]), file=reports, flush=True)

    threads = [threading.Thread(target=send, args=each, daemon=True) for each in enumerate(job["addresses"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # everything is reported: nobody waits for the threads of a service that hangs
    os._exit(0)


def _sent(job: dict[str, Any], address: str) -> str | None:
    """Sends the message to one service; returns what went wrong, without secrets, or None."""
    from apprise import Apprise, AppriseAsset, NotifyFormat, OverflowMode
    from apprise.result import AppriseResultStatus

    from sweep.nightly.addresses import secrets_of

    # nothing is stored on disk, and a text is sent as it is
    asset = AppriseAsset(storage_mode="memory", allow_templates=False)
    service = Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    if service is None or isinstance(service, dict):
        return "the address cannot be used"
    if "overflow=" not in address:  # a note that is too long for a service comes in parts, and is not refused
        service.overflow_mode = OverflowMode.SPLIT
    sender = Apprise(service, asset=asset)
    try:
        result = sender.notify(
            title=job["title"],
            body=job["body"],
            notify_type=job["kind"],
            body_format=NotifyFormat.MARKDOWN,
            interpret_escapes=False,
            timeout=job["seconds"],
        )
    except Exception as error:  # any of some two hundred services' libraries
        reason = f"{type(error).__name__}: {error}"
    else:
        if result:
            return None
        said = dict.fromkeys(entry.message.strip() for entry in result.logs())
        if result.status is AppriseResultStatus.TIMEOUT:
            return f"it did not answer within {job['seconds']:g} s"
        reason = " ".join(said) or "it refused the message"
    for secret in sorted(secrets_of(service, address), key=len, reverse=True):
        reason = reason.replace(secret, "***")
    return " ".join(reason.split())[:_LONGEST]


if __name__ == "__main__":
    main()
