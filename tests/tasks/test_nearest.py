"""The answer of the most similar training example."""

from tasks import Example
from tasks.nearest import nearest_answers, nearest_table

TRAIN = [Example("where is the red box", "here"), Example("when does the shop open", "six")]


def test_the_most_similar_prompt_answers() -> None:
    asked = [Example("the shop, when is it open", "six"), Example("a red box", "there"), Example("zebra", "six")]
    assert nearest_answers(TRAIN, asked) == ["six", "here", "here"]
    assert nearest_answers(TRAIN, []) == []


def test_earlier_messages_count() -> None:
    history = (("user", "tell me about the shop"), ("assistant", "it opens soon"))
    assert nearest_answers(TRAIN, [Example("when", "six", history=history)]) == ["six"]


def test_without_words_the_first_answers() -> None:
    assert nearest_answers([Example("?", "a"), Example("!", "b")], [Example("!", "b")]) == ["a"]


def test_the_card_s_table_has_all_and_each_kind() -> None:
    asked = [Example("red box", "here", kind="place"), Example("open shop", "seven", kind="time")]
    assert nearest_table("exact_match", TRAIN, asked).splitlines()[2:] == [
        "| all | 0.500 |",
        "| place | 1.000 |",
        "| time | 0.000 |",
    ]
