"""What is to be done with each record of a dataset, and what it gets back: columns, and their values.

Knows no files, no model and no format.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from .encoding import Column, Filled
from .records import EVERYTHING, Extras, Measure, OnError, Ranking, Reading, Rows, Score
from .roles import Asked, Roles
from .views.rows import token_object


def _by_name(*columns: Column) -> Mapping[str, Column]:
    return {column.name: column for column in columns}


SCORE_COLUMNS = _by_name(
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
RANK_COLUMNS = _by_name(
    Column("winner", "count"),
    Column("tied", "flag"),
    Column("correct", "flag"),
    Column("good_total_logprob", "number"),
    Column("bad_total_logprob", "number"),
    Column("total_logprobs", "number", listed=True),
    Column("mean_logprobs", "number", listed=True),
    Column("byte_logprobs", "number", listed=True),
    Column("pmi_logprobs", "number", listed=True),
)
TOKENS = Column(
    "tokens",
    (
        Column("index", "count"),
        Column("id", "count"),
        Column("token", "string"),
        Column("bytes", "byte", listed=True),
        Column("start", "count"),
        Column("end", "count"),
        Column("logprob", "number"),
        Column("rank", "count"),
        Column("entropy", "number"),
        Column("straddles", "flag"),
        Column("top", (Column("id", "count"), Column("token", "string"), Column("logprob", "number")), listed=True),
    ),
    listed=True,
)
WORDS = Column(
    "words",
    (
        Column("index", "count"),
        Column("word", "string"),
        Column("start", "count"),
        Column("end", "count"),
        Column("first", "count"),
        Column("num_tokens", "count"),
        Column("logprob", "number"),
        Column("correction", "number"),
    ),
    listed=True,
)
RECORD = Column("record_index", "count")
PARTS: Mapping[Rows, Column] = {"word": WORDS, "token": TOKENS}
"""What a record is made of, where a row is not one of a record but of one of these."""


@dataclass(frozen=True)
class Job:
    """What to do with each record.

    Attributes:
        by: the measure that a winner wins by; None where records are texts.
        weigh_pmi: also weigh candidates against what they get with no context, where there is one.
        on_error: what to do about a record that cannot be scored.
        columns: what is added to each record: of `SCORE_COLUMNS` or `RANK_COLUMNS`, and the lists.
        prefix: stands before their names.
        rows: what a row of the output is; of a word or a token, it repeats what is told of its record.
    """

    roles: Roles
    reading: Reading
    by: Measure | None
    weigh_pmi: bool
    on_error: OnError
    columns: tuple[Column, ...]
    prefix: str = ""
    rows: Rows = "record"

    @property
    def added(self) -> list[Column]:
        """The columns by the names that they get."""
        return [column for _, column in self.named]

    @cached_property
    def named(self) -> list[tuple[str, Column]]:
        """The columns by their own names, each with the one that it becomes."""
        own = (*self.columns, *self.parts)
        return [(column.name, replace(column, name=self.prefix + column.name)) for column in own]

    @cached_property
    def parts(self) -> list[Column]:
        """The columns that tell of a word or a token, where a row is one: which record it is of, and their fields, with
        what they are in front.
        """
        part = PARTS.get(self.rows)
        if part is None or not isinstance(part.kind, tuple):
            return []
        left_out = {"first", *EVERYTHING.names} - {*self.reading.extras.names}
        fields = [field for field in part.kind if not field.listed and field.name not in left_out]
        own = self.rows  # a word's text is the column "word"
        return [RECORD, *(one if one.name == own else replace(one, name=f"{own}_{one.name}") for one in fields)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record and what became of it."""

    asked: Asked
    score: Score | None = None
    ranking: Ranking | None = None
    fault: str | None = None


def filled(outcome: Outcome, index: int, job: Job) -> Iterator[Filled]:
    """The rows that a record becomes: one, or one for each of its words or tokens.

    Args:
        index: the record's place in the dataset, from 0.
    """
    whole = values(outcome, job) | {RECORD.name: index}
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
            if column is not RECORD
        }


def values(outcome: Outcome, job: Job) -> dict[str, Any]:
    """The values of the columns that an outcome has, by their own names; of a text's, those alone that are added."""
    if (score := outcome.score) is not None:
        return {column.name: _value(score, column, job.reading.extras) for column in job.columns}
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
        "good_total_logprob": in_order[0].score.total_logprob,
        "bad_total_logprob": in_order[-1].score.total_logprob,
        "total_logprobs": [candidate.score.total_logprob for candidate in in_order],
        "mean_logprobs": [candidate.score.mean_logprob for candidate in in_order],
        "byte_logprobs": [candidate.score.byte_logprob for candidate in in_order],
        "pmi_logprobs": None if None in pmi else pmi,
    }


def _value(score: Score, column: Column, extras: Extras) -> Any:
    if column == TOKENS:
        return [token_object(token, extras) for token in score.tokens]
    if column == WORDS:
        return [] if score.words is None else list(map(asdict, score.words.items))
    if column.name.startswith("weakest_"):
        return getattr(score.weakest, column.name.removeprefix("weakest_"), None)
    return getattr(score, column.name)
