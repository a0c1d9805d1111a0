"""The commands: each opens, calls and shows. And `run`, where the one kind of expected failure becomes one line.

Knows everyone; computes nothing.
"""

import contextlib
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

import typer

from . import __version__, catalogue, download, files, given, hints, interrupt, show, sinks, terminal, usage
from . import options as opt
from .errors import LmscoreError, WrongUsage
from .formats import Format
from .records import Ranking, Reading, Score, Text

if TYPE_CHECKING:
    from .scorer import Scorer

log = logging.getLogger(__name__)
Record = TypeVar("Record")

NotParsed: Any = typer.BadParameter.__mro__[1]
"""What Typer raises for command lines that it cannot read; it gives this class no public name."""

app = typer.Typer(
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Log-probabilities are in nats; every result names its start symbol. `lmscore score --help` has examples.",
)
models_app = typer.Typer(invoke_without_command=True)
app.add_typer(models_app, name="models")


def run() -> int:
    """Run the command line, and give its exit code. The only place that catches an expected failure."""
    try:
        with contextlib.redirect_stdout(cast(TextIO, sinks.Sink(sys.stdout))):
            code: int = app(prog_name="lmscore", standalone_mode=False) or 0
            sys.stdout.flush()
    except WrongUsage as err:
        return _misused(str(err))
    except LmscoreError as err:
        terminal.say("error", str(err))
        return 1
    except NotParsed as err:
        said = err.format_message().replace("Value error, ", "").rstrip(".")  # nothing where help is shown instead
        return _misused(said, err.ctx and err.ctx.command_path)
    except sinks.ClosedPipe:
        return 0
    return code


def _misused(said: str, command: str | None = None) -> int:
    """Say what is wrong with a command line, and where to read more; by what was typed, if no command is named."""
    if said:
        command = command or " ".join(["lmscore", *filter(str.isidentifier, sys.argv[1:2])])
        terminal.say("error", f"{said}; see {command} --help")
    return 2


@app.callback()
def lmscore(version: opt.VersionOpt = False) -> None:
    """What a language model makes of a text: token by token, summed, and ranked."""
    if version:
        from importlib import metadata

        print("lmscore", __version__)
        for package in ("torch", "transformers"):
            print(package, metadata.version(package))
        raise typer.Exit()


@app.command()
def score(
    texts: opt.TextsArg = None,
    file: opt.FilesOpt = None,
    whole: opt.WholeOpt = False,
    context: opt.ContextOpt = None,
    top: opt.TopTokensOpt = 0,
    model: opt.ModelOpt = opt.MODEL,
    revision: opt.RevisionOpt = None,
    trust_remote_code: opt.TrustOpt = False,
    dtype: opt.DTypeOpt = "auto",
    device: opt.DeviceOpt = "auto",
    threads: opt.ThreadsOpt = None,
    bos: opt.BosOpt = None,
    eos: opt.EosOpt = False,
    parse_special: opt.ParseSpecialOpt = False,
    boundary: opt.BoundaryOpt = "joint",
    stride: opt.StrideOpt = None,
    json: opt.JsonOpt = False,
    format: opt.FormatOpt = None,
    no_tokens: opt.NoTokensOpt = False,
    rank: opt.RankOpt = False,
    entropy: opt.EntropyOpt = False,
    words: opt.WordsOpt = False,
    word_correction: opt.WordCorrectionOpt = "on",
    unit: opt.UnitOpt = opt.Unit.nats,
    view: opt.ViewOpt = None,
    explain: opt.ExplainOpt = 0,
    svg: opt.SvgOpt = None,
    html: opt.HtmlOpt = None,
    output: opt.OutOpt = None,
    color: opt.ColorOpt = opt.Color.auto,
    quiet: opt.QuietOpt = False,
    verbose: opt.VerboseOpt = False,
) -> None:
    """Score texts: each token's log-probability given all before it, the total, and the weakest token.

    - `lmscore score "The cat sat"`

    - `lmscore score " sat" --context "The cat" --top 3`

    - `lmscore score --json --file lines.txt | jq .perplexity`
    """
    asked = Reading(eos, parse_special, boundary, stride, rank, entropy, top, usage.wording(words, word_correction))
    style = show.Style(
        opt.Format.of(format, json, output),
        not no_tokens,
        unit=unit,
        color=color.wanted,
        extras=asked.extras,
        view=view or "table",
        explain=explain,
    )
    usage.check(style, words, html, view=view, explain=explain, svg=svg)
    reading = show.told_in_full(asked) if explain or html else replace(asked, rank=style.ranks)
    terminal.listen(quiet, verbose)
    source = given.begun(given.spaced(given.texts(texts or [], file or [], whole, context)))
    read = file or [files.STDIN]
    with sinks.output(output, read) as stream, _besides(output, read, svg=svg, html=html) as besides:
        scorer = _open(quiet, model, revision, trust_remote_code, dtype, device, threads, bos)
        with terminal.pace(quiet) as pace:
            scores = _timed(scorer.scores(source, reading, tick=show.ticks(pace)), lambda score: score.num_tokens)
            show.scores(scores, stream, style, besides)


