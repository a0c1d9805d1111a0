"""Writes records to a stream as they come, in the format asked for: tables, JSON Lines, CSV or TSV.

Which format and where to is `options`' and `files`' business; what a record looks like is the views'.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from . import options as opt
from . import terminal
from .download import Holding, cache_root
from .records import Ranking, Score
from .views import rows, table


@dataclass(frozen=True, slots=True)
class Style:
    """How records are to be shown.

    Attributes:
        tokens: list each text's tokens, or only what they add up to.
        top: show only the first places of each ranking; None shows all.
        unit: for tables; JSON and CSV are always nats.
        color: whether tables are coloured; None follows the terminal.
    """

    format: opt.Format = opt.Format.table
    tokens: bool = True
    top: int | None = None
    unit: opt.Unit = opt.Unit.nats
    color: bool | None = None


def scores(records: Iterable[Score], stream: TextIO, style: Style) -> None:
    """Write each text's score."""
    if style.format is opt.Format.json:
        rows.write_json(stream, (rows.score_object(score, style.tokens) for score in records))
    elif style.format is opt.Format.table:
        console = terminal.console(stream, style.color)
        page = table.Page(console.width, console.is_terminal, style.unit)
        for score in records:
            console.print(table.score_view(score, page, style.tokens))
            stream.flush()
    else:
        rows.write_rows(stream, rows.score_rows(records, style.tokens), style.format.separator)


def rankings(records: Iterable[Ranking], stream: TextIO, style: Style) -> None:
    """Write each group's ranking."""
    if style.format is opt.Format.json:
        rows.write_json(stream, (rows.ranking_object(ranking, style.tokens, style.top) for ranking in records))
    elif style.format is opt.Format.table:
        console = terminal.console(stream, style.color)
        page = table.Page(console.width, console.is_terminal, style.unit)
        for ranking in records:
            console.print(table.ranking_view(ranking, page, style.top))
            stream.flush()
    else:
        rows.write_rows(stream, rows.ranking_rows(records, style.top), style.format.separator)


def holdings(records: Iterable[Holding], stream: TextIO, json: bool) -> None:
    """Write what the catalogue knows and what the cache holds."""
    if json:
        rows.write_json(stream, map(rows.holding_object, records))
    else:
        terminal.console(stream).print(table.holdings_view(list(records), cache_root()))
