"""Two sequences side by side: as much as possible of what both hold, in order, and what stands between. Pure.

What they share is their longest common subsequence, found with a bit for each place: 64 at a time, so that texts of
tens of thousands of words take no time (Hyyrö 2004, "Bit-parallel LCS-length computation revisited").
"""

from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache
from itertools import takewhile

STRIDE = 256
"""Rows of bits between two that are kept; those between are worked out again on the way back. It bounds the memory."""


def blocks(first: Sequence[Hashable], second: Sequence[Hashable]) -> Iterator[tuple[range, range]]:
    """Places in both, in order: each a pair of the same, one place long, or all that stands between two such pairs."""
    at, other = 0, 0
    for i, j in (*common(first, second), (len(first), len(second))):
        if at < i or other < j:
            yield range(at, i), range(other, j)
        if i < len(first):
            yield range(i, i + 1), range(j, j + 1)
        at, other = i + 1, j + 1


def common(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The places, in order, of a longest sequence that both hold; like beginnings and like ends are in it."""
    shorter = min(len(first), len(second))
    head = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
    rest = zip(reversed(first), reversed(second), strict=False)
    tail = min(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], rest)), shorter - head)
    inner = _common(first[head : len(first) - tail], second[head : len(second) - tail])
    ends = ((len(first) - n, len(second) - n) for n in range(tail, 0, -1))
    return [*((n, n) for n in range(head)), *((head + i, head + j) for i, j in inner), *ends]


def _common(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[tuple[int, int]]:
    """As `common`. Bit j of row i is 0 where the first i of one share more with j + 1 of the other than with j."""
    places: dict[Hashable, list[int]] = {}
    for j, item in enumerate(second):
        places.setdefault(item, []).append(j)
    every = (1 << len(second)) - 1

    @lru_cache(maxsize=1024)  # words that come often; kept for all, the bits of a book would fill the memory
    def where(item: Hashable) -> int:
        bits = bytearray(len(second) // 8 + 1)
        for j in places.get(item, ()):
            bits[j // 8] |= 1 << j % 8
        return int.from_bytes(bits, "little")

    def rows(row: int, items: Sequence[Hashable]) -> Iterator[int]:
        for item in items:
            more = row & where(item)
            row = ((row + more) | (row - more)) & every
            yield row

    kept = [every, *(row for i, row in enumerate(rows(every, first), 1) if i % STRIDE == 0)]
    found, j = list[tuple[int, int]](), len(second)
    for block in reversed(range(len(kept))):
        begin = block * STRIDE
        window = [kept[block], *rows(kept[block], first[begin : begin + STRIDE])]
        i = len(window) - 1
        while i and j:
            if window[i] >> (j - 1) & 1:
                j -= 1
            else:
                i -= 1
                if window[i] >> (j - 1) & 1:  # this row has one more, and the one before it has not: here they meet
                    j -= 1
                    found.append((begin + i, j))
    return found[::-1]