@app.command()
def rank(
    file: opt.CandidatesArg,
    context: opt.ContextOpt = None,
    join: opt.JoinOpt = "",
    by: opt.ByOpt = "sum",
    top: opt.TopPlacesOpt = None,
    input_format: opt.InputFormatOpt = None,
    model: opt.ModelOpt = opt.MODEL,
    revision: opt.RevisionOpt = None,
    trust_remote_code: opt.TrustOpt = False,
    dtype: opt.DTypeOpt = "auto",
    device: opt.DeviceOpt = "auto",
    threads: opt.ThreadsOpt = None,
    bos: opt.BosOpt = None,
    eos: opt.EosOpt = False,
    parse_special: opt.ParseSpecialOpt = False,
    boundary: opt.BoundaryOpt = "joint",
    stride: opt.StrideOpt = None,
    json: opt.JsonOpt = False,
    format: opt.FormatOpt = None,
    no_tokens: opt.NoTokensOpt = False,
    unit: opt.UnitOpt = opt.Unit.nats,
    view: opt.ViewOpt = None,
    svg: opt.SvgOpt = None,
    html: opt.HtmlOpt = None,
    output: opt.OutOpt = None,
    color: opt.ColorOpt = opt.Color.auto,
    quiet: opt.QuietOpt = False,
    verbose: opt.VerboseOpt = False,
) -> None:
    """Rank candidates by the log-probability that the model gives them, after a shared context.

    - `lmscore rank candidates.txt --context "The capital of France is"`

    - `lmscore rank groups.jsonl --json | jq .winner`

    A line of groups.jsonl: `{"context": "2 + 2 =", "candidates": [" 4", " 5"]}`
    """
    style = show.Style(
        opt.Format.of(format, json, output), not no_tokens, top, unit, color.wanted, view=view or "table"
    )
    usage.check(style, view=view, svg=svg)
    usage.check_pmi(by, bos)
    reading = Reading(eos, parse_special, boundary, stride)
    reading = show.told_in_full(reading) if html else reading
    terminal.listen(quiet, verbose)
    groups = given.hinted(given.begun(given.groups(file, input_format, context, join)))
    with sinks.output(output, [file]) as stream, _besides(output, [file], svg=svg, html=html) as besides:
        scorer = _open(quiet, model, revision, trust_remote_code, dtype, device, threads, bos)
        with terminal.pace(quiet) as pace:
            rankings = scorer.rankings(groups, by, reading, tick=show.ticks(pace))
            show.rankings(_timed(rankings, _tokens_of), stream, style, besides)


@app.command()
def diff(
    texts: opt.ComparedArg = None,
    context: opt.ContextOpt = None,
    model: opt.ModelsOpt = None,
    revision: opt.RevisionOpt = None,
    trust_remote_code: opt.TrustOpt = False,
    dtype: opt.DTypeOpt = "auto",
    device: opt.DeviceOpt = "auto",
    threads: opt.ThreadsOpt = None,
    bos: opt.BosOpt = None,
    eos: opt.EosOpt = False,
    parse_special: opt.ParseSpecialOpt = False,
    boundary: opt.BoundaryOpt = "joint",
    stride: opt.StrideOpt = None,
    json: opt.JsonOpt = False,
    format: opt.FormatOpt = None,
    unit: opt.UnitOpt = opt.Unit.nats,
    view: opt.ComparedViewOpt = None,
    svg: opt.SvgOpt = None,
    html: opt.HtmlOpt = None,
    output: opt.OutOpt = None,
    color: opt.ColorOpt = opt.Color.auto,
    quiet: opt.QuietOpt = False,
    verbose: opt.VerboseOpt = False,
) -> None:
    """Compare two texts, or one under two models: where they differ, word by word, and what decides.

    - `lmscore diff "The keys are" "The keys is"`

    - `lmscore diff " are" " is" --context "The keys to the cabinet" --view heat`

    - `lmscore diff "The keys are" -m smollm2 -m ./my-model --json | jq .difference`
    """
    from . import comparison

    style = show.Style(opt.Format.of(format, json, output), unit=unit, color=color.wanted, view=view or "table")
    usage.check(style, view=view, svg=svg)
    reading = Reading(eos, parse_special, boundary, stride)
    reading = show.told_in_full(reading) if html else reading
    terminal.listen(quiet, verbose)
    # By hand, since a list that is read from the environment is cut at blanks, and a folder's name may hold them.
    models = model or [os.environ.get("LMSCORE_MODEL") or opt.MODEL]
    source = list(given.spaced(given.compared(texts or [], models, context)))
    read = [files.STDIN]
    with sinks.output(output, read) as stream, _besides(output, read, svg=svg, html=html) as besides:
        opened = (_open(quiet, name, revision, trust_remote_code, dtype, device, threads, bos) for name in models)
        first, second = _scored_by(opened, source, reading, quiet)
        compare = comparison.by_words if len(source) == 2 else comparison.by_bytes
        show.comparison(compare(first, second), stream, style, besides)


