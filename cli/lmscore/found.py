"""What a model says of one text, column by column, and the text's tokens, made of it when somebody looks at them."""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, overload

from .engine import Readout
from .records import Alternative, Token, Tokens
from .tokenization import Pieces
from .vocabulary import Vocabulary

T = TypeVar("T")

MOST_KEPT = 1 << 16
"""Tokens of a text that are kept once they are made."""


@dataclass(slots=True)
class Found:
    """What the model says of a text: a column for each thing that is wanted, those of the others empty.

    Attributes:
        logprobs: nats, of the tokens that are scored.
        windows: of each, how many tokens it scores, and how many it looks back at, if it does not reach the beginning.
    """

    logprobs: "array[float]" = field(default_factory=lambda: array("d"))
    ranks: list[int] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    tops: list[tuple[tuple[int, float], ...]] = field(default_factory=list)
    among: list[float] = field(default_factory=list)
    windows: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def min_context(self) -> int | None:
        """The fewest tokens that any window looks back at, of those that do not reach the beginning."""
        return min((looks_back for _, looks_back in self.windows if looks_back is not None), default=None)

    def add(self, readout: Readout, looks_back: int | None) -> None:
        """Add a window.

        Args:
            looks_back: at how many tokens, if it does not reach the beginning.
        """
        self.logprobs.extend(readout.logprobs)
        self.ranks.extend(readout.ranks or ())
        self.entropies.extend(readout.entropies or ())
        self.tops.extend(readout.tops or ())
        self.among.extend(readout.among or ())
        self.windows.append((len(readout.logprobs), looks_back))

    def take_ending(self) -> tuple[float, int | None]:
        """Take out what was read behind the text: what `among` said there, and at how much it was looked back from
        there, if in a window of its own.
        """
        # A window that scores but this was made for it: `planning.with_behind` else adds it to one that scores a token.
        looks_back = self.windows.pop()[1] if self.windows[-1][0] == 1 else None
        for column in (self.logprobs, self.ranks, self.entropies, self.tops):
            del column[-1:]
        return self.among.pop(), looks_back


class LazyTokens(Tokens):
    """A text's tokens, made from what is known of them; those of a text that is not long are kept once all are made."""

    def __init__(self, pieces: Pieces, found: Found, vocabulary: Vocabulary) -> None:
        self._pieces, self._found, self._vocabulary = pieces, found, vocabulary
        self._unscored = len(pieces) - len(found.logprobs)

    @property
    def logprobs(self) -> Sequence[float]:
        return self._found.logprobs

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._all) if len(self) <= MOST_KEPT else map(self._made, range(len(self)))

    @overload
    def __getitem__(self, at: int) -> Token: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Token, ...]: ...
    def __getitem__(self, at: int | slice) -> Token | tuple[Token, ...]:
        places = range(len(self))[at]
        return self._made(places) if isinstance(places, int) else tuple(map(self._made, places))

    @cached_property
    def _all(self) -> tuple[Token, ...]:
        return tuple(map(self._made, range(len(self))))

    def _made(self, index: int) -> Token:
        piece, found, place = self._pieces[index], self._found, index - self._unscored
        top = _at(found.tops, place)
        return Token(
            index=index,
            id=piece.id,
            token=piece.token,
            bytes=piece.bytes,
            start=piece.start,
            end=piece.end,
            logprob=_at(found.logprobs, place),
            rank=_at(found.ranks, place),
            entropy=_at(found.entropies, place),
            straddles=piece.straddles,
            top=None if top is None else _alternatives(self._vocabulary, top),
            spelling=piece.spelling,
            special=piece.special,
        )


def _alternatives(vocabulary: Vocabulary, likely: Sequence[tuple[int, float]]) -> tuple[Alternative, ...]:
    """The likeliest tokens; one that the model rules out (a logit of -inf) is none of them."""
    return tuple(
        Alternative(id, vocabulary.spelling(id), vocabulary.bytes_of(id), logprob)
        for id, logprob in likely
        if math.isfinite(logprob)
    )


def _at(column: Sequence[T], place: int) -> T | None:
    """What a column says of a token; None for one that is not scored, and where nothing was asked for."""
    return column[place] if column and place >= 0 else None
