"""Two scores, place by place: of two texts, word by word; or of one text under two models, at the same bytes.

Pure. A difference is the second's log-probability less the first's, in nats: negative where the second is less likely.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, zip_longest
from typing import Literal

from .alignment import blocks
from .ranking import resolution
from .records import Score, Stretch, Token
from .words import stretches


@dataclass(frozen=True)
class Place:
    """Where two scores can be compared: a word of each, or as many as it takes for both to end there.

    Attributes:
        index: from 0.
    """

    index: int
    first: Stretch
    second: Stretch

    @property
    def same(self) -> bool:
        """Whether both hold the same text. What it costs may differ all the same: other words stand before it."""
        return self.first.text == self.second.text and bool(self.first.tokens) == bool(self.second.tokens)

    @property
    def replaced(self) -> bool:
        """Whether the second has other words here than the first, and not none."""
        return not self.same and bool(self.second.tokens)

    @cached_property
    def difference(self) -> float | None:
        """The second's log-probability less the first's, nats; None where one of them has none."""
        known = self.first.logprob is not None and self.second.logprob is not None
        return _difference([self]) if known else None

    def pairs(self) -> Iterator[tuple[Token | None, Token | None]]:
        """The tokens of both side by side: those that are alike together, the others as they come."""
        ours = [(token.bytes, token.start - self.first.start) for token in self.first.tokens]
        theirs = [(token.bytes, token.start - self.second.start) for token in self.second.tokens]
        if not self.same:  # words of other lengths: only what they spell can be alike
            ours, theirs = [(spelled, 0) for spelled, _ in ours], [(spelled, 0) for spelled, _ in theirs]
        for a, b in blocks(ours, theirs):
            yield from zip_longest(self.first.tokens[a.start : a.stop], self.second.tokens[b.start : b.stop])


@dataclass(frozen=True)
class Comparison:
    """Two scores, and the places at which they are compared.

    Attributes:
        by: ``words`` for two texts under one model, ``bytes`` for one text under two.
        places: in order; each token of either score is in exactly one.

    What adds up here leaves out places without a difference: those with a token that nothing stands before.
    """

    by: Literal["words", "bytes"]
    first: Score
    second: Score
    places: tuple[Place, ...]

    @property
    def of_models(self) -> bool:
        """Whether two models are compared, and not two texts."""
        return self.by == "bytes"

    @property
    def scores(self) -> tuple[Score, Score]:
        """Both."""
        return self.first, self.second

    @cached_property
    def compared(self) -> tuple[Place, ...]:
        """The places that have a difference."""
        return tuple(place for place in self.places if place.difference is not None)

    @cached_property
    def totals(self) -> tuple[float | None, float | None]:
        """What either adds up to, nats: the scores' totals, if every place has a difference."""
        if not self.compared:
            return None, None
        return _total(place.first for place in self.compared), _total(place.second for place in self.compared)

    @property
    def num_tokens(self) -> tuple[int, int]:
        """How many tokens of either are in its total."""
        first = sum(len(place.first.tokens) for place in self.compared)
        return first, sum(len(place.second.tokens) for place in self.compared)

    @property
    def bits_per_byte(self) -> tuple[float | None, float | None]:
        """Of either, -total / (ln 2 · UTF-8 bytes)."""
        first = sum(place.first.end - place.first.start for place in self.compared)
        second = sum(place.second.end - place.second.start for place in self.compared)
        a, b = (
            None if total is None or not size else -(total / size) / math.log(2)
            for total, size in zip(self.totals, (first, second), strict=True)
        )
        return a, b

    @cached_property
    def difference(self) -> float | None:
        """The second's total less the first's, nats: summed over all their tokens without rounding on the way."""
        return _difference(self.compared) if self.compared else None

    @property
    def at_same(self) -> float | None:
        """The part of the difference, in nats, at words that are the same in both: it comes from what precedes them."""
        return _difference(place for place in self.compared if place.same) if self.compared else None

    @property
    def tied(self) -> bool:
        """Whether the totals are closer than the arithmetic can tell."""
        blur = sum(map(resolution, self.scores))
        return self.difference is not None and abs(self.difference) <= blur

    @property
    def winner(self) -> Literal[0, 1] | None:
        """Which is the more probable, 0 or 1; None on a tie, or where there is nothing to compare."""
        if self.difference is None or self.tied:
            return None
        return 1 if self.difference > 0 else 0

    @cached_property
    def decides(self) -> Place | None:
        """The place that speaks most for the winner, the first on a tie; None where there is no winner."""
        if self.winner is None:
            return None
        sign = 1 if self.winner else -1
        return max(self.compared, key=lambda place: sign * (place.difference or 0.0))

    def widest(self, count: int = 5) -> tuple[Place, ...]:
        """The places that are furthest apart, in either direction, the furthest first; none that is not apart."""
        apart = sorted((p for p in self.compared if p.difference), key=lambda place: -abs(place.difference or 0.0))
        return tuple(apart[:count])


