"""The commands: each opens, calls and shows. And `run`, where the one kind of expected failure becomes one line.

Knows everyone; computes nothing.
"""

import contextlib
import gc
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

import typer

from . import __version__, catalogue, files, given, hints, interrupt, show, sinks, terminal, usage
from . import options as opt
from .errors import LmscoreError, WrongUsage, one_line
from .formats import Format
from .gathering import gathered
from .records import Ranking, Reading, Score, Text

if TYPE_CHECKING:
    from .scorer import Scorer

log = logging.getLogger(__name__)
Record = TypeVar("Record")

NotParsed: Any = typer.BadParameter.__mro__[1]
"""What Typer raises for command lines that it cannot read; it gives this class no public name."""

PLAINLY = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "a whole number has to stand behind it",
}
"""What it says, and what says more to who typed it."""

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
    """Run the command line, and give its exit code: here an expected failure becomes a line and a code."""
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
        said = err.format_message().rstrip(".")  # nothing where help is shown instead
        for theirs, ours in PLAINLY.items():
            said = said.replace(theirs, ours)
        if re.match("No such option: -[^-]", said):
            said += " (a text that begins with - goes behind --)"
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
@gathered
def score(
    *,
    texts: opt.TextsArg = None,
    file: opt.FilesOpt = None,
    whole: opt.WholeOpt = False,
    context: opt.ContextOpt = None,
    join: opt.JoinOpt = "",
    top: opt.TopTokensOpt = 0,
    model: opt.ModelOpt = opt.DEFAULT_MODEL,
    opening: opt.Opening,
    cutting: opt.Cutting,
    word_correction: opt.WordCorrectionOpt = "on",
    showing: opt.Showing,
    view: opt.ViewOpt = None,
    no_tokens: opt.NoTokensOpt = False,
    words: opt.WordsOpt = False,
    rank: opt.RankOpt = False,
    entropy: opt.EntropyOpt = False,
    explain: opt.ExplainOpt = 0,
    talk: opt.Talk,
) -> None:
    """Score texts: each token's log-probability given all before it, the total, and the weakest token.

    - `lmscore score "The cat sat"`

    - `lmscore score " sat" --context "The cat" --top 3`

    - `lmscore score --json --file lines.txt | jq .perplexity`
    """
    asked = cutting.reading(rank=rank, entropy=entropy, top=top, words=usage.wording(words, word_correction))
    style = show.Style.of(showing, view, tokens=not no_tokens, extras=asked.extras, explain=explain)
    usage.check(style, words, showing.html, view=view, explain=explain, svg=showing.svg)
    reading = show.told_in_full(asked) if explain or showing.html else replace(asked, rank=style.ranks)
    terminal.listen(talk.quiet, talk.verbose)
    source = given.begun(given.spaced(given.texts(texts or [], file or [], whole, context, join)))
    read = file or [files.STDIN]
    with sinks.output(showing.output, read) as stream, _besides(showing, read) as besides:
        scorer = _open(model, opening, talk.quiet)
        with terminal.pace(talk.quiet) as pace:
            scores = _timed(scorer.scores(source, reading, tick=show.ticks(pace)), lambda score: score.num_tokens)
            show.scores(scores, stream, style, besides)


