"""Sends a note through Apprise, in a child process that is ended if it takes too long: a service that hangs costs a night nothing else.

The child process gets the addresses through a pipe, so they are in no command line and no file; what it reports is masked.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sweep.nightly.addresses import INSTALL, is_installed, targets
from sweep.nightly.asking import ask
from sweep.nightly.night import Outcome

WAIT_SECONDS = 60.0
"""The longest wait for all services together, which are notified side by side."""

_GRACE_SECONDS = 10.0
"""What the child process gets beside that, to start and to end."""

_TRIES = 2
"""How often messages are sent whose process ended early, as one does that is killed."""

_KINDS: Mapping[Outcome, str] = {
    Outcome.DONE: "success",
    Outcome.UNFINISHED: "info",
    Outcome.SKIPPED: "warning",
    Outcome.MISSED: "warning",
    Outcome.FAILED: "failure",
}
"""What Apprise calls the kinds of message, which many services show as a colour or symbol."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message.

    Attributes:
        to: the service, in words without secrets.
        error: why it was not sent; None if it was.
    """

    to: str
    error: str | None = None


def problems(addresses: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """What is wrong with addresses of morning notes, one text each; empty if nothing is. Contacts no service.

    Args:
        addresses: entries as `sweep.nightly.addresses` describes them.
        environ: the environment that the nights will have.
    """
    if not addresses:
        return []
    if not is_installed():
        return [f"notify: Apprise is not installed, which sends morning notes: {INSTALL}"]
    return targets(addresses, environ)[1]


def send(
    title: str,
    text: str,
    outcome: Outcome,
    addresses: Sequence[str],
    environ: Mapping[str, str] | None = None,
    *,
    seconds: float = WAIT_SECONDS,
    told: Collection[str] = (),
    sent: Callable[[str], None] = lambda receiver: None,
) -> list[Delivery]:
    """Sends a message to every address, and returns what became of each; raises nothing for a service that fails.

    Args:
        text: Markdown; services that show none of it get plain text.
        environ: where `env:NAME` is looked up; by default this process's environment.
        seconds: the longest wait for all of them.
        told: the receivers (`Delivery.to`) that have this message already, and do not get it again.
        sent: called with each receiver as soon as its service has taken the message.
    """
    if not addresses:
        return []
    if not is_installed():
        return [Delivery("notify", f"Apprise is not installed: {INSTALL}")]
    found, wrong = targets(addresses, os.environ if environ is None else environ)
    refused = [Delivery("notify", problem.removeprefix("notify: ")) for problem in wrong]
    receivers = list(_numbered(target.name for target in found))
    named = list(zip(receivers, found, strict=True))
    answers: dict[str, str | None] = dict.fromkeys(told)
    message = {"title": title, "body": text, "kind": _KINDS[outcome], "seconds": seconds}
    otherwise = ""
    for _ in range(_TRIES):
        waiting = [(name, target.address) for name, target in named if name not in answers]
        if not waiting:
            break
        job = {**message, "addresses": [address for _, address in waiting]}

        def heard(line: tuple[int, str | None], asked: Sequence[tuple[str, str]] = waiting) -> None:
            (receiver, _), error = asked[line[0]], line[1]
            answers[receiver] = error
            if error is None:
                sent(receiver)

        reply = ask("sweep.nightly.sending", job, seconds + _GRACE_SECONDS, heard)
        otherwise = reply.problem or "the process that sends messages ended early"
        if reply.late:
            otherwise = f"it did not answer within {seconds:g} s"
            break
    return [Delivery(name, answers.get(name, otherwise)) for name in receivers] + refused


def _numbered(names: Iterable[str]) -> Iterator[str]:
    """The names, numbered where one is repeated: of an address that is given openly only the service is shown."""
    counts: Counter[str] = Counter()
    for name in names:
        counts[name] += 1
        yield name if counts[name] == 1 else f"{name}, number {counts[name]}"
