"""Which ids the model reads together: windows over long sequences, and trees or batches of windows.

Pure Python over lists and arrays of ids; knows no torch and no text. What a batch costs is counted in tokens.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace


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


def _numbers(values: Iterable[int] = ()) -> "array[int]":
    """Whole numbers as torch reads them, eight bytes each."""
    return array("q", values)


@dataclass(frozen=True, slots=True)
class Tree:
    """Windows as one tree of ids: what several begin with stands in it once (but see WORTH_APART), and is read once.

    The ids stand in preorder: each behind all that lead to it, and before all that it leads to.

    Attributes:
        ids: [N].
        parents: [N], the id before each in its window; -1 for the first of a window.
        depths: [N], how many ids lead to each: its position.
        ends: [N], where what it leads to ends: ``i`` leads to ``j``, or is it, where ``i <= j < ends[i]``.
        indices: the windows' places in the sequence they were planned from.
        asked: for each token that is scored, window after window, the id it is asked after.
    """

    ids: "array[int]" = field(default_factory=_numbers)
    parents: "array[int]" = field(default_factory=_numbers)
    depths: "array[int]" = field(default_factory=_numbers)
    ends: "array[int]" = field(default_factory=_numbers)
    indices: list[int] = field(default_factory=list)
    asked: "array[int]" = field(default_factory=_numbers)

    def path(self, node: int, seen: int = 0) -> list[int]:
        """The ids that lead to one, in order, without the first `seen` of them."""
        found = []
        for _ in range(self.depths[node] - seen):
            node = self.parents[node]
            found.append(node)
        return found[::-1]

    def filled(self, count: int) -> "Tree":
        """The same with ids that nobody asked for behind it, so that there are `count`."""
        more = count - len(self.ids)
        return Tree(
            self.ids + _numbers([0] * more),
            self.parents + _numbers([-1] * more),
            self.depths + _numbers([0] * more),
            self.ends + _numbers(range(len(self.ids) + 1, count + 1)),
            self.indices,
            self.asked,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows to read side by side, filled up on the right, after a stem that begins all of them and is read once.

    Attributes:
        stem: read once for all batches that share it.
        windows: [B].
        indices: the windows' places in the sequence they were planned from.
    """

    stem: tuple[int, ...]
    windows: tuple[Window, ...]
    indices: tuple[int, ...]

    @property
    def lengths(self) -> list[int]:
        """How many ids of each window are read after the stem."""
        return [len(window.ids) - 1 - len(self.stem) for window in self.windows]

    @property
    def asked(self) -> list[int]:
        """For each token that is scored, window after window, the place in [B · T] that it is asked after."""
        lengths = self.lengths
        firsts = [window.first - 1 - len(self.stem) for window in self.windows]
        width = max(lengths)
        return [row * width + t for row in range(len(lengths)) for t in range(firsts[row], lengths[row])]


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
    stride = _moves(limit, stride)
    reach = limit - len(start) + 1  # tokens in a full window: the last one is asked for, not read
    # By the context and the stride alone: candidates of any length, short ones above included, see the same of one.
    end = reach if first < reach else first + stride
    while first < len(ids):
        begin = max(end - reach, 0)
        yield Window(start + ids[begin:end], len(start) + first - begin, cut=begin > 0)
        first, end = end, end + stride


def with_behind(
    planned: Iterator[Window],
    start: tuple[int, ...],
    ids: tuple[int, ...],
    limit: int | None,
    stride: int | None,
    steady: float,
    target: int,
) -> Iterator[Window]:
    """The windows of a sequence, and what is expected behind it: in the last of them if it has room, else in one more.

    That one looks back as far as a further window does. No token's own number changes.

    Args:
        steady: how many ids are read like any fewer: a window that would have more by this keeps its own.
        target: the id to ask for; any will do where only the others are of interest.
    """
    last = next(planned, Window(start + ids, len(start) + len(ids)))  # where nothing is scored, all there is
    for window in planned:
        yield last
        last = window
    if limit is None or len(last.ids) <= limit:
        behind = replace(last, ids=(*last.ids, target))
        if len(last.ids) - 1 <= steady < len(last.ids):
            yield last
            behind = replace(behind, first=len(last.ids))
        yield behind
        return
    yield last
    back = max(limit - len(start) + 1 - _moves(limit, stride), 1)
    yield Window((*start, *ids[-back:], target), len(start) + back, cut=True)


