"""Scenes as small pictures, drawn with Pillow at twice their size and scaled down."""

import random

from PIL import Image, ImageDraw

from dalr.datasets.embedded.figures import COLOURS, FIGURES, Pen, shade
from dalr.datasets.embedded.scenes import SUBJECTS, WATER, Scene

SIZE = 128
"""Width and height of a picture in pixels."""

_CANVAS = 2 * SIZE
_HORIZON = 0.56
_SKIES = {"day": ((120, 186, 240), (222, 240, 252)), "night": ((12, 18, 52), (56, 66, 118))}
_GROUNDS = {
    "beach": ((240, 221, 168), (222, 192, 128)),
    "meadow": ((146, 200, 96), (82, 150, 62)),
    "street": ((150, 152, 158), (92, 94, 102)),
    "snow": ((250, 252, 255), (206, 220, 236)),
    "desert": ((234, 190, 112), (206, 144, 72)),
    "lake": ((116, 184, 208), (44, 112, 158)),
    "sea": ((58, 136, 190), (16, 66, 128)),
}


def draw_scene(scene: Scene, rng: random.Random) -> Image.Image:
    """The picture of a scene, RGB, `SIZE` x `SIZE`. The generator places what the scene leaves open."""
    image = _backdrop(scene)
    draw = ImageDraw.Draw(image)
    _sky(draw, scene, rng)
    _details(draw, scene, rng)
    left = rng.random() < 0.5
    if scene.companion:
        _companion(draw, scene, left)
    pens = _places(draw, scene, left, rng)
    if scene.moving:
        _motion(pens[0])  # the last of them: all head to the right
    for pen in pens:
        FIGURES[scene.kind](pen, COLOURS[scene.colour or "grey"], scene.moving)
    if scene.night:
        image = Image.blend(image, Image.new("RGB", image.size, (20, 26, 70)), 0.28)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _backdrop(scene: Scene) -> Image.Image:
    """Sky and ground, each a vertical gradient."""
    column = Image.new("RGB", (1, _CANVAS))
    horizon = int(_HORIZON * _CANVAS)
    sky, ground = _SKIES["night" if scene.night else "day"], _GROUNDS[scene.setting]
    for y in range(_CANVAS):
        (top, bottom), share = (sky, y / horizon) if y < horizon else (ground, (y - horizon) / (_CANVAS - horizon))
        column.putpixel((0, y), tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True)))
    return column.resize((_CANVAS, _CANVAS), Image.Resampling.NEAREST)


def _sky(draw: ImageDraw.ImageDraw, scene: Scene, rng: random.Random) -> None:
    x = rng.choice((0.16, 0.84))
    pen = Pen(draw, _CANVAS, x * _CANVAS, 0.24 * _CANVAS, 0.2 * _CANVAS)
    if scene.night:
        pen.ellipse(-0.4, 0.2, 0.4, 1.0, (250, 246, 214))
        pen.ellipse(-0.2, 0.28, 0.5, 0.98, _SKIES["night"][0])
        for _ in range(14):
            star = Pen(draw, _CANVAS, rng.random() * _CANVAS, rng.uniform(0.03, 0.4) * _CANVAS, 0.012 * _CANVAS)
            star.ellipse(-0.5, 0.0, 0.5, 1.0, (255, 252, 224))
        return
    pen.ellipse(-0.42, 0.1, 0.42, 0.94, (255, 222, 92))
    for _ in range(2):
        cloud = Pen(draw, _CANVAS, rng.random() * _CANVAS, rng.uniform(0.14, 0.36) * _CANVAS, 0.11 * _CANVAS)
        for dx, up in ((-0.8, 0.0), (0.0, 0.25), (0.8, 0.0)):
            cloud.ellipse(dx - 0.7, up, dx + 0.7, up + 0.9, (252, 253, 255))


