"""Writes records to a stream as they come, in the format asked for: tables, JSON Lines, CSV or TSV.

Which format and where to is `options`' and `files`' business; what a record looks like is the views'. Those are
imported late: Rich's tables are not for who only asks for help.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, TypeVar

from . import files, terminal
from . import options as opt
from .catalogue import Holding
from .download import cache_root
from .records import Measure, Provenance, Ranking, Score

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .batch import Progress, Report
    from .comparison import Comparison
    from .views import table

LONG = 20_000
"""So many tokens take a while by themselves."""

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Style:
    """How records are to be shown.

    Attributes:
        tokens: list each text's tokens, or only what they add up to.
        extras: which of ``rank``, ``entropy`` and ``top`` were asked for.
        top: show only the first places of each ranking; None shows all.
        unit: for tables; JSON and CSV are always nats.
        color: whether tables are coloured; None follows the terminal.
    """

    format: opt.Format = opt.Format.table
    tokens: bool = True
    top: int | None = None
    unit: opt.Unit = opt.Unit.nats
    color: bool | None = None
    extras: tuple[str, ...] = ()


def scores(records: Iterable[Score], stream: TextIO, style: Style) -> None:
    """Write each text's score."""
    from .views import rows, table

    if style.format is opt.Format.json:
        rows.write_json(stream, (rows.score_object(score, style.tokens, style.extras) for score in records))
    elif style.format is opt.Format.table:
        _tables(stream, style, records, lambda score, page: table.score_view(score, page, style.tokens))
    else:
        rows.write_rows(stream, rows.score_rows(records, style.tokens, style.extras), style.format.separator)


def rankings(records: Iterable[Ranking], stream: TextIO, style: Style) -> None:
    """Write each group's ranking."""
    from .views import rows, table

    if style.format is opt.Format.json:
        rows.write_json(stream, (rows.ranking_object(ranking, style.tokens, style.top) for ranking in records))
    elif style.format is opt.Format.table:
        _tables(stream, style, records, lambda ranking, page: table.ranking_view(ranking, page, style.top))
    else:
        rows.write_rows(stream, rows.ranking_rows(records, style.top), style.format.separator)


def comparison(record: "Comparison", stream: TextIO, style: Style, view: opt.View) -> None:
    """Write what two scores have apart; `view` is for where the format is a table."""
    from .views import diff, rows

    if style.format is opt.Format.json:
        rows.write_json(stream, [rows.comparison_object(record)])
    elif style.format is opt.Format.table:
        table, heat = view is not opt.View.heat, view is not opt.View.table
        _tables(stream, style, [record], lambda record, page: diff.comparison_view(record, page, table, heat))
    else:
        rows.write_rows(stream, rows.comparison_rows(record), style.format.separator)


def progress(pace: terminal.Pace) -> "Report":
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


def summary_keeper(path: str | None, model: Provenance) -> "Report":
    """Write what a dataset adds up to into a file, as JSON, once it is told."""

    def keep(done: "Progress") -> None:
        if path is not None:
            from .views import rows

            with files.output(path) as stream:
                rows.write_json(stream, [rows.summary_object(done.corpus, done.seconds, model)])

    return keep


def holdings(records: Iterable[Holding], stream: TextIO, json: bool) -> None:
    """Write what the catalogue knows and what the cache holds."""
    from .views import rows, table

    if json:
        rows.write_json(stream, map(rows.holding_object, records))
    else:
        terminal.show(terminal.console(stream), table.holdings_view(list(records), cache_root()))


def _tables(
    stream: TextIO, style: Style, records: Iterable[Record], view: "Callable[[Record, table.Page], RenderableType]"
) -> None:
    """Write a table for each record as it comes, with an empty line between two."""
    from .views import table

    console = terminal.console(stream, style.color)
    page = table.Page(console.width, console.is_terminal, style.unit)
    for number, record in enumerate(records):
        if number:
            stream.write("\n")
        terminal.show(console, view(record, page))