@app.command()
@gathered
def rank(
    *,
    file: opt.CandidatesArg,
    context: opt.ContextOpt = None,
    join: opt.JoinOpt = "",
    by: opt.ByOpt = "sum",
    top: opt.TopPlacesOpt = None,
    input_format: opt.InputFormatOpt = None,
    model: opt.ModelOpt = opt.DEFAULT_MODEL,
    opening: opt.Opening,
    cutting: opt.Cutting,
    showing: opt.Showing,
    view: opt.ViewOpt = None,
    no_tokens: opt.NoTokensOpt = False,
    talk: opt.Talk,
) -> None:
    """Rank candidates by the log-probability that the model gives them, after a shared context.

    - `lmscore rank candidates.txt --context "The capital of France is"`

    - `lmscore rank groups.jsonl --json | jq .winner`

    A line of groups.jsonl: `{"context": "2 + 2 =", "candidates": [" 4", " 5"]}`
    """
    style = show.Style.of(showing, view, tokens=not no_tokens, places=top)
    usage.check(style, view=view, svg=showing.svg)
    usage.check_pmi(by, opening.bos)
    reading = show.told_in_full(cutting.reading()) if showing.html else cutting.reading()
    terminal.listen(talk.quiet, talk.verbose)
    groups = given.hinted(given.begun(given.groups(file, input_format, context, join)))
    with sinks.output(showing.output, [file]) as stream, _besides(showing, [file]) as besides:
        scorer = _open(model, opening, talk.quiet)
        with terminal.pace(talk.quiet) as pace:
            rankings = scorer.rankings(groups, by, reading, tick=show.ticks(pace))
            show.rankings(_timed(rankings, _tokens_of), stream, style, besides)


@app.command()
@gathered
def diff(
    *,
    texts: opt.ComparedArg = None,
    context: opt.ContextOpt = None,
    join: opt.JoinOpt = "",
    model: opt.ModelsOpt = None,
    opening: opt.Opening,
    cutting: opt.Cutting,
    showing: opt.Showing,
    view: opt.ComparedViewOpt = None,
    talk: opt.Talk,
) -> None:
    """Compare two texts, or one under two models: where they differ, word by word, and what decides.

    - `lmscore diff "The keys are" "The keys is"`

    - `lmscore diff " are" " is" --context "The keys to the cabinet" --view heat`

    - `lmscore diff "The keys are" -m smollm2 -m ./my-model --json | jq .difference`
    """
    from . import comparison

    style = show.Style.of(showing, view)
    usage.check(style, view=view, svg=showing.svg)
    reading = show.told_in_full(cutting.reading()) if showing.html else cutting.reading()
    terminal.listen(talk.quiet, talk.verbose)
    # By hand, since a list that is read from the environment is cut at blanks, and a folder's name may hold them.
    models = model or [os.environ.get("LMSCORE_MODEL") or opt.DEFAULT_MODEL]
    source = list(given.spaced(given.compared(texts or [], models, context, join)))
    read = [files.STDIN]
    with sinks.output(showing.output, read) as stream, _besides(showing, read) as besides:
        first, second = _scored_by(models, opening, source, reading, talk.quiet)
        compare = comparison.by_words if len(source) == 2 else comparison.by_bytes
        show.comparison(compare(first, second), stream, style, besides)


