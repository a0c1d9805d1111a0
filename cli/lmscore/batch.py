"""A whole dataset: records in, the same records and their scores out, and what they add up to.

Puts tables, outcomes, journal and encoding together. Knows no terminal, and of options only what its errors advise.
"""

import hashlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from itertools import chain, islice
from pathlib import Path
from typing import Any

from . import __version__, journal, sinks, tables
from .corpus import Corpus
from .encoding import Encoder
from .errors import LmscoreError, WrongUsage
from .files import ONCE, STDIN, is_stream, name_of
from .formats import Format, as_json, compression, escaped
from .job import TOKENS, WORDS, Job, Outcome, filled
from .outcomes import BYTES_A_TOKEN, Scorer, chunks, outcomes
from .places import Places
from .records import Tick
from .roles import Asked, Roles, asked
from .tables import Row
from .views.remarks import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        corpus: what it has added up to.
        seconds: how long that took, in all runs that it took.
        share: of all work, how much is done; None where nobody knows.
        within: of what is at work now, how many tokens are scored and how many there are.
    """

    corpus: Corpus = field(default_factory=Corpus)
    seconds: float = 0.0
    share: float | None = None
    within: tuple[int, int] = (0, 0)

    @property
    def rate(self) -> float:
        """Scored tokens a second."""
        return (self.corpus.tokens + self.within[0]) / self.seconds if self.seconds else 0.0

    @property
    def sentence(self) -> str:
        """How much and how fast, for a person."""
        return f"{counted(self.corpus.records, 'record')} in {self.seconds:,.1f} s, {self.rate:,.0f} tokens a second"


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a run is, between two chunks.

    Attributes:
        records: how many have been read.
        digest: of these, to know them again.
        progress: what they have added up to.
    """

    records: int
    digest: bytes
    progress: Progress

    @property
    def kept(self) -> dict[str, Any]:
        """What the journal keeps of it."""
        corpus, seconds = self.progress.corpus.as_json(), self.progress.seconds
        return {"corpus": corpus, "seconds": seconds, "digest": self.digest.hex()}


def run(todo: "Plan", scorer: Scorer, work: journal.Journal, report: OnProgress) -> Progress:
    """Score records and write them, from where the journal says that the last run stopped.

    A shard's first and last chunk may hold records of others: they are scored along and left out, so that the numbers
    are those that a run over all records gives.

    Raises:
        LmscoreError: a record cannot be scored and `on_error` is ``stop``; or the output cannot be written; or the
            records before are not those that the last run met. What the journal calls sure stays, and the same run
            goes on from there.
    """
    at = _stand(todo, work)
    if at.records:
        so_far = counted(at.records, "record")
        log.warning("going on after %s that an earlier run has read; --restart begins again", so_far)
    else:
        work.write("out", todo.encoder.head())
    report(at.progress)
    sure = time.perf_counter()
    began = sure - at.progress.seconds
    for chunk in chunks(_left(todo, at.records), scorer.portion * BYTES_A_TOKEN):
        share = todo.share(at.records + len(chunk), chunk[-1].row)
        mine = slice(max(todo.own.start - at.records, 0), max(todo.own.stop - at.records, 0))
        first = at.records + mine.start
        tick = _ticking(at.progress, share, began, report)
        found = outcomes(chunk, todo.job, scorer, tick)[mine] if chunk[mine] else []
        bad = [outcome for outcome in found if outcome.fault is not None]
        if bad and todo.job.on_error == "stop":
            work.commit(at.records, at.kept)
            raise LmscoreError(f"{_placed(bad[0])}; {MEND}")
        kept = [one for one in enumerate(found, first) if one[1].fault is None or todo.job.on_error == "null"]
        rows = [row for index, outcome in kept for row in filled(outcome, index, todo.job)]
        work.write("out", todo.encoder.encode(rows))
        work.write("errors", b"".join(map(_error, bad)))
        now = time.perf_counter()
        progress = Progress(_counted(at.progress.corpus, found, todo.job), now - began, share)
        at = Stand(at.records + len(chunk), reduce(_met, (one.row for one in chunk), at.digest), progress)
        if now - sure >= SURE_EVERY:
            work.commit(at.records, at.kept)
            sure = now
        report(progress)
        if at.records >= todo.own.stop:
            break
    work.commit(at.records, at.kept, done=True)
    return at.progress


