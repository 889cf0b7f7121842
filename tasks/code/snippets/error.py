"""Error handlers, for a status and for a class of exceptions."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.code import phrasing, words
from tasks.code.rows import Row, row, seen
from tasks.execution import Check

KIND = "error"
_FRAMES = (
    "On {e}, {vp}.", "When {e} comes up, {vp}.", "For {e}, {vp}.", "If a request ends with {e}, {vp}.", "{VP} on {e}.",
    "{VP} in case of {e}.", "Handle {e}: {vp}.", "The {role} complains about {e}. {VP} instead.",
    "{VP} when there is {e}.", "Error page for {e}: {vp}.", "Whenever the app hits {e}, {vp}.",
    "Nobody likes {e}; {vp} then.", "Clients that run into {e}: {vp}.", "Catch {e} and {vp}.",
    "We want our own answer to {e}: {vp}.", "As soon as {e} happens, {vp}.", "{e} looks ugly today. {VP}.",
    "Please {vp} for {e}.", "Write the handler for {e}; it should {vp}.", "After {e} the {role} needs to know: {vp}.",
    "Treat {e} kindly and {vp}.", "Instead of the bare {e}, {vp}.", "In {place}, too, {e} is possible: {vp}.",
)  # fmt: skip
_TEXTS = (
    'say "{t}"', 'reply "{t}"', 'answer with the text "{t}"', 'show "{t}"', 'return "{t}" as plain text',
    'respond with "{t}"', 'tell the client "{t}"', 'print "{t}"',
)  # fmt: skip
_JSONS = (
    'return JSON with {k} "{t}"', 'answer in JSON, {k}: "{t}"', 'send {{"{k}": "{t}"}}',
    'reply with JSON where {k} is "{t}"', 'give a JSON object, {k} = "{t}"', 'respond {{"{k}": "{t}"}} as JSON',
)  # fmt: skip
_MESSAGES = (
    "return its message as JSON under {k}", "pass the problem's message on in JSON as {k}",
    "put the message into {k} of a JSON reply", "reply in JSON, {k} being the message",
    "send the message as JSON, key {k}",
)  # fmt: skip
_SAID = (
    "no such {n}", "no {n} today", "ask about {n}", "we lost the {n}", "{n} are closed", "too many {n}", "{n} moved",
    "all {n} are gone", "check the {n}", "{n} are locked", "see the list of {n}", "mixed up the {n}", "out of {n}",
)  # fmt: skip
_KEYS = ("error", "reason", "detail", "fault", "hint", "info")
_RAISED = ("a {x}", "an uncaught {x}", "any {x}", "a stray {x}")


def make(nouns: Sequence[str], rng: random.Random) -> Row:
    """A handler of errors."""
    is_status = rng.random() < 0.6
    noun = rng.choice(nouns)
    if is_status:
        caught = rng.choice(list(words.MISHAPS))
        name = rng.choice(words.MISHAPS[caught])
        happening = rng.choice(
            (f"a {caught}", f"status {caught}", f"{caught} ({name})", f"error {caught}", f"a {caught} ({name})")
        )
        what, usual = str(caught), caught
        status = rng.choice((400, 404, 503)) if rng.random() < 0.2 else caught
    else:
        what, usual = rng.choice(words.EXCEPTIONS), None
        status = rng.choice((400, 403, 404, 409, 410, 422, 500, 503, 504))
        happening = _with_article(rng.choice(_RAISED).format(x=what))
    said = rng.choice(words.APOLOGIES) if rng.random() < 0.4 else rng.choice(_SAID).format(n=noun)
    key = rng.choice(_KEYS)
    shape = rng.choices(("text", "json", "message"), (5, 5, 3 if is_status else 0))[0]
    written: dict[str, tuple[str, str, str, list[object]]] = {
        "text": (rng.choice(_TEXTS), f"text({said!r}", "", ["text", said]),
        "json": (rng.choice(_JSONS), f"json({{{key!r}: {said!r}}}", "", ["json", {key: said}]),
        "message": (
            rng.choice(_MESSAGES),
            f"json({{{key!r}: problem.message}}",
            "problem",
            ["json", {key: "odd seal"}],
        ),
    }
    action, content, takes, expected = written[shape]
    place = f"/{noun}"
    frame = rng.choice(_FRAMES).replace("{e}", happening)
    action = action.format(t=said, k=key)
    sentence = frame.replace("{vp}", action).replace("{VP}", phrasing.capital(action))
    sentence = sentence.replace("{role}", rng.choice(words.ROLES)).replace("{place}", place)
    is_told = status != usual
    notes = [phrasing.status(status, rng)] if is_told else []
    code = [
        f"@app.error({what})",
        f"def error({takes}):",
        f"    return {content}{f', {status}' if is_told else ''})",
    ]
    raised = f"lambda: fail({what}, 'odd seal')" if is_status else f"lambda: (_ for _ in ()).throw({what}('odd seal'))"
    checks = [
        Check.gives(f"(app.get('/kq')({raised}), {seen('GET /kq')})[1][1:3]", expected),
        Check.gives(
            f"(app.post('{place}/kq')({raised}), app.get('/zz')(lambda: fail(451)), "
            f"[{seen(f'POST {place}/kq')}, {seen('GET /zz')}[0]])[2]",
            [[status, *expected], 451],
        ),
    ]
    return row(KIND, phrasing.joined(sentence, notes, rng), code, checks)


def _with_article(text: str) -> str:
    first, _, rest = text.partition(" ")
    return f"an {rest}" if first == "a" and rest[0] in "AEIOU" else text
