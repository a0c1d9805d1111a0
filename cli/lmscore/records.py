"""The records that travel through lmscore: a text goes in, a score or a ranking comes out.

Knows no torch, no files and no terminal. Log-probabilities are natural logarithms (nats) everywhere.
Derived figures are properties, so that no number is stored twice.
"""

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

Boundary = Literal["joint", "separate"]
Measure = Literal["sum", "mean", "byte", "pmi"]
OnError = Literal["stop", "skip", "null"]
"""What becomes of a record that cannot be scored: the run stops there; it is left out; it is kept, with no scores."""
Rows = Literal["record", "word", "token"]
"""What a row of a dataset's output is."""
Marks = Literal["beginning", "end", "blanks", "none"]
"""What tells words apart: tokens that begin with a blank, those that end with one, those of blanks alone, or none."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text to score, byte for byte as it stands.

    Attributes:
        text: what is scored.
        context: what stands directly before it; it conditions the text and adds nothing to the total.
        origin: where the text came from, for messages ("words.txt, line 3").
        index: its position in the input it came from, from 0.
    """

    text: str
    context: str | None = None
    origin: str = "the text"
    index: int = 0

    def joined(self, by: str) -> "Text":
        """The same with something between its context and it; as it is where one of the two is empty."""
        return replace(self, text=by + self.text) if by and self.context and self.text else self


