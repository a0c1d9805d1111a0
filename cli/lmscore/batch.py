"""A whole dataset: records in, the same records and their scores out, and what they add up to.

Puts tables, scorer, journal and encoding together. What is read together depends on nothing but the records, so a run
that was killed and goes on computes the very numbers that an undisturbed one does. Knows no options and no terminal.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, Literal, Protocol

from . import __version__, encoding, journal, tables
from .corpus import Corpus
from .encoding import Column, Encoder, Filled
from .errors import LmscoreError, RecordError
from .files import STDIN, name_of
from .records import Measure, Provenance, Ranking, Reading, Score, Text
from .roles import Asked, Roles, asked
from .tables import Format, Position, Row
from .views.rows import token_object

OnError = Literal["stop", "skip", "null"]

BYTES_A_TOKEN = 4
"""About so many, in the texts that most models read: chunks are cut by bytes, before anything is tokenized."""

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


Tick = Callable[[int, int], None]
"""Told how many tokens are scored of those that are read together, and how many these are."""


class Scorer(Protocol):
    """What scores: `lmscore.scorer.Scorer`."""

    provenance: Provenance

    @property
    def look_ahead(self) -> int: ...
    @property
    def threads(self) -> int: ...
    def settle(self) -> None: ...
    def scores(self, texts: Iterable[str | Text], reading: Reading, ahead: int, tick: Tick) -> Iterator[Score]: ...
    def rankings(
        self, groups: Iterable[Sequence[Text]], by: Measure, reading: Reading, ahead: int, tick: Tick
    ) -> Iterator[Ranking]: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record and what became of it."""

    asked: Asked
    score: Score | None = None
    ranking: Ranking | None = None
    fault: str | None = None


def chunks(records: Iterable[Asked], size: int) -> Iterator[list[Asked]]:
    """Records in runs of about `size` bytes: where one ends depends on its own records alone."""
    chunk: list[Asked] = []
    held = 0
    for record in records:
        chunk.append(record)
        held += record.size + 1
        if held >= size:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def outcomes(chunk: Sequence[Asked], job: "Job", scorer: Scorer, tick: Tick) -> Iterator[Outcome]:
    """Score a chunk; a record that cannot be scored does not keep the others from it."""
    for kind, run in groupby(chunk, key=lambda record: _kind(record, job, scorer)):
        left = list(run)
        while left:
            done = 0
            try:
                for outcome in _scored(left, kind, job, scorer, tick):
                    done += 1
                    yield outcome
                break
            except RecordError as err:
                yield Outcome(left[done], fault=str(err))
                left = left[done + 1 :]


Kind = Literal["fault"] | Measure | None


def _kind(record: Asked, job: "Job", scorer: Scorer) -> Kind:
    """What is to be done with a record: nothing, ranking it so that this measure is there, or scoring it."""
    if record.fault is not None:
        return "fault"
    pmi = job.weigh_pmi and record.texts[0].context and scorer.provenance.bos_id is not None
    return "pmi" if pmi else job.by


def _scored(records: Sequence[Asked], kind: Kind, job: "Job", scorer: Scorer, tick: Tick) -> Iterator[Outcome]:
    if kind == "fault":
        yield from (Outcome(record, fault=record.fault) for record in records)
    elif kind is None:
        scores = scorer.scores((record.texts[0] for record in records), job.reading, scorer.look_ahead, tick)
        yield from (Outcome(record, score=score) for record, score in zip(records, scores, strict=True))
    else:
        rankings = scorer.rankings((record.texts for record in records), kind, job.reading, scorer.look_ahead, tick)
        yield from (Outcome(record, ranking=ranking) for record, ranking in zip(records, rankings, strict=True))