def by_words(first: Score, second: Score) -> Comparison:
    """Compare two texts under one model, aligned so that as many words as possible meet their like.

    Blanks around a word do not keep it from its like. Between two such words, those of one text stand against those of
    the other: one by one if there are as many, else all of them at one place. What only one text has stands against
    nothing, word by word.
    """
    ours, theirs = (list(stretches(score.text, score.tokens)) for score in (first, second))
    pairs = list[tuple[Stretch, Stretch]]()
    for a, b in blocks([_key(word) for word in ours], [_key(word) for word in theirs]):
        here, there = ours[a.start : a.stop], theirs[b.start : b.stop]
        if len(here) == len(there):
            pairs += zip(here, there, strict=True)
        elif here and there:
            pairs.append((_joined(here), _joined(there)))
        else:
            at, other = pairs[-1] if pairs else (_nothing(0), _nothing(0))
            pairs += ((word, _nothing(other.end)) for word in here)
            pairs += ((_nothing(at.end), word) for word in there)
    return _comparison("words", first, second, pairs)


def by_bytes(first: Score, second: Score) -> Comparison:
    """Compare one text under two models: a place ends where a word does in the tokens of both.

    Raises:
        ValueError: the texts are not the same.
    """
    if (first.text, first.context) != (second.text, second.context):
        raise ValueError("by bytes one text is compared under two models; these are two texts")
    ours, theirs = (list(stretches(score.text, score.tokens)) for score in (first, second))
    our_ends, their_ends = _ends(ours), _ends(theirs)
    shared = sorted(our_ends.keys() & their_ends.keys())
    cuts = [(0, 0), *((our_ends[end], their_ends[end]) for end in shared[:-1]), (len(ours), len(theirs))]
    pairs = [(_joined(ours[a:b]), _joined(theirs[c:d])) for (a, c), (b, d) in pairwise(cuts)]
    return _comparison("bytes", first, second, pairs)


def _comparison(
    by: Literal["words", "bytes"], first: Score, second: Score, pairs: Iterable[tuple[Stretch, Stretch]]
) -> Comparison:
    return Comparison(by, first, second, tuple(Place(index, *pair) for index, pair in enumerate(pairs)))


def _nothing(at: int) -> Stretch:
    return Stretch("", (), at, at)


def _joined(words: Sequence[Stretch]) -> Stretch:
    tokens = tuple(token for word in words for token in word.tokens)
    return Stretch("".join(word.text for word in words), tokens, words[0].start, words[-1].end)


def _key(word: Stretch) -> tuple[str, str]:
    """What makes two words alike: their texts, blanks at the ends apart; or the names of their end symbols."""
    return word.text.strip() or word.text, "" if word.text else word.tokens[0].token


def _ends(found: Sequence[Stretch]) -> dict[int, int]:
    """For each byte that a word ends at, how many words end by then; an end symbol is taken to end behind the last."""
    ends = {word.end: number for number, word in enumerate(found, 1) if word.text}
    return ends if not found or found[-1].text else {**ends, found[-1].end + 1: len(found)}


def _difference(places: Iterable[Place]) -> float:
    """Of the tokens of these places, all of which have a figure."""
    return math.fsum(
        sign * (token.logprob or 0.0)
        for place in places
        for sign, tokens in ((-1, place.first.tokens), (1, place.second.tokens))
        for token in tokens
    )


def _total(stretches: Iterable[Stretch]) -> float:
    return math.fsum(token.logprob or 0.0 for stretch in stretches for token in stretch.tokens)
