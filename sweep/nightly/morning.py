"""What happens after a night has been recorded: the morning note is written and sent, and the page over all nights renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from sweep.console.system_errors import explained
from sweep.errors import GoldilocksError
from sweep.nightly.ledger import Ledger
from sweep.nightly.mlflow_note import keep_in_mlflow
from sweep.nightly.night import Night
from sweep.nightly.note import as_message, delivered, linked_from, named_on_this_machine, note, note_id, title
from sweep.nightly.notify import Delivery, send
from sweep.store.paths import Paths
from sweep.store.whole_file import replace_text


def after(
    night: Night,
    ledger: Ledger,
    paths: Paths,
    notify: Sequence[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    tracking_uri: str | None = None,
) -> str:
    """Writes the note on a recorded night, renews the page over all nights, and sends the note.

    The note is written before it is sent, and once more with what became of the messages. Calling this again for the same night
    replaces the note, and sends it to those alone who did not get it: the ledger has each receiver as soon as its service has taken the
    message. Only if a process is killed while a message is on its way, the message is sent there once more, with the same number.

    Args:
        notify: addresses as `sweep.nightly.addresses` describes them.
        environ: where the addresses `env:NAME` are looked up; by default this process's environment.
        tracking_uri: `tracking.uri` of the study, None for the project's own database: the note is kept with the sweep's run, too.

    Returns:
        what went wrong, one line each; empty if nothing did. Neither a service that fails nor a full disk raises.
    """
    trouble: list[str] = []
    recorded: list[Night] = []
    _try("the ledger of nights could not be read", lambda: recorded.extend(ledger.nights(night.schedule)), trouble)
    earlier = [each for each in recorded if each.study == night.study and _order(each) < _order(night)]
    files = _files(night, recorded, paths)
    _write(files, night, earlier, paths, (), trouble)
    _try("the page over all nights could not be written", lambda: _renew_page(ledger, paths), trouble)
    deliveries = _send(night, note(night, earlier, paths, named_on_this_machine), notify, environ, ledger, trouble)
    trouble += _lost(deliveries)
    if deliveries:
        _write(files, night, earlier, paths, deliveries, trouble)
    if files[0].is_file():
        reason = keep_in_mlflow(night, files[0], title(night), paths, tracking_uri)
        trouble += [f"the morning note is not with the sweep's run in MLflow: {reason}"] if reason else []
    return "\n".join(dict.fromkeys(trouble))


def _send(
    night: Night,
    text: str,
    notify: Sequence[str],
    environ: Mapping[str, str] | None,
    ledger: Ledger,
    trouble: list[str],
) -> list[Delivery]:
    """Sends the note to those who do not have it yet."""
    number = note_id(night)
    told: set[str] = set()
    if notify:
        _try("the ledger of nights does not say who has the note", lambda: told.update(ledger.told(number)), trouble)

    def sent(receiver: str) -> None:
        _try(f"that {receiver} has the note was not recorded", lambda: ledger.add_told(number, receiver), trouble)

    return send(title(night), as_message(text, number), night.outcome, notify, environ, told=told, sent=sent)


def _files(night: Night, recorded: Sequence[Night], paths: Paths) -> list[Path]:
    """Where the note is written: among the nights, and beside the study's report if it has one."""
    same_night = [each for each in recorded if each.date == night.date]
    is_first = min((*same_night, night), key=_order).study == night.study
    among_nights = paths.night_note(night.schedule, night.date, None if is_first else night.study)
    beside_report = paths.morning_note(night.study)
    return [among_nights, *([beside_report] if beside_report.parent.is_dir() else [])]


def _order(night: Night) -> tuple[str, float]:
    return night.date, night.started


def _write(
    files: Sequence[Path],
    night: Night,
    earlier: Sequence[Night],
    paths: Paths,
    deliveries: Sequence[Delivery],
    trouble: list[str],
) -> None:
    for file in files:
        text = f"{note(night, earlier, paths, linked_from(file.parent))}{delivered(deliveries)}"
        _try("the morning note could not be written", partial(_write_one, file, text), trouble)


def _write_one(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, text)


def _renew_page(ledger: Ledger, paths: Paths) -> None:
    from sweep.nightly.page import write_page

    write_page(ledger.nights(), paths)


def _lost(deliveries: Sequence[Delivery]) -> Iterator[str]:
    for delivery in deliveries:
        if delivery.error is not None:
            yield f"the morning note was not sent to {delivery.to}: {delivery.error}"


def _try(what_failed: str, act: Callable[[], object], trouble: list[str]) -> None:
    """Adds to the trouble what fails, for whatever reason."""
    try:
        act()
    except (OSError, GoldilocksError) as error:
        lack = explained(error) if isinstance(error, OSError) else error
        trouble.append(f"{what_failed}: {lack or error}")
    except Exception as error:
        trouble.append(f"{what_failed}: {error!r}")