def _moves(limit: int, stride: int | None) -> int:
    """How many new tokens a further window scores."""
    return min(stride or max(limit // 2, 1), limit)


WORTH_APART = 64
"""A window this many times as long as what it shares gets that for itself: ids that stand in one piece are quicker to
look back at than ids in two."""


WORTH_GROWING = 2
"""A tree may outgrow its budget, up to this many times what its windows share."""


def trees(planned: Sequence[Window], budget: int) -> Iterator[Tree]:
    """Lay windows into trees of about `budget` ids; each window is in exactly one.

    A tree is larger where one window is, and where many share a beginning that is, lest each of them read it again.

    Sorted windows are a tree in preorder: each differs from the one before it by a tail.
    """
    tree, path = Tree(), list[int]()
    before: Sequence[int] = ()
    alike = _num_alike(planned)  # else compared again with each step of the sort
    for index in sorted(range(len(planned)), key=lambda i: planned[i].ids[alike:]):
        window = planned[index]
        shared = num_shared(before, window.ids[:-1], alike)
        if len(window.ids) > WORTH_APART * shared:
            shared = 0
        if tree.ids and len(tree.ids) + len(window.ids) - 1 - shared > max(budget, WORTH_GROWING * shared):
            _end(tree, path)
            yield tree
            tree, path, shared = Tree(), [], 0
        _end(tree, path[shared:])
        del path[shared:]
        node, new = len(tree.ids), window.ids[shared:-1]
        if new:
            tree.parents.append(path[-1] if path else -1)
            tree.parents.extend(range(node, node + len(new) - 1))
        tree.ids.extend(new)
        tree.depths.extend(range(shared, shared + len(new)))
        tree.ends.extend(range(node + 1, node + 1 + len(new)))
        path.extend(range(node, node + len(new)))
        tree.indices.append(index)
        tree.asked.extend(path[window.first - 1 :])
        before = window.ids[:-1]
    if tree.ids:
        _end(tree, path)
        yield tree


def _end(tree: Tree, nodes: Sequence[int]) -> None:
    """Nothing that comes from here on stands behind these ids."""
    for node in nodes:
        tree.ends[node] = len(tree.ids)


WORTH_REREADING = 16
"""What begins alike stays together until it has this many times the beginning: to read that again is then cheap."""

MOST_MORE = 4
"""But beside the beginning no more than this many times what is read together otherwise, lest that be waited for."""


def more_together(shared: int, size: int) -> int:
    """How much is read together, beyond `size`, of what begins alike; all counted in tokens, or all in bytes.

    Args:
        shared: how much of the beginning is alike.
    """
    return shared + min(WORTH_REREADING * shared, MOST_MORE * size)


def num_shared(one: Sequence[object], other: Sequence[object], known: int = 0) -> int:
    """How many items two sequences begin with together.

    Args:
        known: so many of them the caller knows to be alike; they are not compared.
    """
    high = min(len(one), len(other))
    low = min(known, high)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _num_alike(planned: Sequence[Window]) -> int:
    """How many ids all windows begin with together."""
    ids = [window.ids for window in planned]
    return num_shared(min(ids, default=()), max(ids, default=()))


def batches(planned: Sequence[Window], budget: int, shares_stem: bool) -> Iterator[Batch]:
    """Group windows of like length into batches of at most `budget` padded tokens (or one window, if larger).

    Args:
        planned: the windows; each is in exactly one batch.
        budget: tokens a batch may hold. A stem's are counted at a fraction for each window: they are not read
            again, but each window looks back at them and keeps a copy.
        shares_stem: whether the model can read a stem once and go on from it.
    """
    stem = _stem(planned) if shares_stem and len(planned) > 1 else ()
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
    shared = min(_num_alike(planned), room)
    return planned[0].ids[:shared] if shared >= WORTH_SHARING else ()
