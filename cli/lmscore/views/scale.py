"""Surprisal as colour: a step a bit, even to the eye, from light to dark, so that no kind of colour-blindness hides it.

Pure; knows no terminal and no page. Colours are mixed in Oklab, whose distances are those that an eye sees (Ottosson
2020, "A perceptual color space for image processing"); contrast is that of the Web Content Accessibility Guidelines.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import pairwise

STEPS = 16
"""Of the scale: one for each bit of surprisal, the last for 14.5 bits and more (one in 23,000)."""

LEANS = 8
"""Steps to either side of none, of the scale for differences: a step a bit."""

Oklab = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Shade:
    """A colour in sRGB, each part from 0 to 255."""

    red: int
    green: int
    blue: int

    @classmethod
    def of(cls, code: str) -> "Shade":
        """From ``#rrggbb``."""
        return cls(*bytes.fromhex(code.removeprefix("#")))

    @property
    def code(self) -> str:
        """As ``#rrggbb``."""
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"

    @property
    def ink(self) -> "Shade":
        """Black or white, whichever is read better on it: the contrast is at least 4.5 to 1 on any colour."""
        return max((Shade(0, 0, 0), Shade(255, 255, 255)), key=self.contrast)

    def contrast(self, other: "Shade") -> float:
        """How far two colours are apart in luminance: 1 for none, 21 for black on white."""
        dark, light = sorted((self._luminance, other._luminance))
        return (light + 0.05) / (dark + 0.05)

    @property
    def _luminance(self) -> float:
        red, green, blue = map(_linear, (self.red, self.green, self.blue))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    @property
    def oklab(self) -> Oklab:
        """Lightness from 0 to 1, green to red, blue to yellow."""
        rgb = tuple(map(_linear, (self.red, self.green, self.blue)))
        cones = [part ** (1 / 3) for part in _times(_CONES, rgb)]
        lightness, a, b = _times(_LAB, cones)
        return lightness, a, b


def surprisal(logprob: float) -> float:
    """In bits, of a log-probability in nats. None is negative, though rounding may put a logprob above 0."""
    return max(0.0, -logprob) / math.log(2)


def whole_bits(logprob: float) -> int:
    """A surprisal to the nearest bit; a half goes up."""
    return math.floor(surprisal(logprob) + 0.5)


def step(logprob: float) -> int:
    """The step of a log-probability in nats: its surprisal in whole bits."""
    return min(whole_bits(logprob), STEPS - 1)


def lean(difference: float) -> int:
    """The step of a difference in nats: whole bits, negative where the second of two is the less likely."""
    return int(math.copysign(min(whole_bits(-abs(difference)), LEANS), difference))


@cache
def shades() -> tuple[Shade, ...]:
    """A colour for each step of surprisal: from the lightest yellow over red to the darkest purple."""
    return tuple(
        _even([Shade.of(code) for code in ("#fffdf0", "#ffd66b", "#f0803c", "#c02f5e", "#651a70", "#1d0a35")], STEPS)
    )


@cache
def leanings() -> tuple[Shade, ...]:
    """A colour for each difference from -LEANS to LEANS: orange, then white for none, then blue."""
    less = _even([Shade.of(code) for code in ("#8a3a00", "#e88a2e", "#fbfbf8")], LEANS + 1)
    more = _even([Shade.of(code) for code in ("#fbfbf8", "#5d9fe0", "#0d3f87")], LEANS + 1)
    return (*less, *list(more)[1:])


class Depth(Enum):
    """How many colours a terminal has."""

    none = 0
    sixteen = 16
    many = 256
    full = 2**24


@dataclass(frozen=True, slots=True)
class Band:
    """Steps that share a colour where there are but sixteen: the first of them, and a terminal's colours by number."""

    first: int
    number: int
    ink: int


BANDS = (Band(0, 7, 0), Band(2, 3, 0), Band(5, 5, 15), Band(9, 1, 15), Band(13, 4, 15))
"""White, yellow, magenta, red, blue. A terminal may give its sixteen colours any look; on those of xterm and of a PC's
text screen lightness falls from each to the next."""


def band(step: int) -> Band:
    """The band that a step is in."""
    return max((band for band in BANDS if band.first <= step), key=lambda band: band.first)


@cache
def nearest(shade: Shade) -> int:
    """The number of the nearest of a terminal's 256 colours. The first sixteen, which themes change, are left out."""
    lab = shade.oklab
    return min(range(16, 256), key=lambda number: math.dist(of_256(number).oklab, lab))


@cache
def of_256(number: int) -> Shade:
    """A terminal's colour by its number from 16 to 255: a cube of 6 levels, then 24 greys."""
    if number >= 232:
        return Shade(*[8 + 10 * (number - 232)] * 3)
    levels = (0, 95, 135, 175, 215, 255)
    red, rest = divmod(number - 16, 36)
    return Shade(levels[red], levels[rest // 6], levels[rest % 6])


def _even(path: Sequence[Shade], count: int) -> Iterator[Shade]:
    """So many colours along a path, as far from one another as the eye can tell."""
    fine = 200
    corners = [shade.oklab for shade in path]
    points = [_between(a, b, i / fine) for a, b in pairwise(corners) for i in range(fine)]
    points.append(corners[-1])
    lengths = [0.0]
    for a, b in pairwise(points):
        lengths.append(lengths[-1] + math.dist(a, b))
    at = 0
    for number in range(count):
        while at < len(points) - 1 and lengths[at] < lengths[-1] * number / (count - 1):
            at += 1
        yield _shade(points[at])


def _between(a: Oklab, b: Oklab, share: float) -> Oklab:
    lightness, green, blue = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return lightness, green, blue


def _shade(color: Oklab) -> Shade:
    cones = [part**3 for part in _times(_LAB_BACK, color)]
    return Shade(*(round(255 * _gamma(min(max(part, 0.0), 1.0))) for part in _times(_CONES_BACK, cones)))


def _linear(part: int) -> float:
    share = part / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def _gamma(part: float) -> float:
    return 12.92 * part if part <= 0.0031308 else float(1.055 * part ** (1 / 2.4) - 0.055)


def _times(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    return [math.fsum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


# Ottosson's matrices: linear sRGB to cone responses, their cube roots to Oklab, and both back.
_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_LAB_BACK = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.2914855480),
)
_CONES_BACK = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)
