"""Where morning notes go: addresses of services in Apprise's notation (https://appriseit.com/services), checked before they are used.

An entry is one of

    env:NAME     the environment variable NAME holds the address, or several, one a line
    file:PATH    a file holds them, one a line; lines that begin with # are comments. No other user may read it
    ADDRESS      the address itself, if it contains no secret: mailto://mail.example.org?from=...&to=...

An entry may be stored and shown; an address that comes from the environment or a file never is.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sweep.console.suggest import did_you_mean

if TYPE_CHECKING:
    from apprise import NotifyBase

SERVICES = "https://appriseit.com/services"
INSTALL = "install the extra `notify`: pip install 'goldilocks-lora[notify]'"

_FROM_ENVIRONMENT, _FROM_FILE = "env:", "file:"
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,19})://")
_ADDS = re.compile(r"[?&](\+|%2B|-|:)[^=&]+=", re.IGNORECASE)
"""Headers and parameters of one's own in the query of a webhook."""
_TOKEN = re.compile(r"(?=[^/?&=]*[0-9])[A-Za-z0-9_-]{16,}")
"""A part of a path that is long and has a digit counts as a token: a webhook's path is often its secret."""
_SEPARATORS = re.compile(r"[/?&=:@#]+")
_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class Target:
    """A service that a note is sent to.

    Attributes:
        name: what may be shown of it: its entry, and the service.
        address: as Apprise takes it; may hold secrets.
    """

    name: str
    address: str = field(repr=False)


def targets(entries: Sequence[str], environ: Mapping[str, str]) -> tuple[list[Target], list[str]]:
    """The services that the entries name, and what is wrong with the others, one text each; contacts none of them."""
    found: list[Target] = []
    wrong: list[str] = []
    for entry in entries:
        shown, addresses, problem = _read(entry.strip(), environ)
        if problem is not None:
            wrong.append(f"notify: {shown}: {problem}")
            continue
        for number, address in enumerate(addresses, start=1):
            name = shown if len(addresses) == 1 else f"{shown}, line {number}"
            target = _checked(name, address, given_openly=address == entry.strip())
            if isinstance(target, Target):
                found.append(target)
            else:
                wrong.append(f"notify: {name}: {target}")
    return found, wrong


def lies_outside(entry: str) -> bool:
    """Whether an environment variable or a file holds the address: the words alone do not say whether it can be used."""
    entry = entry.strip()
    return entry.startswith((_FROM_ENVIRONMENT, _FROM_FILE)) and not entry.startswith("file://")


def is_installed() -> bool:
    """Whether Apprise is there, which the extra `notify` brings."""
    from importlib.util import find_spec

    return find_spec("apprise") is not None


def secrets_of(service: NotifyBase, address: str) -> set[str]:
    """The parts of an address that must not be shown: what Apprise hides of it, and long parts of a path."""
    open_parts = set(_SEPARATORS.split(unquote(service.url(privacy=True))))
    hidden = set(_SEPARATORS.split(unquote(service.url(privacy=False)))) - open_parts
    return {part for part in hidden | _tokens(address) if len(part) >= _SHORTEST_SECRET}


def _read(entry: str, environ: Mapping[str, str]) -> tuple[str, list[str], str | None]:
    """What may be shown of an entry, its addresses, and why there are none."""
    if entry.startswith(_FROM_ENVIRONMENT):
        name = entry.removeprefix(_FROM_ENVIRONMENT)
        text = environ.get(name, "")
        problem = f"the environment variable {name} is not set" if not text.strip() else None
        return entry, _lines(text), problem
    if lies_outside(entry):
        return (entry, *_from_file(Path(entry.removeprefix(_FROM_FILE)).expanduser()))
    scheme = _SCHEME.match(entry)
    if scheme is None:
        problem = f"this is no address: write SERVICE://..., env:NAME or file:PATH (services: {SERVICES})"
        return "an entry without a service", [], problem
    return f"{scheme['scheme']}://...", [entry], None


def _from_file(file: Path) -> tuple[list[str], str | None]:
    try:
        text = file.read_text(encoding="utf-8")
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        return [], f"the file cannot be read: {why}"
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return [], f"other users may read the file, which holds secrets: chmod 600 {file}"
    lines = _lines(text)
    return lines, None if lines else "the file holds no address"


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _checked(name: str, address: str, *, given_openly: bool) -> Target | str:
    """The target, or what is wrong with the address, in words without the address."""
    scheme = _SCHEME.match(address)
    if scheme is None:
        return f"it holds no address: SERVICE://... (services: {SERVICES})"
    service, known = _service(address)
    if service is None and scheme["scheme"].lower() not in known:
        near = did_you_mean(scheme["scheme"].lower(), sorted(known))
        which = f"'{scheme['scheme']}'" if given_openly else "of that name"
        return f"there is no service {which}{near} (services: {SERVICES})"
    if service is None:
        return f"the address is not complete; it is written {known[scheme['scheme'].lower()]} ({SERVICES})"
    if given_openly and _has_secret(service, address):
        return (
            "the address holds a secret, which would be stored and shown: put it into an environment variable and write "
            "env:NAME, or into a file that only you can read and write file:PATH"
        )
    service_name = str(service.service_name)
    return Target(f"{name} ({service_name})" if service_name not in name else name, address)


def _service(address: str) -> tuple[NotifyBase | None, Mapping[str, str]]:
    """Apprise's object for an address, None if it cannot be used; and how each service's address is written."""
    import logging

    from apprise import Apprise
    from apprise.manager_plugins import NotificationManager

    # its messages are for its own command line, and hold parts of addresses
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    service = Apprise.instantiate(address, suppress_exceptions=True)
    if service is not None and not isinstance(service, dict):
        return service, {}
    manager = NotificationManager()
    forms = {
        str(scheme): str(manager[scheme].templates[0]).replace("{schema}", str(scheme))
        for scheme in manager.schemas()
        if manager[scheme].templates
    }
    return None, forms


def _has_secret(service: NotifyBase, address: str) -> bool:
    hides = service.url(privacy=True) != service.url(privacy=False)
    return hides or bool(_ADDS.search(address)) or bool(_tokens(address))


def _tokens(address: str) -> set[str]:
    """Parts of the path that look like tokens."""
    path = address.partition("://")[2].partition("?")[0].partition("/")[2]
    return {part for part in unquote(path).split("/") if _TOKEN.fullmatch(part)}


def environment_names(entries: Sequence[str]) -> Iterator[str]:
    """The environment variables that the entries name, which whoever starts the nights must set."""
    for entry in entries:
        if entry.strip().startswith(_FROM_ENVIRONMENT):
            yield entry.strip().removeprefix(_FROM_ENVIRONMENT)
