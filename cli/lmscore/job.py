"""What is to be done with each record of a dataset, and what it gets back: columns, and their values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .encoding import Column, Filled
from .records import Measure, OnError, Ranking, Reading, Rows, Score
from .roles import Asked, Roles
from .views.rows import token_object, word_object

SCORE_COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column("total_logprob", "number"),
        Column("mean_logprob", "number"),
        Column("byte_logprob", "number"),
        Column("perplexity", "number"),
        Column("bits_per_byte", "number"),
        Column("num_tokens", "count"),
        Column("num_unscored", "count"),
        Column("num_bytes", "count"),
        Column("weakest_token", "string"),
        Column("weakest_logprob", "number"),
        Column("windows", "count"),
        Column("min_context", "count"),
    )
}
RANK_COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column("winner", "count"),
        Column("tied", "flag"),
        Column("correct", "flag"),
        Column("total_logprobs", "numbers"),
        Column("mean_logprobs", "numbers"),
        Column("byte_logprobs", "numbers"),
        Column("pmi_logprobs", "numbers"),
    )
}
TOKENS = Column("tokens", "tokens")
WORDS = Column("words", "words")
PART_COLUMNS: Mapping[Rows, Sequence[Column]] = {
    "word": (
        Column("word_index", "count"),
        Column("word", "string"),
        Column("word_start", "count"),
        Column("word_end", "count"),
        Column("word_num_tokens", "count"),
        Column("word_logprob", "number"),
        Column("word_correction", "number"),
    ),
    "token": (
        Column("token_index", "count"),
        Column("token", "string"),
        Column("token_start", "count"),
        Column("token_end", "count"),
        Column("token_id", "count"),
        Column("token_logprob", "number"),
        Column("token_rank", "count"),
        Column("token_entropy", "number"),
        Column("token_straddles", "flag"),
    ),
}
"""What a row tells of a word or a token, where it is not of a record: their fields, with what they are in front."""


@dataclass(frozen=True)
class Job:
    """What to do with each record.

    Attributes:
        by: the measure that a winner wins by; None where records are texts.
        weigh_pmi: also weigh candidates against what they get with no context, where there is one.
        on_error: what to do about a record that cannot be scored.
        columns: what is added to each record, by the names of `SCORE_COLUMNS` or `RANK_COLUMNS`.
        prefix: stands before their names.
        extras: which of ``rank``, ``entropy`` and ``top`` tokens have.
        rows: what a row of the output is; of a word or a token, it repeats what is told of its record.
    """

    roles: Roles
    reading: Reading
    by: Measure | None
    weigh_pmi: bool
    on_error: OnError
    columns: tuple[Column, ...]
    prefix: str = ""
    extras: tuple[str, ...] = ()
    rows: Rows = "record"

    @property
    def added(self) -> list[Column]:
        """The columns by the names that they get."""
        return [column for _, column in self.named]

    @cached_property
    def named(self) -> list[tuple[str, Column]]:
        """The columns by their own names, each with the one that it becomes."""
        own = (*self.columns, *self.parts)
        return [(column.name, Column(self.prefix + column.name, column.kind)) for column in own]

    @cached_property
    def parts(self) -> list[Column]:
        """The columns that tell of a word or a token, where a row is one."""
        left_out = {f"token_{name}" for name in ("rank", "entropy") if name not in self.extras}
        return [column for column in PART_COLUMNS.get(self.rows, ()) if column.name not in left_out]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record and what became of it."""

    asked: Asked
    score: Score | None = None
    ranking: Ranking | None = None
    fault: str | None = None


def filled(outcome: Outcome, job: Job) -> Iterator[Filled]:
    """The rows that a record becomes: one, or one for each of its words or tokens."""
    whole = values(outcome, job)
    for part in [{}] if job.rows == "record" or outcome.score is None else _parts(outcome.score, job):
        found = whole | part
        yield Filled(outcome.asked.row, {column.name: found.get(own) for own, column in job.named})


def _parts(score: Score, job: Job) -> Iterator[dict[str, Any]]:
    """What is told of each word, or of each token."""
    items: Sequence[Any] = () if score.words is None else score.words.items
    for item in items if job.rows == "word" else score.tokens:
        yield {
            column.name: getattr(item, column.name.removeprefix(f"{job.rows}_"))  # "word" is the word's own text
            for column in job.parts
        }


def values(outcome: Outcome, job: "Job") -> dict[str, Any]:
    """The values of the columns that an outcome has, by their own names; of a text's, those alone that are added."""
    if (score := outcome.score) is not None:
        return {column.name: _value(score, column, job.extras) for column in job.columns}
    if (ranking := outcome.ranking) is None:
        return {}
    in_order = sorted(ranking.candidates, key=lambda candidate: candidate.index)
    first = ranking.firsts[job.by or "sum"]  # it may have been ranked by pmi, for that to be known as well
    winner = first[0] if len(first) == 1 else None
    gold = outcome.asked.gold
    pmi = [candidate.pmi for candidate in in_order]
    return {
        "winner": winner,
        "tied": len(first) > 1,
        "correct": None if gold is None else winner == gold,
        "total_logprobs": [candidate.score.total_logprob for candidate in in_order],
        "mean_logprobs": [candidate.score.mean_logprob for candidate in in_order],
        "byte_logprobs": [candidate.score.byte_logprob for candidate in in_order],
        "pmi_logprobs": None if None in pmi else pmi,
    }


def _value(score: Score, column: Column, extras: Sequence[str]) -> Any:
    if column == TOKENS:
        return [token_object(token, extras) for token in score.tokens]
    if column == WORDS:
        return [] if score.words is None else list(map(word_object, score.words.items))
    if column.name.startswith("weakest_"):
        return getattr(score.weakest, column.name.removeprefix("weakest_"), None)
    return getattr(score, column.name)