@app.command()
def batch(
    inputs: opt.InputsArg,
    output: opt.RecordsOutOpt,
    input_format: opt.RecordsFormatOpt = None,
    text_column: opt.TextColumnOpt = None,
    context_column: opt.ContextColumnOpt = None,
    id_column: opt.IdColumnOpt = None,
    candidates_column: opt.CandidatesColumnOpt = None,
    gold_column: opt.GoldColumnOpt = None,
    good_column: opt.GoodColumnOpt = None,
    bad_column: opt.BadColumnOpt = None,
    group_column: opt.GroupColumnOpt = None,
    join: opt.JoinOpt = "",
    columns: opt.ColumnsOpt = None,
    prefix: opt.PrefixOpt = "",
    tokens: opt.TokensOpt = False,
    words: opt.NestedWordsOpt = False,
    rows: opt.RowsOpt = "record",
    rank: opt.RankColumnOpt = False,
    entropy: opt.EntropyColumnOpt = False,
    top: opt.TopColumnOpt = 0,
    by: opt.ByOpt = "sum",
    on_error: opt.OnErrorOpt = "stop",
    limit: opt.LimitOpt = None,
    shard: opt.ShardOpt = None,
    restart: opt.RestartOpt = False,
    summary: opt.SummaryOpt = None,
    html: opt.SummaryHtmlOpt = None,
    model: opt.ModelOpt = opt.MODEL,
    revision: opt.RevisionOpt = None,
    trust_remote_code: opt.TrustOpt = False,
    dtype: opt.DTypeOpt = "auto",
    device: opt.DeviceOpt = "auto",
    threads: opt.ThreadsOpt = None,
    bos: opt.BosOpt = None,
    eos: opt.EosOpt = False,
    parse_special: opt.ParseSpecialOpt = False,
    boundary: opt.BoundaryOpt = "joint",
    stride: opt.StrideOpt = None,
    word_correction: opt.WordCorrectionOpt = "on",
    quiet: opt.QuietOpt = False,
    verbose: opt.VerboseOpt = False,
) -> None:
    """Score or rank every record of a dataset, keep its columns, and add up the whole.

    Killed at any moment, the same command goes on where it was.

    - `lmscore batch texts.jsonl -o scored.jsonl`

    - `lmscore batch pairs.jsonl -o out.csv --good-column sentence_good --bad-column sentence_bad`

    - `lmscore batch quiz.parquet -o out.parquet --candidates-column endings --gold-column label`
    """
    from . import batch as batches
    from .journal import KEPT

    if html is not None and sinks.is_stdout(html):
        raise WrongUsage("--html names a file: standard output has the summary")
    terminal.listen(quiet, verbose)
    roles = usage.roles(
        text_column,
        candidates_column,
        (good_column, bad_column),
        join,
        context=context_column,
        id=id_column,
        gold=gold_column,
        group=group_column,
    )
    source = batches.Source(tuple(inputs), input_format, limit, usage.shard(shard))
    wording = usage.wording(words or rows == "word", word_correction)
    reading = Reading(eos, parse_special, boundary, stride, rank, entropy, top, wording)
    job = usage.job(
        roles, reading, by, bos, on_error, columns=columns, prefix=prefix, tokens=tokens, words=words, rows=rows
    )
    todo = batches.plan(source, job, output, {"--summary": summary, "--html": html})
    form = input_format or Format.of(inputs[0])
    for hint in hints.of_dataset(todo.first, form, todo.job.roles, text_column):
        log.warning("%s", hint)
    with sinks.output(None) as stream:
        scorer = _open(quiet, model, revision, trust_remote_code, dtype, device, threads, bos)
        keep = show.summary_keeper(summary, html, ", ".join(map(files.name_of, inputs)), scorer.provenance, by)
        stopped = contextlib.nullcontext() if quiet else interrupt.told(f"stopped: {KEPT}")
        with stopped, terminal.pace(quiet) as pace:
            done = batches.carry_out(todo, scorer, restart, show.progress(pace), keep)
        with contextlib.suppress(sinks.ClosedPipe):  # the work is done, and its exit code stands
            if summary is None or not sinks.is_stdout(summary):
                show.summary(done, scorer.provenance, by, stream)
    bad = f"{done.corpus.bad:,} bad, kept in {todo.places.errors}" if done.corpus.bad else ""
    if not quiet:
        terminal.say("done", "; ".join(filter(None, (done.sentence, bad))))
    if bad and on_error == "skip":
        raise LmscoreError(f"not all records were scored: {bad}")


