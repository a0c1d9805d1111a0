"""Records to outcomes: which are read together, and in which way each is scored.

What is read together depends on nothing but the records, so whoever goes on where another run stopped comes to the
very same numbers. Knows no files and no formats.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from .errors import RecordError
from .job import Job, Outcome
from .planning import more_together, num_shared
from .records import Measure, Provenance, Ranking, Reading, Score, Text, Tick
from .roles import Asked

BYTES_A_TOKEN = 4
"""About so many, in the texts that most models read: chunks are cut by bytes, before anything is tokenized."""

FEWEST_BYTES = 16
"""What a record counts for in a chunk, even if it is the one before it once more."""

MOST_BYTES = 32 << 20
"""Texts of a chunk: a bound on memory, where each brings the same long beginning."""


class Scorer(Protocol):
    """What scores: `lmscore.scorer.Scorer`."""

    provenance: Provenance

    @property
    def portion(self) -> int: ...
    @property
    def arithmetic(self) -> Mapping[str, Any]: ...
    @property
    def files(self) -> Sequence[Path]: ...
    def settle(self) -> None: ...
    def scores(self, texts: Iterable[str | Text], reading: Reading, soon: bool, tick: Tick) -> Iterator[Score]: ...
    def rankings(
        self, groups: Iterable[Sequence[Text]], by: Measure, reading: Reading, soon: bool, tick: Tick
    ) -> Iterator[Ranking]: ...


def chunks(records: Iterable[Asked], size: int) -> Iterator[list[Asked]]:
    """Records in runs of about `size` bytes: where one ends depends on its own records and the next alone.

    What a record begins with as the one before it does is not counted: together, it is read once.
    """
    chunk: list[Asked] = []
    new, held, beginning = 0, 0, ""
    for record in records:
        before, beginning = beginning, record.beginning
        shared = len(beginning[: num_shared(before, beginning)].encode("utf-8", "replace"))
        if new >= size + more_together(shared, size) or held >= MOST_BYTES:
            yield chunk
            chunk, new, held, shared = [], 0, 0, 0
        chunk.append(record)
        new += max(record.size - shared, FEWEST_BYTES)
        held += record.size
    if chunk:
        yield chunk


def outcomes(chunk: Sequence[Asked], job: Job, scorer: Scorer, tick: Tick) -> list[Outcome]:
    """Score a chunk; a record that cannot be scored does not keep the others from it."""
    found: dict[int, Outcome] = {}
    works = [_work(record, job, scorer) for record in chunk]
    for work in dict.fromkeys(works):
        left = [at for at in range(len(chunk)) if works[at] == work]
        while left:
            done = 0
            try:
                for outcome in _scored([chunk[at] for at in left], work, job, scorer, tick):
                    found[left[done]] = outcome
                    done += 1
                break
            except RecordError as err:
                found[left[done]] = Outcome(chunk[left[done]], fault=str(err))
                left = left[done + 1 :]
    return [found[at] for at in range(len(chunk))]


Work = Literal["fault"] | Measure | None
"""What is to be done with a record: nothing, ranking it so that this measure is there, or scoring it."""


def _work(record: Asked, job: Job, scorer: Scorer) -> Work:
    if record.fault is not None:
        return "fault"
    pmi = job.weigh_pmi and record.texts[0].context and scorer.provenance.bos_id is not None
    return "pmi" if pmi else job.by


def _scored(records: Sequence[Asked], work: Work, job: Job, scorer: Scorer, tick: Tick) -> Iterator[Outcome]:
    if work == "fault":
        yield from (Outcome(record, fault=record.fault) for record in records)
    elif work is None:
        scores = scorer.scores((record.texts[0] for record in records), job.reading, False, tick)
        yield from (Outcome(record, score=score) for record, score in zip(records, scores, strict=True))
    else:
        rankings = scorer.rankings((record.texts for record in records), work, job.reading, False, tick)
        yield from (Outcome(record, ranking=ranking) for record, ranking in zip(records, rankings, strict=True))