def _ticking(before: Progress, share: float | None, began: float, report: OnProgress) -> Tick:
    """Told of what is scored of a chunk, report how far the run is: on the way from before it to that share."""
    shown, passed = before.share, 0

    def tick(scored: int, total: int) -> None:
        """What is scored of a part that is read together; there may be several, one after the other."""
        nonlocal shown, passed
        if before.share is not None and share is not None:
            shown = max(shown or 0.0, share - (share - before.share) * (1 - scored / total))
        report(Progress(before.corpus, time.perf_counter() - began, shown, (passed + scored, passed + total)))
        passed += total * (scored == total)

    return tick


MEND = "mend it, and the same command goes on from there; or leave such records out: --on-error skip, or null"

SURE_EVERY = 1.0
"""Seconds after which what is written is brought to the disk: so much work is lost at most, and a chunk."""


def _left(todo: "Plan", done: int) -> Iterator[Asked]:
    """The records that are left, once so many have been read."""
    rows, first = todo.rows, max(todo.own.start, done)  # nothing is said of what others' records lack
    noticed = _noticed(islice(rows, max(todo.own.stop - first, 0)), todo.job.roles)
    return (_asked(row, todo.job, todo.encoder) for row in chain(islice(rows, first - done), noticed, rows))


def _noticed(rows: Iterable[Row], roles: Roles) -> Iterator[Row]:
    """Pass rows on, and say where a column that may be lacking first is: some writers leave out nulls, and some people
    misspell a name.
    """
    wanted = {name for name in roles.beside if name is not None}
    for row in rows:
        if row.fault is None:
            for name in sorted(wanted - row.fields.keys()):
                warning = '%s has no column "%s": read as if that were null; no more is said of others'
                log.warning(warning, row.where, name)
                wanted.discard(name)
        yield row


def _asked(row: Row, job: Job, encoder: Encoder) -> Asked:
    found = asked(row, job.roles)
    fault = None if row.fault is not None else encoder.fault(row)
    if fault is None and not job.reading.eos and (empty := [text for text in found.texts if not text.text]):
        fault = f"{empty[0].origin}: its text is empty, so there is nothing to score without --eos"
    return found if fault is None else Asked(row, fault=fault)


def _met(digest: bytes, row: Row) -> bytes:
    """A digest of all records so far, this one the last."""
    held = repr(row.fields if row.line is None else row.line).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(digest + held, digest_size=16).digest()


def _stand(todo: "Plan", work: journal.Journal) -> Stand:
    """Where the last run stopped, once the records that it met have been read again.

    Raises:
        LmscoreError: they are others, or the journal does not say.
    """
    done, kept = work.state.records, work.state.kept
    if not done:
        return Stand(0, b"", Progress(share=todo.share(0, None)))
    digest, last = b"", None
    for last in islice(todo.rows, done):
        digest = _met(digest, last)
    if digest.hex() != kept.get("digest"):
        read = ", ".join(map(name_of, todo.source.paths))
        raise LmscoreError(
            f"{read}: the first {done:,} records are not those that were read before; "
            "give those, or --restart begins again"
        )
    try:
        progress = Progress(Corpus.of_json(kept["corpus"]), float(kept["seconds"]), todo.share(done, last))
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise LmscoreError("the journal is not one that lmscore can read; --restart begins again") from err
    return Stand(done, digest, progress)


def _counted(corpus: Corpus, found: Sequence[Outcome], job: Job) -> Corpus:
    scored = [(_name(one.asked.row, job), one.score) for one in found if one.score is not None]
    ranked = [(one.ranking, one.asked.gold, one.asked.group) for one in found if one.ranking is not None]
    bad = sum(one.fault is not None for one in found)
    return corpus.with_texts(scored).with_rankings(ranked).with_bad(bad)


def _name(row: Row, job: Job) -> str:
    id = None if job.roles.id is None else row.fields.get(job.roles.id)
    return row.where if id is None else str(id)


