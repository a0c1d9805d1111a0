"""Writes records to a stream as they come, in the format asked for: tables, JSON Lines, CSV or TSV.

Which format and where to is `options`' and `sinks`' business; what a record looks like is the views'. Those are
imported late: Rich's tables are not for who only asks for help.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from . import options as opt
from . import sinks, terminal
from .catalogue import Holding
from .formats import cell, escaped, separated
from .records import NOTHING_MORE, Extras, Measure, Provenance, Ranking, Reading, Score

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from .batch import OnProgress, Progress
    from .comparison import Comparison
    from .views import table

LONG = 4000
"""So many tokens take a while by themselves."""

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Style:
    """How records are to be shown.

    Attributes:
        tokens: list each text's tokens, or only what they add up to.
        extras: what was asked for of each token beside its log-probability.
        places: show only so many of each ranking, the first; None shows all.
        unit: for tables; JSON and CSV are always nats.
        color: whether tables are coloured; None follows the terminal.
        view: table, heat map or both.
        explain: how many of each text's weakest tokens are explained.
    """

    format: opt.Format = opt.Format.table
    tokens: bool = True
    places: int | None = None
    unit: opt.Unit = opt.Unit.nats
    color: bool | None = None
    extras: Extras = NOTHING_MORE
    view: opt.View = "table"
    explain: int = 0

    @classmethod
    def of(cls, showing: opt.Showing, view: opt.View | None, **more: Any) -> "Style":
        """What options ask for; `more` as it is called here."""
        return cls(showing.form, unit=showing.unit, color=showing.color.wanted, view=view or "table", **more)

    @property
    def ranks(self) -> bool:
        """Whether each token's rank is shown: in a table it always is."""
        return self.tokens and (self.extras.rank or self.format is opt.Format.table)


@dataclass(frozen=True, slots=True)
class Besides:
    """Files that are written beside what is shown.

    Attributes:
        svg: gets a picture of it.
        html: gets a page.
    """

    svg: TextIO | None = None
    html: TextIO | None = None

    def beside(self, stream: TextIO) -> TextIO:
        """The output that they stand beside: if there are any, it goes on when its reader has gone, for their sake."""
        return stream if self == NOTHING else cast(TextIO, sinks.Lasting(stream))


NOTHING = Besides()


def told_in_full(reading: Reading) -> Reading:
    """A reading that also reads out of each token what explanations and pages tell of it."""
    from .views.remarks import LIKELIEST

    return replace(reading, rank=True, entropy=True, top=max(reading.top, LIKELIEST))


def scores(records: Iterable[Score], stream: TextIO, style: Style, besides: Besides = NOTHING) -> None:
    """Write each text's score."""
    from .views import rows

    stream = besides.beside(stream)
    if besides.html is not None:
        from .views import report

        records = report.of_scores(records, besides.html, style.unit, terminal.command())

    as_object = partial(rows.score_object, tokens=style.tokens, extras=style.extras)
    as_rows = partial(rows.score_rows, tokens=style.tokens, extras=style.extras)
    _write(records, stream, style, besides.svg, as_object, as_rows, partial(_score_view, style))


def _score_view(style: Style, score: Score, page: "table.Page") -> "RenderableType":
    from .views import explain, heat, table, words

    by_word = () if score.words is None else words.words_view(score.words, page)
    below = (*by_word, *explain.explanations(score, page, style.explain))
    if style.view == "table":
        return table.score_view(score, page, style.tokens, below)
    heated = heat.score_map(score, page)
    if style.view == "heat":
        return table.score_frame(score, page, (*heated, *below))
    return table.score_view(score, page, style.tokens, ("", *heated, *below))


def rankings(records: Iterable[Ranking], stream: TextIO, style: Style, besides: Besides = NOTHING) -> None:
    """Write each group's ranking."""
    from .views import rows

    stream = besides.beside(stream)
    if besides.html is not None:
        from .views import report

        records = report.of_rankings(records, besides.html, style.unit, style.places, terminal.command())

    as_object = partial(rows.ranking_object, tokens=style.tokens, top=style.places)
    as_rows = partial(rows.ranking_rows, top=style.places)
    _write(records, stream, style, besides.svg, as_object, as_rows, partial(_ranking_view, style))


def _ranking_view(style: Style, ranking: Ranking, page: "table.Page") -> "RenderableType":
    from .views import heat, table

    if style.view == "table":
        return table.ranking_view(ranking, page, style.places)
    heated = heat.ranking_map(ranking, page, style.places)
    if style.view == "heat":
        return table.ranking_frame(ranking, page, style.places, heated)
    return table.ranking_view(ranking, page, style.places, ("", *heated))


