"""What the embedded pictures and sentences are about: scenes, and how alike two descriptions are."""

import random
from dataclasses import dataclass, replace

FUR = ("brown", "black", "white", "grey", "orange")
PAINT = ("red", "blue", "yellow", "green", "white")
CLOTH = ("red", "blue", "yellow", "green", "pink")


@dataclass(frozen=True)
class Kind:
    """A kind of subject: the group of its near relatives, its colours, where it is found, and what it
    does when it moves and when it rests."""

    group: str
    colours: tuple[str, ...]
    settings: tuple[str, ...]
    moving: str
    resting: str
    airborne: bool = False


LAND = ("beach", "meadow", "street", "snow")
SUBJECTS: dict[str, Kind] = {
    "dog": Kind("animal", FUR, LAND, "run", "sleep"),
    "cat": Kind("animal", FUR, ("meadow", "street", "snow", "beach"), "walk", "sleep"),
    "horse": Kind("animal", FUR, ("beach", "meadow", "snow", "desert"), "gallop", "stand"),
    "bird": Kind("bird", (*PAINT, "black"), ("beach", "meadow", "street", "snow", "desert"), "fly", "sit", True),
    "duck": Kind("bird", ("white", "brown", "yellow"), ("lake", "sea"), "swim", "sleep"),
    "girl": Kind("person", CLOTH, LAND, "run", "sit"),
    "boy": Kind("person", CLOTH, LAND, "jump", "sit"),
    "car": Kind("vehicle", PAINT, ("street", "desert", "snow"), "drive", "park"),
    "bus": Kind("vehicle", PAINT, ("street", "desert", "snow"), "drive", "park"),
    "boat": Kind("vessel", PAINT, ("lake", "sea"), "sail", "moor"),
    "plane": Kind("vessel", PAINT, ("beach", "street", "snow", "desert"), "fly", "land", True),
}
COMPANIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ball": ("toy", CLOTH),
    "balloon": ("toy", CLOTH),
    "kite": ("toy", CLOTH),
    "umbrella": ("thing", CLOTH),
    "house": ("building", ("red", "white", "yellow", "blue")),
    "lighthouse": ("building", ("red", "white")),
    "tree": ("plant", ("green",)),
    "flower": ("plant", CLOTH),
}
"""Kinds of companions: their group and their colours. A tree's colour is never mentioned."""

WATER = ("lake", "sea")
AFLOAT = ("lighthouse", "balloon", "kite")
RELATED_SETTINGS = (
    {"lake", "sea"},
    {"beach", "sea"},
    {"beach", "desert"},
)
"""Settings that share half of their meaning."""


@dataclass(frozen=True)
class Scene:
    """One scene: all that its picture shows. As a description, None means "not mentioned", except
    `companion`, where it means that there is none."""

    kind: str
    moving: bool
    setting: str
    colour: str | None
    count: int
    size: str | None
    night: bool | None
    companion: str | None = None
    companion_colour: str | None = None


WEIGHTS = {
    "kind": 0.34,
    "moving": 0.14,
    "setting": 0.18,
    "colour": 0.09,
    "count": 0.06,
    "size": 0.03,
    "night": 0.06,
    "companion": 0.10,
}
"""What each attribute adds to the likeness of two descriptions; they sum to 1."""


def random_scene(rng: random.Random) -> Scene:
    """A scene drawn at random among those that make sense."""
    kind = rng.choice(list(SUBJECTS))
    scene = Scene(
        kind=kind,
        moving=rng.random() < 0.6,
        setting=rng.choice(SUBJECTS[kind].settings),
        colour=rng.choice(SUBJECTS[kind].colours),
        count=rng.choices((1, 2, 3), (6, 2, 2))[0],
        size=rng.choice(("small", "large")),
        night=rng.random() < 0.25,
    )
    return with_companion(scene, rng) if rng.random() < 0.65 else scene


def with_companion(scene: Scene, rng: random.Random) -> Scene:
    """The scene with another companion than it has."""
    fitting = AFLOAT if scene.setting in WATER else tuple(name for name in COMPANIONS if name != "lighthouse")
    name = rng.choice([name for name in fitting if name != scene.companion])
    return replace(scene, companion=name, companion_colour=rng.choice(COMPANIONS[name][1]))