def _placed(outcome: Outcome) -> str:
    """Why a record could not be scored, with where it stands."""
    where, fault = outcome.asked.row.where, outcome.fault or ""
    return fault if fault.startswith(where) else f"{where}: {fault}"


def _error(outcome: Outcome) -> bytes:
    row = outcome.asked.row
    record = row.line if row.fault is not None else row.fields
    said = as_json({"where": row.where, "reason": _placed(outcome), "record": record})
    return f"{escaped(said)}\n".encode("utf-8", "backslashreplace")


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

    def own(self) -> range:
        """Which records are meant, counted from 0; for a shard they are all counted first."""
        own = range(sys.maxsize)
        if self.shard is not None:
            part, parts = self.shard
            count = tables.count(self.paths, self.form)
            own = range((part - 1) * count // parts, part * count // parts)
        return own[: self.limit]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that may begin: its first record has been read, and its output has a place.

    Attributes:
        first: the first record that tells its columns, and what is to be scored of it.
        rows: all records, the first one included.
        own: which of them are meant.
    """

    source: Source
    job: Job
    places: Places
    form: Format
    first: Asked
    rows: Iterator[Row]
    own: range
    encoder: Encoder

    def share(self, done: int, last: Row | None) -> float | None:
        """How much of the work is done after so many records, of which that is the last; None where nobody knows."""
        if self.own.stop < sys.maxsize:
            return min(max(done - self.own.start, 0) / max(len(self.own), 1), 1.0)
        if last is not None:
            return last.share
        return None if self.first.row.share is None else 0.0


LOOKED_AT = 1000
"""Records that can be read: so many are looked at for one that has all columns. A misspelt one is in none."""

NOWHERE: Mapping[str, str | None] = {}


def plan(source: Source, job: Job, out: str, summaries: Mapping[str, str | None] = NOWHERE) -> Plan:
    """Look at the files, at the first record, and at the output's place.

    Args:
        summaries: where summaries go, by the option that says so; standard output and None are no files.

    Raises:
        WrongUsage: by its name alone the output has no format, or by theirs the inputs; or names are used twice.
        LmscoreError: there are no records, a column is missing or taken, or the output has no place.
    """
    form = _form_of(out, job)
    if source.paths.count(STDIN) > 1:
        raise WrongUsage(ONCE)
    places = Places.of(out, summaries, source.paths)
    tables.check(source.paths, source.form)
    if source.shard is not None and any(map(is_stream, source.paths)):
        raise WrongUsage("--shard reads its input twice, to count it first; give it a file")
    rows = tables.rows(source.paths, source.form)
    seen, first = _telling(rows, source, job)
    job = replace(job, roles=job.roles.found_in(first))
    encoder = Encoder(form, list(first.fields), job.added)
    own = source.own()
    rows = chain(seen, rows) if source.limit is None else islice(chain(seen, rows), own.stop)
    return Plan(source, job, places, form, asked(first, job.roles), rows, own, encoder)


def _form_of(out: str, job: Job) -> Format:
    """What to write, by the output's name.

    Raises:
        WrongUsage: it does not say, or that cannot hold what is asked for.
    """
    form = Format.of(out)
    if out == STDIN:
        raise WrongUsage("batch keeps what is done in a file, and cannot write to standard output; name one with -o")
    if form is not None and compression(out):
        raise WrongUsage(f"{name_of(out)}: what is written is not compressed, since it grows; leave out that ending")
    if form is None or form is Format.txt:
        raise WrongUsage(
            f"{name_of(out)}: its name does not say what to write; end it in .jsonl, .csv, .tsv or .parquet"
        )
    lists = [column.name for column in job.columns if column in (TOKENS, WORDS)]
    if lists and form in (Format.csv, Format.tsv):
        raise WrongUsage(
            f"{out}: a list of {lists[0]} does not fit into {form.value.upper()}; write .jsonl or .parquet, "
            f"or --rows {lists[0].removesuffix('s')}"
        )
    return form


def _telling(rows: Iterator[Row], source: Source, job: Job) -> tuple[list[Row], Row]:
    """Records up to one that has all the columns that are named, and the one that tells which columns there are.

    Raises:
        LmscoreError: there are no records, or none of them can be read.
    """
    seen, readable, whole = list[Row](), list[Row](), False
    for row in rows:
        seen.append(row)
        if row.fault is None:
            readable.append(row)
            whole = all(name in row.fields for name in job.roles.named)
        if whole or job.on_error == "stop" or len(seen) == LOOKED_AT:
            break
    if not seen:
        raise LmscoreError(f"{', '.join(map(name_of, source.paths))}: there are no records in it")
    first = seen[-1] if whole else (readable or seen)[0]
    if first.fault is not None:
        mend = MEND if job.on_error == "stop" else "no record can be read"
        raise LmscoreError(f"{first.where}: {first.fault}; {mend}")
    return seen, first


def carry_out(todo: Plan, scorer: Scorer, restart: bool, report: OnProgress, keep: OnProgress) -> Progress:
    """Do it, or go on doing it, and give the output its name.

    Args:
        keep: told of the whole when it has its name, and before the journal goes: if it fails, the same run comes to
            it again.

    Raises:
        LmscoreError: as `run`; or another run is at work on this output; or one that was killed was another.
    """
    scorer.settle()
    places = todo.places
    with journal.opened(places.out, _pins(todo, scorer), places.parts, restart, {"--on-error": "stop"}) as work:
        progress = _brought_to_its_end(todo, scorer, work, report)
        work.close()
        with sinks.explained(places.out, journal.KEPT):
            _take_names(todo)
        keep(progress)
        work.finish()
    return progress


def _brought_to_its_end(todo: Plan, scorer: Scorer, work: journal.Journal, report: OnProgress) -> Progress:
    """Score what is not scored yet."""
    places, part = todo.places, todo.places.parts["out"]
    with sinks.explained(places.out, journal.KEPT):
        for growing in filter(Path.exists, places.parts.values()):
            sinks.keep_mode(places.out, growing)
    if part.exists():
        todo.encoder.learn(part)
    elif not places.out.exists():
        raise LmscoreError(f"{places.out} was made, and is gone; --restart makes it again")
    if not work.state.done:
        return run(todo, scorer, work, report)
    at = _stand(todo, work)
    if work.state.records < todo.own.stop and next(todo.rows, None) is not None:
        raise LmscoreError("there are more records than were read before; --restart begins again")
    return at.progress


def _take_names(todo: Plan) -> None:
    """Give what is whole its name, as far as it has not got it already."""
    places, part, errors = todo.places, todo.places.parts["out"], todo.places.parts["errors"]
    if part.exists() and todo.form is Format.parquet:
        places.gathered.touch()
        sinks.keep_mode(places.out, places.gathered)
        todo.encoder.gather(part, places.gathered)
        places.gathered.replace(places.out)
        journal.settle(places.out.parent)
        part.unlink()
    elif part.exists():
        part.replace(places.out)
    if errors.exists() and errors.stat().st_size:
        errors.replace(places.errors)
    elif errors.exists():  # what an earlier run has left there is no longer so
        places.errors.unlink(missing_ok=True)
        errors.unlink()


def _pins(todo: Plan, scorer: Scorer) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    source, job, own = todo.source, todo.job, todo.own
    return {
        "lmscore": __version__,
        **scorer.arithmetic,
        "input": list(source.paths),  # what they hold may be mended, as far as it has not been scored: see `_stand`
        "--input-format": source.form,
        "--limit": source.limit,
        "--shard": source.shard,
        "records of the shard": None if source.shard is None else [own.start, own.stop],
        **{f"model {name}": value for name, value in asdict(scorer.provenance).items()},
        **{f"model file {path.name}": journal.fingerprint(path) for path in scorer.files},
        **{f"column {name}": value for name, value in asdict(job.roles).items()},
        **{f"reading {name}": value for name, value in asdict(job.reading).items()},
        "--by": job.by,
        "pmi": job.weigh_pmi,
        "columns": [column.name for column in job.added],
        "header": None if todo.form is Format.jsonl else list(todo.first.row.fields),
        "--on-error": job.on_error,
    }