def _details(draw: ImageDraw.ImageDraw, scene: Scene, rng: random.Random) -> None:
    """What tells one setting from another: waves, grass, a road with a skyline, hills."""
    edge = _HORIZON * _CANVAS
    light, dark = _GROUNDS[scene.setting]
    match scene.setting:
        case "beach":
            draw.rectangle((0, edge - 0.05 * _CANVAS, _CANVAS, edge + 0.03 * _CANVAS), fill=(70, 150, 200))
            draw.rectangle((0, edge + 0.03 * _CANVAS, _CANVAS, edge + 0.045 * _CANVAS), fill=(250, 250, 245))
        case "lake" | "sea":
            if scene.setting == "lake":
                _hills(draw, (96, 146, 96), rng)
            for _ in range(16):
                x, y = rng.random() * _CANVAS, rng.uniform(_HORIZON + 0.04, 0.98) * _CANVAS
                draw.arc((x, y, x + 26, y + 9), 180, 360, fill=shade(light, 1.15), width=2)
        case "street":
            for x in range(0, _CANVAS, 32):
                height = rng.uniform(0.12, 0.34) * _CANVAS
                wall = shade((150, 140, 150), rng.uniform(0.7, 1.1))
                draw.rectangle((x, edge - height, x + 27, edge), fill=wall)
                for row in range(int(height / 16)):
                    for window in (5, 16):
                        top = edge - height + 6 + 16 * row
                        lit = (255, 232, 150) if scene.night else (214, 232, 244)
                        draw.rectangle((x + window, top, x + window + 6, top + 7), fill=lit)
            for x in range(4, _CANVAS, 44):
                draw.rectangle((x, 0.9 * _CANVAS, x + 24, 0.918 * _CANVAS), fill=(250, 244, 220))
        case "meadow":
            _hills(draw, shade(dark, 0.9), rng)
            for _ in range(60):
                x, y = rng.random() * _CANVAS, rng.uniform(_HORIZON + 0.05, 1.0) * _CANVAS
                draw.line((x, y, x + rng.uniform(-3, 3), y - 8), fill=shade(dark, 0.85), width=2)
        case _:
            _hills(draw, shade(light, 0.93), rng)
            _hills(draw, light, rng)


def _hills(draw: ImageDraw.ImageDraw, colour: tuple[int, int, int], rng: random.Random) -> None:
    edge = _HORIZON * _CANVAS
    for _ in range(2):
        x, width, height = rng.uniform(-0.2, 0.8) * _CANVAS, rng.uniform(0.5, 0.8) * _CANVAS, rng.uniform(20, 46)
        draw.pieslice((x, edge - height, x + width, edge + height), 180, 360, fill=colour)


def _companion(draw: ImageDraw.ImageDraw, scene: Scene, left: bool) -> None:
    name = str(scene.companion)
    scale = {"house": 0.42, "lighthouse": 0.46, "tree": 0.46, "ball": 0.14, "flower": 0.24}.get(name, 0.32)
    lifted = {"kite": 0.36, "balloon": 0.2}.get(name, 0.0)
    ground = 0.68 if name in {"house", "lighthouse", "tree"} else 0.8
    x = 0.2 if left else 0.8
    pen = Pen(draw, _CANVAS, x * _CANVAS, (ground - lifted) * _CANVAS, scale * _CANVAS)
    FIGURES[name](pen, COLOURS[scene.companion_colour or "green"], False)


def _places(draw: ImageDraw.ImageDraw, scene: Scene, left: bool, rng: random.Random) -> list[Pen]:
    """One pen for each of the subjects, on the other side than the companion."""
    vehicle = SUBJECTS[scene.kind].group in {"vehicle", "vessel"}
    scale = (0.3 if scene.size == "small" else 0.44) * (1.15 if vehicle else 1.0) * (1.0, 0.82, 0.66)[scene.count - 1]
    airborne = SUBJECTS[scene.kind].airborne and scene.moving
    ground = 0.44 if airborne else 0.78 if scene.setting in WATER else 0.9
    middle = 0.5 if scene.companion is None else 0.62 if left else 0.38
    spread = 0.0 if scene.count == 1 else 0.9 * scale
    pens = []
    for number in range(scene.count):
        x = middle + spread * (number - (scene.count - 1) / 2)
        y = ground + (0.05 * (number % 2) if not airborne else -0.09 * (number % 2)) + rng.uniform(-0.01, 0.01)
        pens.append(Pen(draw, _CANVAS, x * _CANVAS, y * _CANVAS, scale * _CANVAS))
    return pens


def _motion(pen: Pen) -> None:
    """Three strokes behind what moves."""
    for height in (0.25, 0.45, 0.65):
        pen.line(-0.78, height, -0.58, height, (255, 255, 255), 0.03)
