"""Scenes in words: one description, many ways to say it."""

import random

from dalr.datasets.embedded.scenes import SUBJECTS, Scene, deed

NOUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "dog": (("dog", "dogs"), ("dog", "dogs"), ("hound", "hounds"), ("puppy", "puppies")),
    "cat": (("cat", "cats"), ("cat", "cats"), ("kitten", "kittens")),
    "horse": (("horse", "horses"), ("horse", "horses"), ("pony", "ponies")),
    "bird": (("bird", "birds"), ("bird", "birds"), ("sparrow", "sparrows")),
    "duck": (("duck", "ducks"), ("duck", "ducks"), ("mallard", "mallards")),
    "girl": (("girl", "girls"), ("young girl", "young girls"), ("schoolgirl", "schoolgirls")),
    "boy": (("boy", "boys"), ("young boy", "young boys"), ("lad", "lads")),
    "car": (("car", "cars"), ("car", "cars"), ("automobile", "automobiles")),
    "bus": (("bus", "buses"), ("bus", "buses"), ("coach", "coaches")),
    "boat": (("boat", "boats"), ("sailboat", "sailboats"), ("sailing vessel", "sailing vessels")),
    "plane": (("plane", "planes"), ("airplane", "airplanes"), ("aircraft", "aircraft")),
}
VERBS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "run": (("running", "runs", "run"), ("racing", "races", "race"), ("dashing", "dashes", "dash")),
    "sleep": (("sleeping", "sleeps", "sleep"), ("napping", "naps", "nap"), ("dozing", "dozes", "doze")),
    "walk": (("walking", "walks", "walk"), ("strolling", "strolls", "stroll")),
    "gallop": (("galloping", "gallops", "gallop"), ("running", "runs", "run")),
    "stand": (("standing still", "stands still", "stand still"), ("resting", "rests", "rest")),
    "fly": (("flying", "flies", "fly"), ("soaring", "soars", "soar"), ("gliding", "glides", "glide")),
    "sit": (("sitting", "sits", "sit"), ("resting", "rests", "rest")),
    "swim": (("swimming", "swims", "swim"), ("paddling", "paddles", "paddle")),
    "jump": (("jumping", "jumps", "jump"), ("leaping", "leaps", "leap"), ("hopping", "hops", "hop")),
    "drive": (("driving", "drives", "drive"), ("speeding", "speeds", "speed")),
    "park": (("parked", "is parked", "are parked"), ("waiting", "waits", "wait")),
    "sail": (("sailing", "sails", "sail"), ("cruising", "cruises", "cruise")),
    "moor": (("moored", "is moored", "are moored"), ("anchored", "is anchored", "are anchored")),
    "land": (("parked", "is parked", "are parked"), ("standing still", "stands still", "stand still")),
}
"""Each deed's verbs: participle, third person singular, plural."""

PLACES: dict[str, tuple[str, ...]] = {
    "beach": ("on the beach", "on the sand", "at the seaside"),
    "meadow": ("in a meadow", "on the grass", "in a green field"),
    "street": ("on the street", "in the city", "on a road in town"),
    "snow": ("in the snow", "on a snowy hill", "on the snow-covered ground"),
    "desert": ("in the desert", "among the dunes", "on dry desert sand"),
    "lake": ("on the lake", "on the calm lake", "on the water of a lake"),
    "sea": ("on the sea", "on the ocean", "out at sea"),
}
OVER: dict[str, tuple[str, ...]] = {
    "beach": ("over the beach", "above the sand"),
    "meadow": ("over a meadow", "above the grass"),
    "street": ("over the city", "above the street"),
    "snow": ("over the snow", "above a snowy hill"),
    "desert": ("over the desert", "above the dunes"),
}
GARMENTS = {
    "girl": (("dress", "dresses"), ("skirt", "skirts")),
    "boy": (("shirt", "shirts"), ("sweater", "sweaters")),
}
NIGHT = ("at night", "after dark", "under the stars", "in the moonlight")
NEAR = ("next to", "near", "beside", "close to")
COLOURS = {"red": ("red", "red", "scarlet"), "grey": ("grey", "gray"), "black": ("black", "black", "dark")}
SIZES = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
NUMBERS = {2: ("two", "two", "a pair of"), 3: ("three",)}

