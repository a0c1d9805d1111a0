"""What the records of a dataset add up to: likelihood, perplexity, accuracy. Pure; knows no files and no model.

A corpus grows by chunks and can be kept as JSON between two of them, to the last digit.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .records import Measure, Ranking, Score, perplexity_of

LEAST = 10
"""How many of the least likely records are named."""

Z = 1.959963984540054
"""Of the normal distribution, 95% lies within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Hits:
    """How often the right candidate won.

    Attributes:
        right: it stood first, alone.
        tied: it shared the first place: a miss, and counted apart.
        of: how many were asked.
    """

    right: int = 0
    tied: int = 0
    of: int = 0

    def __add__(self, other: "Hits") -> "Hits":
        return Hits(self.right + other.right, self.tied + other.tied, self.of + other.of)

    @property
    def accuracy(self) -> float | None:
        """right / of: ties count as misses, and are counted apart."""
        return self.right / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% for the accuracy: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference"."""
        if not self.of:
            return None
        n, p = self.of, self.right / self.of
        middle, half = p + Z * Z / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        low, high = ((middle + side) / (1 + Z * Z / n) for side in (-half, half))
        return low if self.right else 0.0, high if self.right < n else 1.0  # which rounding else misses


@dataclass(frozen=True, slots=True, order=True)
class Unlikely:
    """One of the least likely records: by its mean per token, since by their totals they would be the longest."""

    mean_logprob: float
    where: str
    total_logprob: float


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sums over records, in nats, tokens and bytes.

    Attributes:
        records: all that were read, bad ones included.
        bad: those that could not be scored.
        ranked: those that are groups of candidates. Their texts stand for one another, so they add up to no likelihood.
        tokens, unscored, windows, bytes: of all texts that were scored, candidates included.
        total_logprob: the sum of all texts' totals.
        unlikely: the least likely, least first.
        hits: by group (``""`` is all) and measure, where records say which candidate is right.
    """

    records: int = 0
    bad: int = 0
    ranked: int = 0
    tokens: int = 0
    unscored: int = 0
    windows: int = 0
    bytes: int = 0
    total_logprob: float = 0.0
    unlikely: tuple[Unlikely, ...] = ()
    hits: Mapping[str, Mapping[Measure, Hits]] = field(default_factory=dict)

    @property
    def log_likelihood(self) -> float | None:
        """The sum of the texts' totals, nats; None where there is nothing to add up."""
        return self.total_logprob if self.tokens and not self.ranked else None

    @property
    def mean_logprob(self) -> float | None:
        """Per token, over all of them."""
        return None if self.log_likelihood is None else self.log_likelihood / self.tokens

    @property
    def perplexity(self) -> float | None:
        """exp(-Σ total / Σ tokens), never a mean of perplexities."""
        return perplexity_of(self.mean_logprob)

    @property
    def bits_per_byte(self) -> float | None:
        """-Σ total / (ln 2 · Σ UTF-8 bytes)."""
        if self.log_likelihood is None or not self.bytes:
            return None
        return -self.log_likelihood / (math.log(2) * self.bytes)

    def with_texts(self, scored: Sequence[tuple[str, Score]]) -> "Corpus":
        """The same and scored texts, each with where it came from."""
        unlikely = [
            Unlikely(score.mean_logprob, where, score.total_logprob)
            for where, score in scored
            if score.mean_logprob is not None and score.total_logprob is not None
        ]
        whole = self._with([score for _, score in scored])
        least = tuple(heapq.nsmallest(LEAST, [*self.unlikely, *unlikely]))
        return replace(whole, records=self.records + len(scored), unlikely=least)

    def with_rankings(self, ranked: Sequence[tuple[Ranking, int | None, str | None]]) -> "Corpus":
        """The same and ranked groups, each with the index of the right candidate and a name that it is counted under
        as well (None: nobody says)."""
        hits = {name: dict(held) for name, held in self.hits.items()}
        for ranking, gold, group in ranked:
            for name in ("", *([] if group is None else [group])) if gold is not None else ():
                held = hits.setdefault(name, {})
                for measure, first in ranking.firsts.items():
                    hit = Hits(int(first == (gold,)), int(gold in first and len(first) > 1), 1)
                    held[measure] = held.get(measure, Hits()) + hit
        whole = self._with([candidate.score for ranking, _, _ in ranked for candidate in ranking.candidates])
        return replace(whole, records=self.records + len(ranked), ranked=self.ranked + len(ranked), hits=hits)

    def _with(self, scores: Sequence[Score]) -> "Corpus":
        return replace(
            self,
            tokens=self.tokens + sum(score.num_tokens for score in scores),
            unscored=self.unscored + sum(score.num_unscored for score in scores),
            windows=self.windows + sum(score.windows for score in scores),
            bytes=self.bytes + sum(score.num_bytes for score in scores),
            total_logprob=math.fsum([self.total_logprob, *(score.total_logprob or 0.0 for score in scores)]),
        )

    def with_bad(self, count: int) -> "Corpus":
        """The same and records that could not be scored."""
        return replace(self, records=self.records + count, bad=self.bad + count)

    def as_json(self) -> dict[str, Any]:
        """All of it; `of_json` takes it back."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        held["unlikely"] = [[one.mean_logprob, one.where, one.total_logprob] for one in self.unlikely]
        held["hits"] = {
            group: {measure: [hit.right, hit.tied, hit.of] for measure, hit in by.items()}
            for group, by in self.hits.items()
        }
        return held

    @classmethod
    def of_json(cls, held: Mapping[str, Any]) -> "Corpus":
        unlikely = tuple(Unlikely(*one) for one in held["unlikely"])
        hits = {group: {name: Hits(*hit) for name, hit in by.items()} for group, by in held["hits"].items()}
        return cls(**{**held, "unlikely": unlikely, "hits": hits})