def comparison(record: "Comparison", stream: TextIO, style: Style, besides: Besides = NOTHING) -> None:
    """Write what two scores have apart."""
    from .views import diff, rows

    stream = besides.beside(stream)
    if besides.html is not None:
        from .views import report

        besides.html.write(report.of_comparison(record, style.unit, terminal.command()))
    view = partial(diff.comparison_view, table=style.view != "heat", heat=style.view != "table")
    _write([record], stream, style, besides.svg, rows.comparison_object, rows.comparison_rows, view)


def progress(pace: terminal.Pace) -> "OnProgress":
    """Tell how far a dataset is."""
    from .views.summary import progress_line

    return lambda so_far: pace(progress_line(so_far.corpus, so_far.rate, so_far.within), so_far.share)


def ticks(pace: terminal.Pace) -> Callable[[int, int], None]:
    """Tell how far a long text is."""

    def tick(done: int, total: int) -> None:
        if total >= LONG:  # at its end the bar goes: what is found is written in its place
            pace(f"{done:,} of {total:,} tokens" if done < total else "", done / total)

    return tick


def summary(done: "Progress", model: Provenance, by: Measure, stream: TextIO) -> None:
    """Write what a dataset adds up to, as a table; where no terminal is too narrow for it, without breaking names."""
    from .views.summary import summary_view

    console = terminal.console(stream)
    if not console.is_terminal:
        console.width = max(console.width, 140)
    terminal.show(console, summary_view(done.corpus, model, by, console.width))


def summary_keeper(json: str | None, html: str | None, name: str, model: Provenance, by: Measure) -> "OnProgress":
    """Write what a dataset adds up to into files, as JSON and as a page, once it is told."""

    def keep(done: "Progress") -> None:
        from .views import report, rows

        gone = contextlib.suppress(sinks.ClosedPipe)  # whoever reads it; the work is done all the same
        if json is not None:
            with gone, sinks.output(json) as stream:
                _write_json(stream, [rows.summary_object(done.corpus, done.seconds, model, terminal.command())])
        if html is not None:
            with gone, sinks.output(html) as stream:
                stream.write(report.of_corpus(done.corpus, name, model, by, terminal.command()))

    return keep


def holdings(records: Iterable[Holding], cache: Path, stream: TextIO, json: bool) -> None:
    """Write what the catalogue knows and what the cache, which lies there, holds."""
    from .views import rows, table

    if json:
        _write_json(stream, map(rows.holding_object, records))
    else:
        terminal.show(terminal.console(stream), table.holdings_view(list(records), cache))


def _write(
    records: Iterable[Record],
    stream: TextIO,
    style: Style,
    svg: TextIO | None,
    as_object: Callable[[Record], Mapping[str, Any]],
    as_rows: Callable[[Iterable[Record]], Iterable[Mapping[str, Any]]],
    view: "Callable[[Record, table.Page], RenderableType]",
) -> None:
    """Write records in the format asked for."""
    if style.format is opt.Format.json:
        _write_json(stream, map(as_object, records))
    elif style.format.is_rows:
        write_rows(stream, as_rows(records), style.format.separator)
    else:
        _tables(stream, style, records, view, svg)


def _write_json(stream: TextIO, objects: Iterable[Mapping[str, Any]]) -> None:
    """JSON Lines: one object a line, each written as it comes."""
    for item in objects:
        stream.write(escaped(json.dumps(item, ensure_ascii=False, allow_nan=False)) + "\n")
        stream.flush()


def write_rows(stream: TextIO, rows: Iterable[Mapping[str, Any]], separator: str) -> None:
    """A header and a line for each row, as CSV or (with a tab) TSV: on a terminal escaped, else as texts stand."""
    told = escaped if stream.isatty() else str
    for line in separated(_headed(rows), separator):
        stream.write(told(line) + "\n")
        stream.flush()


def _headed(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Any]]:
    """The columns' names, which all rows share, and the cells of each row."""
    for number, row in enumerate(rows):
        if not number:
            yield list(row)
        yield list(map(cell, row.values()))


def _tables(
    stream: TextIO,
    style: Style,
    records: Iterable[Record],
    view: "Callable[[Record, table.Page], RenderableType]",
    picture: TextIO | None,
) -> None:
    """Write a table for each record as it comes, with an empty line between two; at the end a picture of them all."""
    console = terminal.console(stream, style.color)
    recorder = None if picture is None else terminal.recorder(console.width)
    for number, record in enumerate(records):
        for shown in (console, recorder) if recorder else (console,):
            if number:
                shown.print()
            terminal.show(shown, view(record, _page(shown, style)))
    if picture is not None and recorder is not None:
        picture.write(terminal.picture(recorder, "lmscore"))


def _page(console: "Console", style: Style) -> "table.Page":
    from .views import table

    return table.Page(
        console.width,
        console.is_terminal,
        style.unit,
        terminal.depth(console),
        extras=style.extras,
    )