@dataclass(frozen=True, slots=True)
class Extras:
    """What is told of each token beside its log-probability.

    Attributes:
        rank, entropy: whether they are.
        top: how many of the likeliest tokens at its place are.
    """

    rank: bool = False
    entropy: bool = False
    top: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are told."""
        return tuple(name for name in ("rank", "entropy", "top") if getattr(self, name))


NOTHING_MORE = Extras()
"""The log-probability alone."""

EVERYTHING = Extras(rank=True, entropy=True, top=sys.maxsize)
"""All that was read out."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts are read and what is read out for each token.

    Attributes:
        eos: score the end symbol as a last token.
        parse_special: let a string such as ``<|endoftext|>`` in a text be the symbol it names.
        boundary: ``joint`` tokenizes context and text together, ``separate`` apart.
        stride: how far a window moves on, in tokens, when a text is longer than the model's
            context; None is half the window.
        rank: also read out each token's rank.
        entropy: also read out the entropy of the distribution each token was drawn from.
        top: also read out this many of the likeliest tokens at each position.
        words: also add up the tokens of each word: ``corrected`` for what a tokenizer leaves open about where a word
            ends, or ``plain``.
    """

    eos: bool = False
    parse_special: bool = False
    boundary: Boundary = "joint"
    stride: int | None = None
    rank: bool = False
    entropy: bool = False
    top: int = 0
    words: Literal["corrected", "plain"] | None = None

    def __post_init__(self) -> None:
        if self.boundary not in ("joint", "separate"):
            raise ValueError(f"boundary is 'joint' or 'separate', not {self.boundary!r}")
        if self.words not in (None, "corrected", "plain"):
            raise ValueError(f"words is 'corrected', 'plain' or None, not {self.words!r}")
        if self.top < 0 or (self.stride is not None and self.stride < 1):
            raise ValueError("top counts from 0, and a window moves on by at least 1")

    @property
    def extras(self) -> Extras:
        """What is read out beside log-probabilities."""
        return Extras(self.rank, self.entropy, self.top)


Tick = Callable[[int, int], None]
"""Told of the tokens that are read together: how many are scored so far, and how many there are."""


class Report(Protocol):
    """Told what is going on, how many bytes are done, and of how many (None: not known)."""

    def __call__(self, what: str, done: int = 0, total: int | None = None) -> None: ...


def silent(what: str, done: int = 0, total: int | None = None) -> None:
    """A report for callers who want none."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token the model might have expected, with its log-probability in nats."""

    id: int
    token: str
    bytes: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a scored text.

    Attributes:
        index: its place among the text's tokens, from 0 (context and start symbol not counted).
        id: its number in the vocabulary.
        token: its text, or what it spells if it holds none of the text; bytes that are no whole character stand as
            ``\\xf0``.
        bytes: the bytes of the text that it holds; empty for the end symbol, and for a blank that the tokenizer adds.
        start, end: byte offsets into the UTF-8 text. ``start`` is negative where the token also
            holds bytes of the context.
        logprob: log P(token | everything before it) in nats; None where nothing stands before it.
        rank: 1 + the number of vocabulary entries with a strictly greater logit, if asked for.
        entropy: of the whole next-token distribution at this place, nats, if asked for.
        straddles: holds bytes of both the context and the text.
        top: the likeliest tokens at this place, likeliest first, if asked for.
        spelling: what it spells in the vocabulary, whatever stands in the text: blanks that the tokenizer puts there.
        special: a symbol that stands for no text: the end symbol, or one that ``parse_special`` found.
    """

    index: int
    id: int
    token: str
    bytes: bytes
    start: int
    end: int
    logprob: float | None
    rank: int | None = None
    entropy: float | None = None
    straddles: bool = False
    top: tuple[Alternative, ...] | None = None
    spelling: str = ""
    special: bool = False


class Tokens(Sequence[Token], ABC):
    """A text's tokens, made when they are looked at; what they add up to is known before. Equal to a tuple of them."""

    @property
    @abstractmethod
    def logprobs(self) -> Sequence[float]:
        """The log-probabilities of those that have one, nats, in order: the last of all tokens."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokens | tuple) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __reduce__(self) -> tuple[type[tuple[Token, ...]], tuple[tuple[Token, ...]]]:
        return tuple, (tuple(self),)  # a copy in another process needs no model


def joint_logprob(tokens: Sequence[Token]) -> float | None:
    """log P of tokens in a row, nats: the sum of theirs; None where one of them has none."""
    logprobs = [token.logprob for token in tokens if token.logprob is not None]
    return math.fsum(logprobs) if len(logprobs) == len(tokens) else None


@dataclass(frozen=True)
class Stretch:
    """A word of a scored text or several, as they stand, with their tokens.

    Attributes:
        text: as it stands; empty for an end symbol, and where there is nothing to stand.
        tokens: in order.
        start, end: byte offsets into the text.
    """

    text: str
    tokens: tuple[Token, ...]
    start: int
    end: int

    @cached_property
    def logprob(self) -> float | None:
        """The sum over its tokens, nats: 0 if there are none, None if one of them has none."""
        return joint_logprob(self.tokens)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a scored text, the blanks before it included.

    Attributes:
        index: its place among the text's words, from 0.
        word: its text, or what a symbol is called.
        start, end: byte offsets into the UTF-8 text; ``start`` is negative where it begins in the context.
        first: the index of its first token.
        num_tokens: how many tokens it is made of.
        logprob: log P(word | everything before it) in nats: the sum of its tokens', and the correction if that is
            wanted; None where one of them does not exist.
        correction: what was added to its tokens' sum, nats: log P(a word begins after it) - log P(a word begins where
            it does); None where it was not wanted, or the tokens do not tell.
    """

    index: int
    word: str
    start: int
    end: int
    first: int
    num_tokens: int
    logprob: float | None
    correction: float | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """A text's words.

    Attributes:
        items: in order; every token is in one.
        corrected: whether their log-probabilities are.
        marks: what the vocabulary's tokens tell of words.
        end_context: how many tokens were in sight where it was read that the last word ends, if in a window of its own:
            behind a text that fills the model's context.
    """

    items: tuple[Word, ...]
    corrected: bool
    marks: Marks
    end_context: int | None = None

    @property
    def total_logprob(self) -> float | None:
        """The sum over the words that have a log-probability; None where none has."""
        logprobs = [word.logprob for word in self.items if word.logprob is not None]
        return math.fsum(logprobs) if logprobs else None

    @property
    def weakest(self) -> Word | None:
        """The word with the lowest log-probability; the first of them on a tie."""
        scored = (word for word in self.items if word.logprob is not None)
        return min(scored, key=lambda word: word.logprob or 0.0, default=None)

    @property
    def num_unscored(self) -> int:
        """How many words have no log-probability."""
        return sum(word.logprob is None for word in self.items)


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a number was got: which weights, at which precision, where, after which start symbol."""

    name: str
    revision: str | None
    dtype: str
    device: str
    bos_id: int | None
    bos_token: str | None
    bos_source: str

    @property
    def sentence(self) -> str:
        """All of it on one line, for a person."""
        start = f"no start symbol ({self.bos_source})"
        if self.bos_id is not None:
            start = f"start symbol {self.bos_token} (id {self.bos_id}, by {self.bos_source})"
        revision = f" {self.revision}" if self.revision else ""
        return f"{self.name}{revision}, {self.dtype} on {self.device}, {start}"


def perplexity_of(mean_logprob: float | None) -> float | None:
    """exp(-mean); None where there is no mean, or it is beyond float64."""
    try:
        return None if mean_logprob is None else math.exp(-mean_logprob)
    except OverflowError:
        return None


@dataclass(frozen=True)
class Score:
    """A text with the log-probability of each of its tokens, and what adds up from them.

    Attributes:
        text, context: as they were given.
        tokens: the text's tokens in order; a context's tokens are not among them. Those without a
            log-probability, if any, come first.
        windows: how many overlapping windows the model read the text in.
        min_context: the fewest tokens that stood before any token whose window did not reach back
            to the beginning; None where nothing was cut off.
        model: how the numbers were got.
        words: what its tokens add up to word by word, if asked for.

    All log-probabilities are in nats. A figure that does not exist (no token was scored, or a
    perplexity beyond float64) is None, never 0.
    """

    text: str
    context: str | None
    tokens: Sequence[Token]
    windows: int
    min_context: int | None
    model: Provenance
    words: Words | None = None

    @cached_property
    def logprobs(self) -> tuple[float, ...]:
        """The log-probabilities that exist, in order: the ones the total adds up."""
        if isinstance(self.tokens, Tokens):
            return tuple(self.tokens.logprobs)
        return tuple(token.logprob for token in self.tokens if token.logprob is not None)

    @property
    def num_tokens(self) -> int:
        """How many tokens were scored."""
        return len(self.logprobs)

    @property
    def num_unscored(self) -> int:
        """How many tokens have no log-probability, because nothing stands before them."""
        return len(self.tokens) - self.num_tokens

    @cached_property
    def num_bytes(self) -> int:
        """UTF-8 bytes of the scored text: those of unscored tokens are left out."""
        if not self.num_unscored:
            return len(self.text.encode())
        unscored = sum(token.end - max(token.start, 0) for token in self.tokens[: self.num_unscored])
        return len(self.text.encode()) - unscored

    @cached_property
    def total_logprob(self) -> float | None:
        """Σ log P(x_i | x_<i) over the scored tokens, summed in float64 without rounding on the way."""
        return math.fsum(self.logprobs) if self.logprobs else None

    @property
    def mean_logprob(self) -> float | None:
        """total / scored tokens."""
        return None if self.total_logprob is None else self.total_logprob / self.num_tokens

    @property
    def byte_logprob(self) -> float | None:
        """total / UTF-8 bytes of the scored text."""
        return None if self.total_logprob is None or not self.num_bytes else self.total_logprob / self.num_bytes

    @property
    def perplexity(self) -> float | None:
        """exp(-mean)."""
        return perplexity_of(self.mean_logprob)

    @property
    def bits_per_byte(self) -> float | None:
        """-total / (ln 2 · UTF-8 bytes of the scored text)."""
        return None if self.byte_logprob is None else (0.0 - self.byte_logprob) / math.log(2)

    @cached_property
    def weakest(self) -> Token | None:
        """The token with the lowest log-probability; the first of them on a tie."""
        if not self.logprobs:
            return None
        return self.tokens[self.num_unscored + self.logprobs.index(min(self.logprobs))]

    def is_weakest(self, token: Token) -> bool:
        """Whether a token of its is the weakest."""
        return self.weakest is not None and token.index == self.weakest.index

    @property
    def weakest_share(self) -> float | None:
        """The weakest token's part of the total; None where the total is 0 or does not exist."""
        if self.weakest is None or self.weakest.logprob is None or not self.total_logprob:
            return None
        return self.weakest.logprob / self.total_logprob


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate's standing in a ranking.

    Attributes:
        place: from 1; candidates that are tied share one.
        index: its position in the input, from 0.
        score: the candidate scored after the ranking's context.
        value: what the ranking is by: nats, or nats a token or byte; None where it has none.
        pmi: log P(candidate | context) - log P(candidate | start symbol), nats, if asked for.
        margin: distance to the best, in the measure the ranking is by; 0 in the first place, tied or not; None where
            the candidate has no such measure.
        share: exp(total) / Σ exp(total) over the candidates.
        tied: shares its place with another, which the arithmetic cannot tell from it.
    """

    place: int
    index: int
    score: Score
    value: float | None
    pmi: float | None
    margin: float | None
    share: float
    tied: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates in order of place.

    Attributes:
        context: what stands before every candidate.
        by: the measure the order follows.
        candidates: best first; within a tie, in input order.
        firsts: for each measure at hand, the indices of those that stand first by it: several on a tie.
    """

    context: str | None
    by: Measure
    candidates: tuple[Candidate, ...]
    firsts: Mapping[Measure, tuple[int, ...]]

    @property
    def model(self) -> Provenance:
        """What scored them."""
        return self.candidates[0].score.model

    def upto(self, place: int | None) -> tuple[Candidate, ...]:
        """The candidates in the first places, all that share one included; None is all of them."""
        return tuple(candidate for candidate in self.candidates if place is None or candidate.place <= place)

    @property
    def flips(self) -> dict[Measure, int]:
        """The winners of other measures, where they have one that is not first (or tied for it) by this one."""
        here = self.firsts[self.by]
        return {m: first[0] for m, first in self.firsts.items() if len(first) == 1 and first[0] not in here}

    @property
    def tied(self) -> bool:
        """Whether the first place is shared, so that there is no winner."""
        return self.candidates[0].tied

    @property
    def winner(self) -> int | None:
        """The winner's position in the input, from 0; None on a tie for the first place."""
        return None if self.tied else self.candidates[0].index
