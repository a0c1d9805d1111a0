"""Which ids the model reads together: windows over long sequences, batches over windows, shared prefixes.

Pure Python over lists of ids; knows no torch and no text. What a batch costs is counted in tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a sequence that the model reads at once.

    The model reads ``ids[:-1]`` and is asked, after each of them, for the next id.

    Attributes:
        ids: the start symbol, if there is one, and the tokens after it.
        first: where in ``ids`` the tokens begin that are scored here; all before only condition. At least 1.
        cut: whether tokens of the sequence before this window are out of its sight.
    """

    ids: tuple[int, ...]
    first: int
    cut: bool = False

    @property
    def scored(self) -> tuple[int, ...]:
        return self.ids[self.first :]


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows to read together, after a stem that begins all of them and is read once for all batches that share it.

    ``indices`` are the windows' places in the sequence they were planned from.
    """

    stem: tuple[int, ...]
    windows: tuple[Window, ...]
    indices: tuple[int, ...]


def windows(
    start: tuple[int, ...], ids: tuple[int, ...], first: int, limit: int | None, stride: int | None
) -> Iterator[Window]:
    """Cut a sequence into overlapping windows that score each token from `first` on exactly once.

    Every window opens with the start symbol. A token has at least ``limit - stride`` tokens before it, the start symbol
    counted, where the sequence has them.

    Args:
        start: the start symbol, or nothing.
        ids: the sequence without it, at least one token longer than ``first``.
        first: the first index in ``ids`` to score. Without a start symbol, index 0 has no condition and is skipped.
        limit: how many ids the model reads at once; None for no limit.
        stride: how many new tokens a further window scores; None for half the limit.
    """
    first = max(first, 1 - len(start))
    if limit is None or len(start) + len(ids) - 1 <= limit:
        if first < len(ids):
            yield Window(start + ids, first + len(start))
        return
    stride = min(stride or max(limit // 2, 1), limit)
    reach = limit - len(start) + 1  # tokens in a full window: the last one is asked for, not read
    end = max(reach, first + stride)
    while first < len(ids):
        end = min(end, len(ids))
        begin = max(end - reach, 0)
        yield Window(start + ids[begin:end], len(start) + first - begin, cut=begin > 0)
        first, end = end, end + stride


def batches(planned: Sequence[Window], budget: int, share: bool) -> Iterator[Batch]:
    """Group windows of like length into batches of at most `budget` padded tokens (or one window, if larger).

    Args:
        planned: the windows; each is in exactly one batch.
        budget: tokens a batch may hold. A stem's are counted at a fraction for each window: they are not read
            again, but each window looks back at them and keeps a copy.
        share: whether the model can read a stem once and go on from it.
    """
    stem = _stem(planned) if share and len(planned) > 1 else ()
    order = sorted(range(len(planned)), key=lambda i: len(planned[i].ids), reverse=True)
    while order:
        new = len(planned[order[0]].ids) - 1 - len(stem)
        count = max(budget // (new + len(stem) // LOOKING_BACK), 1)
        taken, order = order[:count], order[count:]
        yield Batch(stem, tuple(planned[i] for i in taken), tuple(taken))


LOOKING_BACK = 4
"""How many tokens looked back at weigh as much as one that is read."""

WORTH_SHARING = 8
"""A stem shorter than this many tokens costs more to set up than to read again."""


def _stem(planned: Sequence[Window]) -> tuple[int, ...]:
    """The ids that begin every window and that none of them scores from or after."""
    room = min(window.first for window in planned) - 1
    low, high = min(window.ids[:room] for window in planned), max(window.ids[:room] for window in planned)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False)))
    return low[:shared] if shared >= WORTH_SHARING else ()