def described(scene: Scene, rng: random.Random, *, share: float = 0.6) -> Scene:
    """The part of a scene that a sentence mentions: colour, size and companion with probability
    `share` each (size half as often), the night always, the day never."""
    told = replace(
        scene,
        colour=scene.colour if rng.random() < share else None,
        size=scene.size if rng.random() < share / 2 else None,
        night=True if scene.night else None,
    )
    if told.companion and rng.random() > share + 0.2:
        return replace(told, companion=None, companion_colour=None)
    if told.companion == "tree" or rng.random() > share:
        return replace(told, companion_colour=None)
    return told


def changed(scene: Scene, rng: random.Random, *, edits: int) -> Scene:
    """The scene with `edits` of its attributes changed, and what they force with them."""
    chosen = rng.sample(("kind", "moving", "setting", "colour", "count", "companion", "night"), edits)
    for attribute in chosen:
        scene = _change(scene, attribute, rng)
    return scene


def _change(scene: Scene, attribute: str, rng: random.Random) -> Scene:
    kind = SUBJECTS[scene.kind]
    match attribute:
        case "kind":
            return _change_kind(scene, rng)
        case "moving":
            return replace(scene, moving=not scene.moving)
        case "setting":
            setting = rng.choice([name for name in kind.settings if name != scene.setting])
            moved = replace(scene, setting=setting)
            fits = scene.companion is None or (setting in WATER) == (scene.setting in WATER)
            return moved if fits else with_companion(moved, rng)
        case "colour":
            return replace(scene, colour=rng.choice([colour for colour in kind.colours if colour != scene.colour]))
        case "count":
            return replace(scene, count=rng.choice([count for count in (1, 2, 3) if count != scene.count]))
        case "companion":
            if scene.companion and rng.random() < 0.3:
                return replace(scene, companion=None, companion_colour=None)
            return with_companion(scene, rng)
        case _:
            return replace(scene, night=not scene.night)


def _change_kind(scene: Scene, rng: random.Random) -> Scene:
    """Another subject that is found in the same setting, with a colour of its own where it must."""
    others = [name for name, kind in SUBJECTS.items() if name != scene.kind and scene.setting in kind.settings]
    name = rng.choice(others)
    colour = scene.colour if scene.colour in SUBJECTS[name].colours else rng.choice(SUBJECTS[name].colours)
    return replace(scene, kind=name, colour=colour)


def likeness(one: Scene, other: Scene) -> float:
    """How much of their meaning two descriptions share, 0 to 1: the weighted share of agreement over
    the attributes that at least one of them mentions. Symmetric; 1 for a description and itself.

    What only one mentions counts half, since it does not contradict the other.
    """
    total = shared = 0.0
    for attribute, weight in WEIGHTS.items():
        a, b = getattr(one, attribute), getattr(other, attribute)
        if a is None and b is None:
            continue
        total += weight
        shared += weight * _agreement(attribute, one, other)
    return shared / total


def _agreement(attribute: str, one: Scene, other: Scene) -> float:
    a, b = getattr(one, attribute), getattr(other, attribute)
    match attribute:
        case "kind":
            return 1.0 if a == b else 0.35 if SUBJECTS[a].group == SUBJECTS[b].group else 0.0
        case "moving":
            same_deed = deed(one) == deed(other)
            return 1.0 if same_deed else 0.4 if a == b else 0.0
        case "setting":
            return 1.0 if a == b else 0.5 if {a, b} in RELATED_SETTINGS else 0.0
        case "count":
            return 1.0 if a == b else 0.6 if min(a, b) > 1 else 0.0
        case "companion":
            return _companions_agree(one, other)
        case _:
            return 1.0 if a == b else 0.5 if None in (a, b) else 0.0


def _companions_agree(one: Scene, other: Scene) -> float:
    if one.companion is None or other.companion is None:
        return 0.3
    if one.companion != other.companion:
        return 0.3 if COMPANIONS[one.companion][0] == COMPANIONS[other.companion][0] else 0.0
    colours = {one.companion_colour, other.companion_colour} - {None}
    return 1.0 if len(colours) < 2 else 0.6


def deed(scene: Scene) -> str:
    """What the subject does: a key of the verbs."""
    kind = SUBJECTS[scene.kind]
    return kind.moving if scene.moving else kind.resting
