"""The kfc data set: tables that fit together, and answers that are worked out again from messages and tables."""

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tasks import generation, own_data
from tasks.example import Example
from tasks.generation import SPLITS
from tasks.kfc import DATA

Rows = dict[str, tuple[Example, ...]]
NUMBERS = {
    1: "one a ek oru ekta ondu",
    2: "two do don eradu rendu duto randu",
    3: "three teen mooru moonu tinte moonnu",
    4: "four char",
    5: "five paanch",
    6: "six chhe",
}
SIZES = {"large": "large big bada", "regular": "regular small reg chhota"}
MODES = {
    "takeaway": r"parcel|takeaway|pick up|pack|collect|lene aaunga|leke jaunga",
    "delivery": r"deliver|home|flat 302|drop at|hostel|ghar",
    "dine-in": r"dine in|table|eat here|for here|having it here|yahin|yahi baithe",
}
LEFT_OUT = {"onion": "onion pyaaz", "ice": "ice baraf", "sugar": "sugar cheeni"}
CHECKS = {
    "wheat": "wheat gluten maida gehu",
    "egg": "egg anda ande",
    "milk": "milk dairy doodh",
    "soy": "soy soya",
    "sesame": "sesame til",
    "mustard": "mustard sarson",
    "nuts": "nuts nut badam",
    "veg": "veg vegetarian green hara chicken meat",
}