@app.command()
@gathered
def batch(
    *,
    inputs: opt.InputsArg,
    output: opt.RecordsOutOpt,
    input_format: opt.RecordsFormatOpt = None,
    columns: opt.Columns,
    added: opt.Added,
    by: opt.ByOpt = "sum",
    on_error: opt.OnErrorOpt = "stop",
    limit: opt.LimitOpt = None,
    shard: opt.ShardOpt = None,
    restart: opt.RestartOpt = False,
    summary: opt.SummaryOpt = None,
    html: opt.SummaryHtmlOpt = None,
    model: opt.ModelOpt = opt.DEFAULT_MODEL,
    opening: opt.Opening,
    cutting: opt.Cutting,
    word_correction: opt.WordCorrectionOpt = "on",
    talk: opt.Talk,
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
    terminal.listen(talk.quiet, talk.verbose)
    source = batches.Source(tuple(inputs), input_format, limit, usage.shard(shard))
    job = usage.job(columns, added, cutting, word_correction, by, opening.bos, on_error)
    todo = batches.plan(source, job, output, {"--summary": summary, "--html": html})
    form = input_format or Format.of(inputs[0])
    for hint in hints.of_dataset(todo.first, form, todo.job.roles, columns.text_column):
        log.warning("%s", hint)
    with sinks.output(None) as stream:
        scorer = _open(model, opening, talk.quiet)
        keep = show.summary_keeper(summary, html, ", ".join(map(files.name_of, inputs)), scorer.provenance, by)
        stopped = contextlib.nullcontext() if talk.quiet else interrupt.told(f"stopped: {KEPT}")
        with stopped, terminal.pace(talk.quiet) as pace:
            done = batches.carry_out(todo, scorer, restart, show.progress(pace), keep)
        with contextlib.suppress(sinks.ClosedPipe):  # the work is done, and its exit code stands
            if summary is None or not sinks.is_stdout(summary):
                show.summary(done, scorer.provenance, by, stream)
    bad = f"{done.corpus.bad:,} bad, kept in {todo.places.errors}" if done.corpus.bad else ""
    if not talk.quiet:
        terminal.say("done", "; ".join(filter(None, (done.sentence, bad))))
    if bad and on_error == "skip":
        raise LmscoreError(f"not all records were scored: {bad}")


@models_app.callback()
def models(command: typer.Context, json: opt.ModelsJsonOpt = False) -> None:
    """List the models lmscore knows by name, and what of them lies in its cache."""
    if command.invoked_subcommand is None:
        from . import download

        with sinks.output(None) as stream:
            show.holdings(download.holdings(), download.cache_root(), stream, json)


@models_app.command()
def pull(name: opt.NameArg, quiet: opt.QuietOpt = False) -> None:
    """Fetch a model into the cache now, rather than when it is first used."""
    from . import download

    entry = catalogue.entry(name)
    with terminal.progress(quiet) as report:
        print(download.fetch(entry, report))


@models_app.command()
def remove(name: opt.NameArg, quiet: opt.QuietOpt = False) -> None:
    """Delete a model from the cache."""
    from . import download

    with terminal.progress(quiet) as report:
        download.remove(catalogue.entry(name), report)


@contextlib.contextmanager
def _besides(showing: opt.Showing, read: Sequence[str]) -> Iterator[show.Besides]:
    """The files that are written beside the output, as far as they are named.

    Raises:
        WrongUsage: one of them is standard output, or where something else is written.
    """
    taken = {} if showing.output is None else {os.path.realpath(showing.output): "-o"}
    with contextlib.ExitStack() as opened:
        streams = dict[str, TextIO]()
        for name, path in (("svg", showing.svg), ("html", showing.html)):
            if path is None:
                continue
            if sinks.is_stdout(path):
                raise WrongUsage(f"--{name} names a file: standard output has the table")
            other = taken.setdefault(os.path.realpath(path), f"--{name}")
            if other != f"--{name}" and path != os.devnull:
                raise WrongUsage(f"--{name} and {other} name the same file; choose another for one of them")
            streams[name] = opened.enter_context(sinks.output(path, read))
        yield show.Besides(**streams)


def _scored_by(
    models: Sequence[str], opening: opt.Opening, texts: Sequence[Text], reading: Reading, quiet: bool
) -> Iterator[Score]:
    """Score the texts under each model in turn; each is let go of before the next is opened."""
    for number, model in enumerate(models):
        if number:  # what was frozen with the last one may hold it: a frame that an import left in a circle
            gc.unfreeze()
            gc.collect()
        scorer = _open(model, opening, quiet)
        with terminal.pace(quiet) as pace:
            scores = _timed(scorer.scores(texts, reading, tick=show.ticks(pace)), lambda score: score.num_tokens)
            yield from scores
        del scorer, scores


def _open(model: str, opening: opt.Opening, quiet: bool) -> "Scorer":
    """Open the model that was chosen, and say how long that took."""
    began = time.perf_counter()
    if opening.threads is not None:  # the tokenizer's, unless something else was decided on for them
        os.environ.setdefault("RAYON_NUM_THREADS", str(opening.threads))
    gc.disable()  # hardly any of what is loaded here is garbage before the end: no use in searching it, ever again
    try:
        with terminal.progress(quiet) as report:
            try:
                from .scorer import open_scorer
            except (ImportError, OSError) as err:  # a torch that does not fit this system, or too little memory for it
                raise LmscoreError(f"cannot import what scoring needs: {one_line(err)}") from err

            scorer = open_scorer(model, **asdict(opening), report=report)
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