def values(outcome: Outcome, job: "Job") -> dict[str, Any]:
    """The values of all columns that an outcome has."""
    if (score := outcome.score) is not None:
        found = {name: getattr(score, name, None) for name in SCORE_COLUMNS}
        weakest = score.weakest
        found["weakest_token"] = None if weakest is None else weakest.token
        found["weakest_logprob"] = None if weakest is None else weakest.logprob
        return {**found, "tokens": [token_object(token, job.extras) for token in score.tokens]}
    if (ranking := outcome.ranking) is None:
        return {}
    in_order = sorted(ranking.candidates, key=lambda candidate: candidate.index)
    first = ranking.firsts.get(job.by or "sum", ())
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


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with each record.

    Attributes:
        by: the measure that a winner wins by; None where records are texts.
        weigh_pmi: also weigh candidates against what they get with no context, where there is one.
        on_error: what to do about a record that cannot be scored.
        columns: what is added to each record, by the names of `SCORE_COLUMNS` or `RANK_COLUMNS`.
        prefix: stands before their names.
        extras: which of ``rank``, ``entropy`` and ``top`` tokens have.
    """

    roles: Roles
    reading: Reading
    by: Measure | None
    weigh_pmi: bool
    on_error: OnError
    columns: tuple[Column, ...]
    prefix: str = ""
    extras: tuple[str, ...] = ()

    @property
    def added(self) -> list[Column]:
        """The columns by the names that they get."""
        return [Column(self.prefix + column.name, column.kind) for column in self.columns]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        corpus: what it has added up to.
        seconds: how long that took, in all runs that it took.
        within: of the chunk at work, how many tokens are scored and how many there are.
    """

    corpus: Corpus = field(default_factory=Corpus)
    seconds: float = 0.0
    within: tuple[int, int] = (0, 0)

    @property
    def rate(self) -> float:
        """Scored tokens a second."""
        return (self.corpus.tokens + self.within[0]) / self.seconds if self.seconds else 0.0


Report = Callable[[Progress], None]


def run(todo: "Plan", scorer: Scorer, work: journal.Journal, report: Report) -> Progress:
    """Score records and write them, from where the journal says that the last run stopped.

    A shard's first and last chunk may hold records of others: they are scored along and left out, so that the numbers
    are those that a run over all records gives.

    Raises:
        LmscoreError: a record cannot be scored and `on_error` is ``stop``; or the output cannot be written; or the
            records before are not those that the last run met. What the journal calls sure stays, and the same run
            goes on from there.
    """
    job, encoder, own = todo.job, todo.encoder, todo.own
    done, progress = work.state.records, _progress(work.state)
    digest = _met(b"", islice(todo.rows, done))
    if done and digest.hex() != work.state.kept["digest"]:
        raise LmscoreError(f"the first {done:,} records are not those that were scored before; --restart begins again")
    if not done:
        work.write("out", encoder.head())
    sure = time.perf_counter()
    before = progress.seconds - sure

    def tick(scored: int, total: int) -> None:
        report(replace(progress, seconds=before + time.perf_counter(), within=(scored, total)))

    left = (_asked(row, job, encoder) for row in todo.rows)
    for chunk in chunks(left, scorer.look_ahead * BYTES_A_TOKEN):
        mine = range(max(own.start - done, 0), max(min(own.stop - done, len(chunk)), 0))
        found = list(outcomes(chunk, job, scorer, tick)) if mine else []
        found = found[mine.start : mine.stop]
        bad = [outcome for outcome in found if outcome.fault is not None]
        if bad and job.on_error == "stop":
            work.commit(done, _kept(progress, digest))
            raise LmscoreError(f"{_placed(bad[0])}; {MEND}")
        kept = found if job.on_error == "null" else [outcome for outcome in found if outcome.fault is None]
        work.write("out", encoder.encode([_filled(outcome, job) for outcome in kept]))
        work.write("errors", b"".join(map(_error, bad)))
        done += len(chunk)
        digest = _met(digest, (record.row for record in chunk))
        now = time.perf_counter()
        progress = Progress(_counted(progress.corpus, found, job), before + now)
        if now - sure >= SURE_EVERY:
            work.commit(done, _kept(progress, digest))
            sure = now
        report(progress)
        if done >= own.stop:
            break
    work.commit(done, _kept(progress, digest), done=True)
    return progress


