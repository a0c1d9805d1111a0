"""Figures along a text as the bars of a chart. Pure geometry: knows no page, no colours, no units.

A chart is as many units wide as it has bars, and 100 high, 0 at the top, as SVG counts. It is stretched to where it is
shown, so that whatever is written beside it has its own size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

MOST_BARS = 300
"""More would be thinner than a line."""

FEWEST = 24
"""For so many there is room at least, lest a few become walls."""


SMALLEST = 1e-9
"""What is less than that is nothing: rounding, not a figure."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        at: the index of the figure it shows: of several that share a bar, the one furthest from 0, the first on a tie.
        value: that figure.
        x, y, height: where it stands.
    """

    at: int
    value: float
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars up and down from a line.

    Attributes:
        bars: one for each figure that exists, or for each group of so many.
        width: how many bars there is room for.
        each: how many figures share a bar.
        top, bottom: what its upper and its lower edge stand for.
    """

    bars: tuple[Bar, ...]
    width: int
    each: int
    top: float
    bottom: float

    def y(self, value: float) -> float:
        """How far down a value stands."""
        return 100 * (self.top - value) / (self.top - self.bottom)


def chart(values: Sequence[float | None]) -> Chart:
    """A chart of figures in a row; those that are None leave a gap."""
    each = max(math.ceil(len(values) / MOST_BARS), 1)
    groups = [range(at, min(at + each, len(values))) for at in range(0, len(values), each)]
    known = [value for value in values if value is not None]
    top, bottom = _round_up(max(known, default=0.0)), 0.0 - _round_up(-min(known, default=0.0))
    frame = Chart((), max(len(groups), FEWEST), each, top if top > bottom else 1.0, bottom)
    bars = list[Bar]()
    for x, group in enumerate(groups):
        there = [(abs(value), -at, value) for at in group if (value := values[at]) is not None]
        if there:
            _, at, value = max(there)
            y, zero = frame.y(value), frame.y(0.0)
            bars.append(Bar(-at, value, x, min(y, zero), abs(zero - y)))
    return replace(frame, bars=tuple(bars))


def _round_up(value: float) -> float:
    """To a number that is easily read: 1, 2, 4, 6, 8, 10 of a power of ten; nothing for nothing."""
    if value < SMALLEST:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9))
