"""Sentences with a class: opinions on films and products, phrases, plots, questions.

Opinions concede the opposite or are negated, so that a classifier that counts words is right often,
not always. Their words are in `opinions.yaml`.
"""

import random
from importlib import resources

from dalr.datasets.embedded.captions import article
from dalr.yaml_text import parse_yaml

WORDS: dict[str, list[str]] = parse_yaml(
    resources.files(__package__).joinpath("opinions.yaml").read_text("utf-8"), "opinions.yaml"
)


def film_review(rng: random.Random, good: bool) -> str:
    """One sentence on a film; its verdict is `good` though it may concede the opposite."""
    words, opposites = _sided("words", good)
    word, second = rng.sample(words, 2)
    part, other = rng.sample(WORDS["film_parts"], 2)
    film, verdict, concession = (
        rng.choice(WORDS["films"]),
        rng.choice(_sided("verdicts", good)[0]),
        rng.choice(opposites),
    )
    return rng.choice(
        (
            f"{article(word)} and {second} {film} .",
            f"the {film} is {verdict} .",
            f"despite the {concession} {part} , this {film} is {word} .",
            f"the {part} is {concession} , but the {film} as a whole is {verdict} .",
            f"there is nothing {concession} about the {word} {part} .",
            f"never {concession} , the {film} has {article(word)} {part} and makes {second} use of its {other} .",
            f"what could have been {article(concession)} {film} turns out to be {word} .",
            f"i found the {part} {word} and the {other} {second} .",
        )
    )


def product_review(rng: random.Random, good: bool) -> str:
    """One sentence on a product."""
    claims, others = (WORDS["praise"], WORDS["blame"]) if good else (WORDS["blame"], WORDS["praise"])
    product = rng.choice(WORDS["products"])
    claim, second = rng.sample(claims, 2)
    ending = rng.choice(_sided("endings", good)[0])
    return rng.choice(
        (
            f"the {product} {claim} .",
            f"this {product} {claim} and {second} .",
            f"my old {product} {rng.choice(others)} , while this one {claim} .",
            f"{ending} : the {product} {claim} .",
            f"people say the {product} {rng.choice(others)} , but mine {claim} .",
        )
    )


def phrase(rng: random.Random, good: bool) -> str:
    """A short phrase with an attitude, as MPQA's."""
    words, holder = rng.choice(_sided("phrases", good)[0]), rng.choice(WORDS["holders"])
    return rng.choice((words, f"{words} , said {holder}", f"{holder} , {words}", f"{words} again"))


def plot(rng: random.Random) -> str:
    """An objective sentence: what happens in a film, or a fact about it."""
    film, part, hero, place = (rng.choice(WORDS[name]) for name in ("films", "film_parts", "heroes", "places"))
    event = rng.choice(WORDS["events"]).format(place=place)
    if rng.random() < 0.4:
        return rng.choice(
            (
                f"the {film} was shot in {place} .",
                f"it is the third {film} about {hero} .",
                f"work on the {part} of the {film} took two years .",
                f"in the {film} , {hero} {event} .",
                f"the {film} opens in may and has a {part} by the same team .",
            )
        )
    opening = rng.choice(("", "in 1943 , ", "the story begins when ", "years later , ", "after the war , "))
    return f"{opening}{hero} {event} ."


def opinion(rng: random.Random) -> str:
    """A subjective sentence: what someone thinks of a film, sometimes while retelling it."""
    if rng.random() < 0.5:
        return film_review(rng, rng.random() < 0.5)
    film, part, hero, place = (rng.choice(WORDS[name]) for name in ("films", "film_parts", "heroes", "places"))
    event = rng.choice(WORDS["events"]).format(place=place)
    word = rng.choice(WORDS["good_words"] + WORDS["bad_words"])
    return rng.choice(
        (
            f"the {word} story of {hero} in {place} is {rng.choice(('a', 'no'))} pleasure .",
            f"in the {film} , {hero} {event} , and nobody will care .",
            f"when {hero} {event} , the {film} finds its heart .",
            f"one more {film} about {hero} is one too many .",
            f"the {part} of {place} says more than the whole {film} .",
        )
    )


QUESTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "ABBR": (
        ("exp", "What does {abbreviations} stand for ?"),
        ("exp", "What is the full form of {abbreviations} ?"),
        ("exp", "What do the letters {abbreviations} mean ?"),
        ("exp", "What words are behind the acronym {abbreviations} ?"),
        ("abb", "How is {abbreviations} spelled out ?"),
    ),
    "DESC": (
        ("def", "What is a {things} ?"),
        ("manner", "How does a {things} work ?"),
        ("reason", "Why is a {things} important ?"),
        ("desc", "What happens in or near a {things} ?"),
    ),
    "ENTY": (
        ("animal", "What {classes} {traits} ?"),
        ("other", "Name a {classes} that {traits} ."),
        ("other", "Which {classes} {traits} ?"),
    ),
    "HUM": (
        ("ind", "Who {people} ?"),
        ("ind", "What is the name of the person who {people} ?"),
        ("ind", "Do you know who {people} ?"),
        ("gr", "Which team or group {people} ?"),
    ),
    "LOC": (
        ("other", "Where is {sites} ?"),
        ("country", "What country is {sites} in ?"),
        ("other", "On which continent can you find {sites} ?"),
        ("city", "What city is closest to {sites} ?"),
    ),
    "NUM": (
        ("count", "How many {amounts} ?"),
        ("date", "In what year was the first {things} seen or made ?"),
        ("dist", "How far is it from here to {sites} ?"),
    ),
}
"""TREC's classes in its order, each with templates and their fine labels."""


def question(rng: random.Random, coarse: str) -> str:
    """A line of TREC: `COARSE:fine question`."""
    fine, template = rng.choice(QUESTIONS[coarse])
    return f"{coarse}:{fine} {template.format(**{name: rng.choice(words) for name, words in WORDS.items()})}"


def _sided(name: str, good: bool) -> tuple[list[str], list[str]]:
    """The words of one side and of the other."""
    sides = WORDS[f"good_{name}"], WORDS[f"bad_{name}"]
    return sides if good else sides[::-1]