@models_app.callback()
def models(command: typer.Context, json: opt.ModelsJsonOpt = False) -> None:
    """List the models lmscore knows by name, and what of them lies in its cache."""
    if command.invoked_subcommand is None:
        with sinks.output(None) as stream:
            show.holdings(download.holdings(), stream, json)


@models_app.command()
def pull(name: opt.NameArg, quiet: opt.QuietOpt = False) -> None:
    """Fetch a model into the cache now, rather than when it is first used."""
    entry = catalogue.entry(name)
    with terminal.progress(quiet) as report:
        print(download.fetch(entry, report))


@models_app.command()
def remove(name: opt.NameArg, quiet: opt.QuietOpt = False) -> None:
    """Delete a model from the cache."""
    with terminal.progress(quiet) as report:
        download.remove(catalogue.entry(name), report)


@contextlib.contextmanager
def _besides(output: str | None, read: Sequence[str], **names: str | None) -> Iterator[show.Besides]:
    """The files that are written beside the output, as far as they are named.

    Raises:
        WrongUsage: one of them is standard output, or where something else is written.
    """
    taken = {} if output is None else {os.path.realpath(output): "-o"}
    with contextlib.ExitStack() as opened:
        streams = dict[str, TextIO]()
        for name, path in names.items():
            if path is None:
                continue
            if sinks.is_stdout(path):
                raise WrongUsage(f"--{name} names a file: standard output has the table")
            other = taken.setdefault(os.path.realpath(path), f"--{name}")
            if other != f"--{name}" and path != os.devnull:
                raise WrongUsage(f"--{name} and {other} name the same file; choose another for one of them")
            streams[name] = opened.enter_context(sinks.output(path, read))
        yield show.Besides(**streams)


def _scored_by(scorers: Iterator["Scorer"], texts: Sequence[Text], reading: Reading, quiet: bool) -> Iterator[Score]:
    """Score the texts under each model in turn, opened as it is asked for; each is let go of before the next."""
    for scorer in scorers:
        with terminal.pace(quiet) as pace:
            scores = _timed(scorer.scores(texts, reading, tick=show.ticks(pace)), lambda score: score.num_tokens)
            # A score's tokens are made when they are looked at, and hold on to the model until then.
            yield from (replace(score, tokens=tuple(score.tokens)) for score in scores)
        del scorer


def _open(
    quiet: bool,
    model: str,
    revision: str | None,
    trust_remote_code: bool,
    dtype: opt.DType,
    device: opt.Device,
    threads: int | None,
    bos: str | None,
) -> "Scorer":
    """Open the model that was chosen, and say how long that took."""
    began = time.perf_counter()
    if threads is not None:  # the tokenizer's, unless something else was decided on for them
        os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    gc.disable()  # hardly any of what is loaded here is garbage before the end: no use in searching it, ever again
    try:
        with terminal.progress(quiet) as report:
            from .scorer import open_scorer

            scorer = open_scorer(
                model,
                revision=revision,
                trust_remote_code=trust_remote_code,
                dtype=dtype,
                device=device,
                threads=threads,
                bos=bos,
                report=report,
            )
    finally:
        gc.freeze()
        gc.enable()
    log.info("loaded in %.1f s: %s", time.perf_counter() - began, scorer.provenance.sentence)
    return scorer


def _timed(records: Iterable[Record], tokens_of: Callable[[Record], int]) -> Iterator[Record]:
    """Pass records on, and say at the end how fast they came."""
    began, tokens = time.perf_counter(), 0
    for record in records:
        tokens += tokens_of(record)
        yield record
    seconds = time.perf_counter() - began
    log.info("scored %d tokens in %.1f s: %.0f tokens a second", tokens, seconds, tokens / seconds)


def _tokens_of(ranking: Ranking) -> int:
    return sum(candidate.score.num_tokens for candidate in ranking.candidates)
