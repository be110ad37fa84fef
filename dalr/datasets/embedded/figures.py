"""The figures of the pictures: each drawn in its own coordinates, feet at 0, one unit wide and high."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import ImageDraw

Colour = tuple[int, int, int]
COLOURS: dict[str, Colour] = {
    "red": (214, 48, 44),
    "blue": (44, 96, 206),
    "yellow": (246, 204, 44),
    "green": (52, 152, 72),
    "white": (246, 246, 242),
    "pink": (240, 132, 176),
    "brown": (136, 86, 48),
    "black": (40, 38, 42),
    "grey": (144, 146, 152),
    "orange": (230, 138, 52),
}
INK: Colour = (34, 32, 38)
SKIN: Colour = (238, 192, 154)
GLASS: Colour = (196, 226, 242)
WOOD: Colour = (118, 78, 46)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour, darker below 1 and lighter above."""
    red, green, blue = (min(255, max(0, round(part * factor))) for part in colour)
    return red, green, blue


@dataclass(frozen=True)
class Pen:
    """Draws in a figure's coordinates: x to the right of its middle, y up from its feet, in units of
    `unit` pixels; (`x`, `y`) is its middle foot on a canvas of `canvas` pixels."""

    draw: ImageDraw.ImageDraw
    canvas: int
    x: float
    y: float
    unit: float

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self.x + x * self.unit, self.y - y * self.unit

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        self.draw.ellipse((*self._at(x0, y1), *self._at(x1, y0)), fill=colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        radius = 0.04 * self.unit
        self.draw.rounded_rectangle((*self._at(x0, y1), *self._at(x1, y0)), radius, fill=colour)

    def shape(self, colour: Colour, *points: tuple[float, float]) -> None:
        self.draw.polygon([self._at(x, y) for x, y in points], fill=colour)

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, width: float = 0.06) -> None:
        self.draw.line((*self._at(x0, y0), *self._at(x1, y1)), fill=colour, width=max(1, round(width * self.unit)))

    def half(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """The upper half of an ellipse."""
        self.draw.pieslice((*self._at(x0, y1), *self._at(x1, y0)), 180, 360, fill=colour)


def _four_legs(pen: Pen, colour: Colour, moving: bool, hip: float, length: float) -> None:
    swing = 0.14 if moving else 0.0
    for x, side in ((-hip, -1), (-hip + 0.1, 1), (hip - 0.1, -1), (hip, 1)):
        pen.line(x, length, x + side * swing, 0.0, shade(colour, 0.85), 0.075)


def dog(pen: Pen, colour: Colour, moving: bool) -> None:
    if not moving:
        return _curled(pen, colour, ears_down=True)
    _four_legs(pen, colour, moving, 0.26, 0.32)
    pen.line(-0.3, 0.45, -0.48, 0.68, colour, 0.07)
    pen.ellipse(-0.36, 0.26, 0.32, 0.56, colour)
    pen.ellipse(0.18, 0.44, 0.5, 0.76, colour)
    pen.ellipse(0.38, 0.48, 0.6, 0.62, shade(colour, 1.15))
    pen.ellipse(0.54, 0.54, 0.61, 0.61, INK)
    pen.ellipse(0.2, 0.42, 0.3, 0.72, shade(colour, 0.7))
    return pen.ellipse(0.36, 0.6, 0.41, 0.66, INK)


def cat(pen: Pen, colour: Colour, moving: bool) -> None:
    if not moving:
        return _curled(pen, colour, ears_down=False)
    _four_legs(pen, colour, moving, 0.22, 0.28)
    pen.line(-0.28, 0.36, -0.42, 0.58, colour, 0.06)
    pen.line(-0.42, 0.58, -0.34, 0.8, colour, 0.06)
    pen.ellipse(-0.32, 0.22, 0.26, 0.48, colour)
    _cat_face(pen, colour, 0.3, 0.54)
    return None


def _cat_face(pen: Pen, colour: Colour, x: float, y: float) -> None:
    for side in (-1, 1):
        tip = (x + side * 0.15, y + 0.27)
        pen.shape(shade(colour, 0.85), (x + side * 0.16, y + 0.04), (x + side * 0.02, y + 0.13), tip)
    pen.ellipse(x - 0.17, y - 0.15, x + 0.17, y + 0.16, colour)
    for side in (-1, 1):
        pen.ellipse(x + side * 0.07 - 0.03, y, x + side * 0.07 + 0.03, y + 0.06, (110, 190, 90))
        pen.line(x, y - 0.06, x + side * 0.2, y - 0.04, INK, 0.015)


def _curled(pen: Pen, colour: Colour, *, ears_down: bool) -> None:
    """Asleep: a round back, the head on the paws."""
    pen.ellipse(-0.42, 0.0, 0.3, 0.42, colour)
    pen.ellipse(0.08, 0.02, 0.46, 0.32, shade(colour, 1.1))
    pen.line(-0.4, 0.08, 0.0, 0.03, shade(colour, 0.8), 0.08)
    if ears_down:
        pen.ellipse(0.1, 0.06, 0.2, 0.32, shade(colour, 0.7))
        pen.ellipse(0.42, 0.12, 0.49, 0.19, INK)
    else:
        pen.shape(shade(colour, 0.8), (0.14, 0.26), (0.26, 0.3), (0.17, 0.42))
        pen.shape(shade(colour, 0.8), (0.28, 0.3), (0.4, 0.25), (0.38, 0.42))
    pen.line(0.26, 0.18, 0.36, 0.18, INK, 0.025)


def horse(pen: Pen, colour: Colour, moving: bool) -> None:
    _four_legs(pen, colour, moving, 0.28, 0.44)
    pen.line(-0.36, 0.6, -0.5, 0.3 if not moving else 0.55, shade(colour, 0.6), 0.09)
    pen.ellipse(-0.42, 0.38, 0.36, 0.72, colour)
    pen.shape(colour, (0.12, 0.58), (0.36, 0.52), (0.5, 0.96), (0.34, 1.0))
    pen.shape(shade(colour, 0.6), (0.08, 0.68), (0.2, 0.64), (0.4, 1.04), (0.3, 1.02))
    pen.ellipse(0.34, 0.8, 0.68, 0.98, colour)
    pen.shape(colour, (0.36, 0.94), (0.44, 0.96), (0.4, 1.1))
    pen.ellipse(0.44, 0.88, 0.49, 0.93, INK)


def bird(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.shape(shade(colour, 0.8), (-0.22, 0.4), (-0.5, 0.5), (-0.48, 0.3))
    if not moving:
        for x in (-0.03, 0.08):
            pen.line(x, 0.2, x, 0.0, (226, 150, 40), 0.035)
    pen.ellipse(-0.3, 0.16, 0.24, 0.52, colour)
    pen.ellipse(0.08, 0.36, 0.38, 0.64, colour)
    pen.shape((240, 160, 40), (0.35, 0.54), (0.35, 0.44), (0.54, 0.48))
    pen.ellipse(0.24, 0.5, 0.29, 0.55, INK)
    wing = ((-0.16, 0.42), (0.1, 0.42), (-0.14, 0.92)) if moving else ((-0.2, 0.42), (0.1, 0.42), (-0.26, 0.22))
    pen.shape(shade(colour, 0.7), *wing)


def duck(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.shape(colour, (-0.3, 0.2), (-0.52, 0.42), (-0.2, 0.36))
    pen.ellipse(-0.4, 0.0, 0.3, 0.38, colour)
    head = (0.3, 0.5) if moving else (0.12, 0.36)
    pen.line(0.18, 0.22, *head, colour, 0.14)
    pen.ellipse(head[0] - 0.15, head[1] - 0.12, head[0] + 0.15, head[1] + 0.16, shade(colour, 0.92))
    pen.box(head[0] + 0.12, head[1] - 0.04, head[0] + 0.28, head[1] + 0.04, (238, 150, 40))
    pen.ellipse(head[0] + 0.02, head[1] + 0.03, head[0] + 0.07, head[1] + 0.08, INK)
    pen.half(-0.28, 0.02, 0.14, 0.3, shade(colour, 0.8))


def _child(pen: Pen, moving: bool, hair: Colour) -> tuple[float, float]:
    """Legs, arms and head of a child; returns the waist and the shoulders' heights."""
    sit = -0.18 if not moving else 0.0
    if moving:
        pen.line(-0.06, 0.4, -0.26, 0.04, SKIN, 0.09)
        pen.line(0.06, 0.4, 0.24, 0.1, SKIN, 0.09)
    else:
        for x in (0.0, 0.06):
            pen.line(-0.02, 0.2 - x, 0.3, 0.18 - x, SKIN, 0.09)
            pen.line(0.3, 0.18 - x, 0.32, 0.0, SKIN, 0.08)
    waist, neck = 0.36 + sit, 0.76 + sit
    pen.line(-0.1, neck - 0.06, -0.32, neck - (0.22 if not moving else -0.08), SKIN, 0.08)
    pen.line(0.1, neck - 0.06, 0.34, neck - (0.26 if not moving else -0.12), SKIN, 0.08)
    pen.ellipse(-0.19, neck - 0.02, 0.19, neck + 0.38, hair)
    pen.ellipse(-0.15, neck - 0.02, 0.19, neck + 0.29, SKIN)
    for x in (0.02, 0.11):
        pen.ellipse(x, neck + 0.13, x + 0.045, neck + 0.175, INK)
    return waist, neck


def girl(pen: Pen, colour: Colour, moving: bool) -> None:
    hair = (112, 70, 36)
    pen.ellipse(-0.24, 0.6 - (0 if moving else 0.18), -0.04, 1.08 - (0 if moving else 0.18), hair)
    waist, neck = _child(pen, moving, hair)
    pen.shape(colour, (-0.1, neck), (0.1, neck), (0.28, waist - 0.1), (-0.28, waist - 0.1))


def boy(pen: Pen, colour: Colour, moving: bool) -> None:
    waist, neck = _child(pen, moving, (70, 50, 34))
    pen.box(-0.15, waist - 0.06, 0.15, waist + 0.1, (58, 66, 98))
    pen.box(-0.16, waist + 0.05, 0.16, neck + 0.01, colour)


def _wheels(pen: Pen, *places: float) -> None:
    for x in places:
        pen.ellipse(x - 0.12, 0.0, x + 0.12, 0.24, INK)
        pen.ellipse(x - 0.05, 0.07, x + 0.05, 0.17, (200, 200, 204))


def car(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.shape(colour, (-0.3, 0.36), (-0.18, 0.6), (0.16, 0.6), (0.34, 0.36))
    pen.shape(GLASS, (-0.23, 0.37), (-0.14, 0.55), (-0.02, 0.55), (-0.02, 0.37))
    pen.shape(GLASS, (0.03, 0.37), (0.03, 0.55), (0.13, 0.55), (0.25, 0.37))
    pen.box(-0.52, 0.12, 0.54, 0.38, colour)
    pen.ellipse(0.46, 0.24, 0.55, 0.33, (255, 244, 170) if moving else (220, 220, 214))
    _wheels(pen, -0.28, 0.3)


def bus(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.box(-0.6, 0.12, 0.6, 0.74, colour)
    for x in (-0.5, -0.26, -0.02, 0.22):
        pen.box(x, 0.42, x + 0.18, 0.64, GLASS)
    pen.box(0.46, 0.24, 0.58, 0.64, GLASS)
    pen.box(-0.6, 0.3, 0.44, 0.34, shade(colour, 0.75))
    pen.ellipse(0.53, 0.15, 0.61, 0.23, (255, 244, 170) if moving else (220, 220, 214))
    _wheels(pen, -0.34, 0.34)


def boat(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.line(0.0, 0.2, 0.0, 1.0, WOOD, 0.04)
    if moving:
        pen.shape((250, 248, 240), (0.04, 0.32), (0.04, 0.98), (0.48, 0.32))
        pen.shape((232, 230, 222), (-0.04, 0.32), (-0.04, 0.88), (-0.34, 0.32))
    else:
        pen.line(0.0, 0.36, 0.42, 0.36, (240, 238, 230), 0.08)
        pen.line(-0.46, 0.16, -0.62, -0.12, INK, 0.025)
    pen.shape(colour, (-0.52, 0.26), (0.56, 0.26), (0.38, 0.0), (-0.36, 0.0))
    pen.box(-0.5, 0.21, 0.54, 0.27, shade(colour, 0.75))


def plane(pen: Pen, colour: Colour, moving: bool) -> None:
    low = 0.16
    if not moving:
        _wheels(pen, -0.16, 0.3)
    pen.shape(shade(colour, 0.75), (-0.58, low + 0.2), (-0.38, low + 0.2), (-0.46, low + 0.56), (-0.6, low + 0.56))
    pen.ellipse(-0.6, low, 0.62, low + 0.32, colour)
    pen.half(0.3, low + 0.06, 0.56, low + 0.3, GLASS)
    for x in (-0.26, -0.1, 0.06):
        pen.ellipse(x, low + 0.17, x + 0.08, low + 0.25, GLASS)
    pen.shape(shade(colour, 0.6), (-0.1, low + 0.12), (0.16, low + 0.12), (-0.16, low - 0.16), (-0.28, low - 0.16))


def ball(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.ellipse(-0.5, 0.0, 0.5, 1.0, colour)
    pen.ellipse(-0.3, 0.0, 0.3, 1.0, (250, 250, 246))
    pen.ellipse(-0.16, 0.0, 0.16, 1.0, colour)


def balloon(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.line(0.0, 0.36, 0.06, -0.3, INK, 0.02)
    pen.shape(shade(colour, 0.8), (-0.06, 0.28), (0.06, 0.28), (0.0, 0.38))
    pen.ellipse(-0.34, 0.32, 0.34, 1.1, colour)
    pen.ellipse(-0.2, 0.74, -0.06, 0.96, shade(colour, 1.4))


def kite(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.line(0.0, 0.2, -0.24, -0.5, INK, 0.02)
    pen.shape(colour, (0.0, 0.1), (0.34, 0.66), (0.0, 1.05), (-0.34, 0.66))
    pen.shape(shade(colour, 0.75), (0.0, 0.1), (0.34, 0.66), (0.0, 0.66))
    pen.shape(shade(colour, 0.75), (0.0, 1.05), (-0.34, 0.66), (0.0, 0.66))


def umbrella(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.line(0.0, 0.0, 0.0, 0.9, WOOD, 0.05)
    pen.half(-0.55, 0.2, 0.55, 1.1, colour)
    pen.half(-0.2, 0.2, 0.2, 1.1, (250, 248, 240))


def house(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.box(-0.38, 0.0, 0.38, 0.56, colour)
    pen.shape((150, 66, 46), (-0.48, 0.54), (0.48, 0.54), (0.0, 0.96))
    pen.box(-0.08, 0.0, 0.1, 0.32, WOOD)
    for x in (-0.3, 0.18):
        pen.box(x, 0.24, x + 0.13, 0.42, GLASS)


def lighthouse(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.half(-0.42, -0.2, 0.42, 0.22, (112, 108, 104))
    stripe = (250, 250, 246) if colour != COLOURS["white"] else COLOURS["red"]
    for step in range(5):
        low, high = 0.12 + 0.13 * step, 0.25 + 0.13 * step
        left, right = 0.2 - 0.02 * step, 0.2 - 0.02 * (step + 1)
        pen.shape(stripe if step % 2 else colour, (-left, low), (left, low), (right, high), (-right, high))
    pen.box(-0.09, 0.77, 0.09, 0.9, (255, 236, 140))
    pen.shape((84, 80, 88), (-0.14, 0.89), (0.14, 0.89), (0.0, 1.02))


def tree(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.box(-0.07, 0.0, 0.07, 0.45, WOOD)
    for x, y, radius in ((-0.2, 0.55, 0.22), (0.2, 0.55, 0.22), (0.0, 0.76, 0.27)):
        pen.ellipse(x - radius, y - radius, x + radius, y + radius, shade(colour, 0.75 + 0.2 * y))


def flower(pen: Pen, colour: Colour, moving: bool) -> None:
    pen.line(0.0, 0.0, 0.0, 0.6, (54, 128, 52), 0.06)
    pen.ellipse(0.0, 0.16, 0.26, 0.3, (70, 150, 66))
    for x, y in ((-0.17, 0.66), (0.17, 0.66), (-0.11, 0.88), (0.11, 0.88), (0.0, 0.54)):
        pen.ellipse(x - 0.15, y - 0.15, x + 0.15, y + 0.15, colour)
    pen.ellipse(-0.11, 0.62, 0.11, 0.84, (252, 210, 70) if colour != COLOURS["yellow"] else WOOD)


FIGURES: dict[str, Callable[[Pen, Colour, bool], None]] = {
    figure.__name__: figure
    for figure in (
        *(dog, cat, horse, bird, duck, girl, boy, car, bus, boat, plane),
        *(ball, balloon, kite, umbrella, house, lighthouse, tree, flower),
    )
}
"""Every figure by its name: draws it with a pen, in a colour, moving or at rest."""