REGISTERS: dict[str, tuple[str, ...]] = {
    "caption": ("{who} {is} {doing} {where} .", "{who} {doing} {where} .", "there {is} {who} {doing} {where} ."),
    "scene": (
        "{who} {is} {doing} {where} .",
        "this picture shows {who} {doing} {where} .",
        "{where} , {who} {is} {doing} .",
        "in this photo there {is} {who} {doing} {where} .",
    ),
    "headline": ("{who} {does} {where}", "{who} seen {doing} {where}", "{who} spotted {doing} {where}"),
    "news": (
        "witnesses said that {who} {was} {doing} {where} .",
        "{who} {was} seen {doing} {where} , local people reported .",
        "a callback noticed {who} {doing} {where} .",
    ),
    "forum": (
        "i am sure that i saw {who} {doing} {where} .",
        "you can see {who} {doing} {where} if you look closely .",
        "the answer is simple : {who} {was} {doing} {where} .",
    ),
    "question": (
        "have you ever seen {who} {doing} {where} ?",
        "did anyone notice {who} {doing} {where} ?",
        "can you find {who} {doing} {where} ?",
    ),
    "definition": (
        "a scene in which {who} {is} {doing} {where}",
        "the sight of {who} {doing} {where}",
        "a moment when {who} {does} {where}",
    ),
    "report": (
        "what one sees is {who} that {is} {doing} {where} .",
        "we must now describe {who} , {doing} {where} .",
        "it can be observed that {who} {does} {where} .",
    ),
}
"""Ways of speaking, each a set of templates that say the same."""


def sentence(told: Scene, rng: random.Random, register: str) -> str:
    """A description in words: lower case, tokens divided by single spaces."""
    template = rng.choice(REGISTERS[register])
    participle, singular, plural = rng.choice(VERBS[deed(told)])
    single = told.count == 1
    words = template.format(
        who=_subject(told, rng),
        doing=participle,
        does=singular if single else plural,
        where=_where(told, rng),
        **{"is": "is" if single else "are", "was": "was" if single else "were"},  # `is` cannot be a keyword
    )
    return _headline(words) if register == "headline" else words


def prose(words: str) -> str:
    """Tokenised lower-case words as a written sentence: capital, no space before punctuation."""
    for mark in ".,?:":
        words = words.replace(f" {mark}", mark)
    return words[0].upper() + words[1:].replace(" i ", " I ")


def _subject(told: Scene, rng: random.Random) -> str:
    singular, plural = rng.choice(NOUNS[told.kind])
    noun = singular if told.count == 1 else plural
    size = rng.choice(SIZES[told.size]) if told.size else ""
    colour = _colour(told.colour, rng)
    clothed = SUBJECTS[told.kind].group == "person"
    if size and noun.startswith("young "):
        noun = noun.removeprefix("young ")
    phrase = " ".join(part for part in (size, "" if clothed else colour, noun) if part)
    phrase = article(phrase) if told.count == 1 else f"{rng.choice(NUMBERS[told.count])} {phrase}"
    if clothed and colour:
        garment, garments = rng.choice(GARMENTS[told.kind])
        phrase += f" in a {colour} {garment}" if told.count == 1 else f" in {colour} {garments}"
    return phrase


def _where(told: Scene, rng: random.Random) -> str:
    airborne = SUBJECTS[told.kind].airborne and told.moving
    parts = [rng.choice((OVER if airborne else PLACES)[told.setting])]
    if told.companion:
        companion = " ".join(filter(None, (_colour(told.companion_colour, rng), told.companion)))
        near = f"{rng.choice(NEAR)} {article(companion)}"
        parts.insert(0 if rng.random() < 0.7 else 1, near)
    if told.night:
        parts.append(rng.choice(NIGHT))
    return " ".join(parts)


def _colour(colour: str | None, rng: random.Random) -> str:
    return rng.choice(COLOURS.get(colour, (colour,))) if colour else ""


def article(phrase: str) -> str:
    """The phrase with its indefinite article, by its first letter."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _headline(words: str) -> str:
    """Headlines drop articles and forms of `be`."""
    return " ".join(word for word in words.split() if word not in {"a", "an", "the", "is", "are"})