MEND = "mend it, or go on without such records: --on-error skip, or null"

SURE_EVERY = 1.0
"""Seconds after which what is written is brought to the disk: so much work is lost at most, and a chunk."""


def _asked(row: Row, job: Job, encoder: Encoder) -> Asked:
    fault = None if row.fault is not None else encoder.fault(row)
    return asked(row, job.roles) if fault is None else Asked(row, fault=fault)


def _met(digest: bytes, rows: Iterable[Row]) -> bytes:
    """A digest of all records so far."""
    for row in rows:
        held = repr(row.fields if row.line is None else row.line).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(digest + held, digest_size=16).digest()
    return digest


def _kept(progress: Progress, digest: bytes) -> dict[str, Any]:
    return {"corpus": progress.corpus.as_json(), "seconds": progress.seconds, "digest": digest.hex()}


def _progress(state: journal.State) -> Progress:
    return Progress(Corpus.of_json(state.kept["corpus"]), state.kept["seconds"]) if state.kept else Progress()


def _filled(outcome: Outcome, job: Job) -> Filled:
    found = values(outcome, job)
    return Filled(outcome.asked.row, {job.prefix + column.name: found.get(column.name) for column in job.columns})


def _counted(corpus: Corpus, found: Iterable[Outcome], job: Job) -> Corpus:
    for outcome in found:
        row = outcome.asked.row
        id = None if job.roles.id is None else row.fields.get(job.roles.id)
        where = row.where if id is None else str(id)
        if outcome.score is not None:
            corpus = corpus.with_texts([(where, outcome.score)])
        elif outcome.ranking is not None:
            corpus = corpus.with_ranking(where, outcome.ranking, outcome.asked.gold, outcome.asked.group)
        else:
            corpus = corpus.with_bad()
    return corpus


def _placed(outcome: Outcome) -> str:
    """Why a record could not be scored, with where it stands."""
    where, fault = outcome.asked.row.where, outcome.fault or ""
    return fault if fault.startswith(where) else f"{where}: {fault}"


def _error(outcome: Outcome) -> bytes:
    row = outcome.asked.row
    record = row.line if row.fault is not None else row.fields
    return f"{encoding.as_json({'where': row.where, 'reason': _placed(outcome), 'record': record})}\n".encode()