def table(name: str) -> list[dict[str, str]]:
    with (DATA.parent / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


MENU = {row["item"]: row for row in table("menu")}
PRICES = {(row["item"], row["size"]): row for row in table("price_book")}
TIERS = {row["city"]: row["tier"] for row in table("cities")}
SPOKEN = {form: name for name, row in MENU.items() for form in (name, *row["spoken"].split("; "))}
ITEM = re.compile("|".join(rf"\b{re.escape(form)}s?\b" for form in sorted(SPOKEN, key=len, reverse=True)))


@pytest.fixture(scope="module")
def rows() -> Rows:
    raw = own_data.load(DATA)
    return {"train": raw.train, "validation": raw.validation, "test": raw.test}


def of_kind(rows: Rows, *kinds: str, splits: Sequence[str] = SPLITS) -> Iterator[tuple[Example, Any]]:
    return ((row, json.loads(row.completion)) for split in splits for row in rows[split] if row.kind in kinds)


def items_in(text: str) -> list[str]:
    """The items that a message names, in order."""
    return [SPOKEN.get(form, SPOKEN.get(form.removesuffix("s"), "")) for form in ITEM.findall(text.lower())]


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", text.lower())


def is_said(line: dict[str, Any], text: str) -> bool:
    """Whether a message names the size and number of a line, and what is left out."""
    words = words_of(text)
    number = {str(line["qty"]), *NUMBERS[line["qty"]].split()}
    size = str(line.get("size", "")).split()
    sizes = SIZES.get(line.get("size", ""), "").split()
    has_size = not size or (bool(set(sizes) & set(words)) if sizes else size[0] in words)
    without = line.get("no")
    has_left_out = without is None or bool(set(LEFT_OUT.get(without, without).split()) & set(words))
    return has_size and has_left_out and (line["qty"] == 1 or bool(number & set(words)))


class TestTables:
    def test_menu_and_price_book_have_the_same_items(self) -> None:
        assert set(MENU) == {item for item, _ in PRICES}
        assert len({form for row in MENU.values() for form in row["spoken"].split("; ")} | set(MENU)) == len(SPOKEN)
        assert all(form not in MENU for row in MENU.values() for form in row["spoken"].split("; "))

    def test_prices_rise_with_size_and_with_the_tier_of_the_city(self) -> None:
        for row in PRICES.values():
            assert int(row["metro"]) >= int(row["city"]) >= int(row["town"]) > 0
        for tier in ("metro", "city", "town"):
            of_item = defaultdict(list)
            for (item, _), row in PRICES.items():
                of_item[item].append(int(row[tier]))
            assert all(prices == sorted(set(prices)) for prices in of_item.values())

    def test_nothing_with_egg_or_chicken_is_veg(self) -> None:
        for name, row in MENU.items():
            assert row["diet"] in ("veg", "non-veg")
            assert row["diet"] == "non-veg" or not re.search(r"egg|chicken", row["allergens"] + name)

    def test_combos_are_what_is_in_them_for_less(self) -> None:
        for row in table("combos"):
            parts = [
                re.fullmatch(r"(?:(\d) )?(.+?)(?: (\d+ pc|\d+ ml|large|regular))?", part)
                for part in row["contents"].split("; ")
            ]
            found = [(int(part[1] or 1), part[2], part[3] or "") for part in parts if part]
            combo = MENU[row["combo"]]
            for tier in ("metro", "city", "town"):
                assert int(PRICES[row["combo"], ""][tier]) < sum(
                    n * int(PRICES[item, size][tier]) for n, item, size in found
                )
            inside = {allergen for _, item, _ in found for allergen in MENU[item]["allergens"].split("; ")} - {"none"}
            assert inside == set(combo["allergens"].split("; "))
            assert (combo["diet"] == "veg") == all(MENU[item]["diet"] == "veg" for _, item, _ in found)

    def test_upsells_and_offers_are_of_this_chain(self) -> None:
        for row in table("upsells"):
            assert {row["with"], row["add"]} <= set(MENU)
            assert MENU[row["with"]]["diet"] == "non-veg" or MENU[row["add"]]["diet"] == "veg"
        codes = [row["code"] for row in table("offers")]
        assert len(codes) == len(set(codes))
        for row in table("offers"):
            assert set(row["cities"].split("; ")) <= set(TIERS)
            assert all(day.endswith("day") for day in row["days"].split("; "))


class TestAnswers:
    def test_an_order_has_the_items_of_its_message(self, rows: Rows) -> None:
        for row, answer in of_kind(rows, "order"):
            assert [line["item"] for line in answer["items"]] == items_in(row.prompt), row.prompt
            assert all(is_said(line, row.prompt) for line in answer["items"]), row.prompt
            without_items = ITEM.sub(" ", row.prompt.lower())
            modes = {mode for mode, said in MODES.items() if re.search(said, without_items)}
            assert answer.get("for") in (modes or {None}), row.prompt

    def test_prices_are_those_of_the_city(self, rows: Rows) -> None:
        for row, answer in of_kind(rows, "price"):
            (city,) = [city for city in TIERS if city in row.prompt]
            assert answer["items"]
            for line in answer["items"]:
                assert int(PRICES[line["item"], line.get("size", "")][TIERS[city]]) == line["price"]
                assert f" {line['price']}" in row.prompt
                assert is_said(line, row.prompt)

    def test_the_offer_holds_on_the_day_in_the_city(self, rows: Rows) -> None:
        for row, answer in of_kind(rows, "offer"):
            shown = [offer for offer in table("offers") if offer["code"] in row.prompt]
            assert len(shown) == 3
            holding = [offer for offer in shown if answer["day"] in offer["days"] and answer["city"] in offer["cities"]]
            asked = row.prompt.splitlines()[-2].lower()
            assert answer["day"].lower() in asked
            assert answer["city"].lower() in asked
            right = {"code": holding[0]["code"], "gives": holding[0]["gives"]} if holding else {"code": "none"}
            assert answer == {"city": answer["city"], "day": answer["day"], **right}
            assert len(holding) <= 1

    def test_diets_are_those_of_the_menu(self, rows: Rows) -> None:
        for row, answer in of_kind(rows, "diet"):
            shown = sorted((name for name in MENU if name in row.prompt), key=row.prompt.index)
            check = answer["check"]
            fits = [
                MENU[name]["diet"] == "veg" if check == "veg" else check in MENU[name]["allergens"].split("; ")
                for name in shown
            ]
            assert answer["yes"] == [name for name, fit in zip(shown, fits, strict=True) if fit]
            assert answer["no"] == [name for name, fit in zip(shown, fits, strict=True) if not fit]
            asked = next(line for line in row.prompt.splitlines() if not any(name in line for name in shown))
            assert set(CHECKS[check].split()) & set(words_of(asked)), row.prompt

    def test_the_upsell_is_that_of_the_ordered_item(self, rows: Rows) -> None:
        for row, answer in of_kind(rows, "upsell"):
            rules = [
                rule
                for rule in table("upsells")
                if re.search(
                    rf"\b{rule['with']}\b.*?\b{rule['add']}\b|\b{rule['add']}\b.*?\b{rule['with']}\b", row.prompt
                )
                and re.search(rf"\b{rule['price']}\b", row.prompt)
            ]
            triggers = {rule["with"] for rule in rules}
            last = max(place.end() for rule in rules for place in re.finditer(rf"\b{rule['price']}\b", row.prompt))
            ordered = set(items_in(row.prompt[last:])) or set(items_in(row.prompt.splitlines()[-2]))
            assert answer["with"] in ordered & triggers, row.prompt
            assert {"with": answer["with"], "add": answer["add"], "price": str(answer["price"])} in rules

    def test_what_a_chat_changes_is_said_in_it(self, rows: Rows) -> None:
        for row, answer in of_kind(rows, "change"):
            said = " ".join([*(text for role, text in row.history if role == "user"), row.prompt])
            named = set(items_in(said))
            assert {line["item"] for line in answer["items"]} <= named, row
            assert (row.history[0][0], row.history[-1][0]) == ("user", "assistant")
            noted = items_in(row.history[-1][1])
            if len(noted) > 1:
                gone = set(noted) - {line["item"] for line in answer["items"]}
                assert gone <= set(items_in(row.prompt)), row
                # lines that the last message does not name stay as they were noted
                for line in answer["items"]:
                    if line["item"] not in items_in(row.prompt) and line["item"] in noted and not gone:
                        size = f" {line['size']}" if "size" in line else ""
                        assert f"{line['qty']} {line['item']}{size}".lower() in row.history[-1][1].lower()


class TestSplits:
    @pytest.mark.parametrize("kinds", [("order", "price"), ("diet",)])
    def test_what_is_together_in_one_split_is_in_no_other(self, rows: Rows, kinds: tuple[str, ...]) -> None:
        homes = defaultdict(set)
        for split in SPLITS:
            for _, answer in of_kind(rows, *kinds, splits=[split]):
                names = (
                    [*answer["yes"], *answer["no"]] if "yes" in answer else [line["item"] for line in answer["items"]]
                )
                homes[frozenset(names)].add(split)
        assert {names: splits for names, splits in homes.items() if len(splits) > 1} == {}

    def test_offers_and_rules_are_divided(self, rows: Rows) -> None:
        for kind, key in (("offer", "code"), ("upsell", "add")):
            found = [
                {(answer.get("with"), answer[key]) for _, answer in of_kind(rows, kind, splits=[split])}
                for split in SPLITS
            ]
            shared = (found[0] & found[1]) | (found[0] & found[2]) | (found[1] & found[2])
            assert shared <= {(None, "none")}
            assert all(len(some) >= 6 for some in found)

    def test_every_item_of_an_answer_is_in_training_answers(self, rows: Rows) -> None:
        trained = Counter(
            line["item"]
            for _, answer in of_kind(rows, "order", "change", "price", splits=["train"])
            for line in answer["items"]
        )
        assert set(trained) == set(MENU)
        assert min(trained.values()) >= 20

    def test_answers_are_compact_json_and_rows_are_ascii(self, rows: Rows) -> None:
        for split in SPLITS:
            assert (DATA / f"{split}.jsonl").read_bytes().isascii()
            for row in rows[split]:
                assert json.dumps(json.loads(row.completion), separators=(",", ":")) == row.completion


def test_rows_with_earlier_turns_are_written_as_chats_of_which_the_last_turn_is_learned(tmp_path: Any) -> None:
    asked = Example("And two?", "2", kind="count", history=(("system", "Count."), ("user", "One?"), ("assistant", "1")))
    plain = [Example(f"{number}?", str(number), kind="count") for number in range(9)]
    generation.write({split: [asked, *plain] if split == "train" else plain for split in SPLITS}, tmp_path)
    (tmp_path / "validation.jsonl").unlink()
    (tmp_path / "test.jsonl").unlink()
    _, examples = own_data.examples_of(tmp_path)
    first, *others = examples
    assert (first.prompt, first.completion, first.kind, first.history) == ("And two?", "2", "count", asked.history)
    assert others == plain
