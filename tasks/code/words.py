"""The words that instructions are made of. Nouns are divided over the splits; the rest is in all of them."""

from __future__ import annotations


def _each(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = _each(
    "orders tickets books parcels rooms boats lamps coins plants songs bikes trains trucks farms barns wells pumps tools nails "
    "ropes sails tents maps lakes trails hikers guides teams players games scores clubs courts pools lanes laps events venues "
    "seats shows films actors scenes posters albums bands artists museums halls tours guests hotels meals menus cooks recipes "
    "spoons plates cups jars bakers cakes apples pears plums grains seeds crops fields tractors vans stops drivers riders fares "
    "cards gifts toys dolls puzzles kites shirts coats boots gloves hats belts rings gems stones bricks tiles doors floors walls "
    "roofs beams cranes permits surveys forms letters stamps drafts notes memos reports charts tables invoices bills loans banks "
    "accounts grants donors patients wards nurses doctors clinics samples devices sensors meters valves pipes motors engines "
    "rockets robots drones cameras frames mirrors clocks timers alarms keys locks safes vaults guards badges lockers "
    "desks chairs printers scanners folders pages chapters poems novels authors editors writers readers courses lessons pupils "
    "students teachers schools exams grades islands harbors piers docks ships crews captains crates pallets"
)
"""Plurals that end in s; a handler is called as its route's last one."""

AREAS = _each(
    "admin shop api depot lab desk office public internal mobile portal archive garden north south v1 v2 v3 beta store"
)
WHOLE = _each("number id year page row seat floor size count day week box shelf level batch line")
TEXTUAL = _each("name slug city color sku lang tag owner brand region title kind street model")
DECIMAL = _each("weight price rate length width dose depth height")
STATES = _each(
    "ready packed open closed sold booked late found checked sent lost new waiting paid cancelled shipped hidden empty full "
    "broken clean active idle locked live"
)
HEADERS = _each(
    "Unit Region Shard Source Tier Batch Depot Team Build Zone Trace Origin Owner Stage Channel Queue Rack Site"
)
VALUES = _each(
    "kg north blue beta slow cold gold west spring seven daily quiet fast amber green east third plain winter solo 12 40 7"
)
COOKIES = _each("theme lang seen visit cart mode plan tour badge track view last stock")
SECRETS = _each("Key Token Pass Client Device Agent Secret License")
FIELDS = _each(
    "title seat name size color price weight city owner date phone note brand model length level email street amount reason "
    "comment height rating topic summary language priority start end"
)
SWITCHES = _each("full short archived verbose raw draft exact open sorted nested")
COUNTED = _each("page limit offset depth year level floor size week rows step")
CHOSEN = {
    "sort": ("name", "date", "price", "size"), "order": ("asc", "desc"), "lang": ("en", "fr", "de"), "unit": ("kg", "cm", "lb"),
    "view": ("list", "grid", "map"), "state": ("open", "closed", "any"), "color": ("red", "blue", "grey"),
    "format": ("short", "long", "plain"), "zone": ("north", "south", "east"), "mode": ("fast", "safe", "demo"),
}  # fmt: skip
"""Query parameters with a text as default."""
MISHAPS = {
    400: ("bad request", "malformed request"), 401: ("not signed in", "unauthorized"), 403: ("forbidden", "no access"),
    404: ("not found", "no such page"), 405: ("wrong method", "method not allowed"), 409: ("conflict", "edit conflict"),
    410: ("gone", "removed for good"), 415: ("unsupported media type", "wrong content type"),
    418: ("teapot", "only tea here"), 422: ("unprocessable", "failed validation"), 429: ("too many requests", "rate limit hit"),
    500: ("server error", "crash"), 503: ("unavailable", "down for maintenance"),
}  # fmt: skip
"""Error statuses, and how people call them."""
EXCEPTIONS = _each(
    "KeyError ValueError LookupError TimeoutError IndexError PermissionError ZeroDivisionError OverflowError ConnectionError "
    "TypeError ArithmeticError FileNotFoundError"
)
APOLOGIES = (
    "nothing here", "try again later", "ask the front desk", "we lost that one", "no luck this time", "not for you",
    "please slow down", "wrong door", "come back tomorrow", "that is gone", "we are closed", "sign in first", "check your input",
    "this is not allowed", "no such thing", "the line is busy", "something broke", "back in an hour", "out of stock",
    "call the office", "bad data", "not yet", "too fast", "moved away",
)  # fmt: skip
ROLES = (
    "warehouse", "front end", "mobile app", "billing team", "night shift", "support desk", "data team", "partner site", "sales team",
    "kiosk", "field crew", "test bench", "web shop", "call centre", "search page", "intern", "dashboard", "reporting job",
)  # fmt: skip
METHODS_WITH_BODY = ("post", "post", "put", "patch")


def singular(noun: str) -> str:
    """One of them."""
    return noun.removesuffix("s")