@dataclass(frozen=True, slots=True)
class Source:
    """The records of a dataset.

    Attributes:
        paths: files, one after the other.
        form: how they are written; None goes by each one's name.
        limit: only so many, the first.
        shard: only the i-th of n parts, counted from 1: (i, n).
    """

    paths: tuple[str, ...]
    form: Format | None = None
    limit: int | None = None
    shard: tuple[int, int] | None = None

    def rows(self, position: Position) -> Iterator[Row]:
        """All records, as `tables.rows` gives them."""
        return tables.rows(self.paths, self.form, position)

    def own(self) -> range:
        """Which of them are meant, counted from 0; for a shard they are all counted first."""
        own = range(sys.maxsize)
        if self.shard is not None:
            part, parts = self.shard
            count = sum(1 for _ in self.rows(Position()))
            own = range((part - 1) * count // parts, part * count // parts)
        return own[: self.limit]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that may begin: its first record has been read, and its output has a place.

    Attributes:
        rows: all records, the first one included.
        own: which of them are meant.
        position: how far they have been read.
    """

    source: Source
    job: Job
    out: Path
    form: Format
    rows: Iterator[Row]
    own: range
    position: Position
    encoder: Encoder


def plan(source: Source, job: Job, out: str) -> Plan:
    """Look at the first record and at the output's place.

    Raises:
        LmscoreError: there are no records, a column is missing or taken, or the output has no place or no format.
    """
    place = Path(out).resolve()
    form = Format.of(out)
    if form is None or form is Format.txt or out.lower().endswith(tables.COMPRESSED):
        raise LmscoreError(f"{out}: its name does not say what to write; end it in .jsonl, .csv, .tsv or .parquet")
    if not place.parent.is_dir():
        raise LmscoreError(f"cannot write {out}: there is no folder {place.parent}; make it first")
    if place.exists() and not place.is_file():
        raise LmscoreError(f"cannot write {out}: it is no file; name one with -o")
    for path in source.paths:
        if path != STDIN and place.exists() and Path(path).exists() and place.samefile(path):
            raise LmscoreError(f"{out} is being read, and would be lost; choose another place with -o")
    if any(column.kind in ("tokens",) for column in job.columns) and form in (Format.csv, Format.tsv):
        raise LmscoreError(f"{out}: token lists do not fit into {form.value.upper()}; write .jsonl or .parquet")
    if source.shard is not None and STDIN in source.paths:
        raise LmscoreError("--shard reads its input twice, to count it first; give it a file instead of standard input")
    position = Position()
    rows = source.rows(position)
    seen: list[Row] = []
    for row in rows:
        seen.append(row)
        if row.fault is None or job.on_error == "stop":
            break
    if not seen:
        raise LmscoreError(f"{', '.join(map(name_of, source.paths))}: there are no records in it")
    first = seen[-1]  # the first that can be read tells the columns
    if first.fault is not None:
        raise LmscoreError(f"{first.where}: {first.fault}; {MEND}")
    job = replace(job, roles=job.roles.found_in(first))
    encoder = Encoder(form, list(first.fields), job.added)
    own = source.own()
    rows = chain(seen, rows) if source.limit is None else islice(chain(seen, rows), own.stop)
    return Plan(source, job, place, form, rows, own, position, encoder)


def carry_out(todo: Plan, scorer: Scorer, restart: bool, report: Report) -> Progress:
    """Do it, or go on doing it, and give the output its name.

    Raises:
        LmscoreError: as `run`; or another run is at work on this output; or one that was killed was another.
    """
    scorer.settle()
    part = todo.out.with_name(f"{todo.out.name}.part")
    errors = todo.out.with_name(f"{todo.out.name}.errors.jsonl")
    with journal.opened(todo.out, _pins(todo, scorer), {"out": part, "errors": errors}, restart) as work:
        if part.exists():
            todo.encoder.learn(part)
        progress = _progress(work.state)
        if not work.state.done:
            progress = run(todo, scorer, work, report)
        work.close()
        with journal.explained(todo.out):
            if part.exists():  # else it has its name already
                if todo.form is Format.parquet:
                    whole = part.with_suffix(".whole")
                    todo.encoder.gather(part, whole)
                    whole.replace(todo.out)
                    part.unlink()
                else:
                    part.replace(todo.out)
            if errors.exists() and not errors.stat().st_size:
                errors.unlink()
        work.finish()
    return progress


def _pins(todo: Plan, scorer: Scorer) -> dict[str, Any]:
    """What must be the same for a run to go on. What to do about a bad record is not among it."""
    source, job = todo.source, todo.job
    files = [path for path in source.paths if path != STDIN]
    return {
        "lmscore": __version__,
        "input": list(source.paths),
        **{f"file {path}": journal.fingerprint(Path(path)) for path in files},
        "input format": source.form,
        "limit": source.limit,
        "shard": source.shard,
        "threads": scorer.threads,
        **{f"model {name}": value for name, value in asdict(scorer.provenance).items()},
        **{f"column {name}": value for name, value in asdict(job.roles).items()},
        **{f"reading {name}": value for name, value in asdict(job.reading).items()},
        "by": job.by,
        "pmi": job.weigh_pmi,
        "columns": [column.name for column in job.added],
    }
