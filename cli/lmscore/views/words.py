"""A text's words as Rich renderables: returned, never printed."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text as Line

from ..records import Words
from . import columns
from .remarks import word_notes
from .table import Page, add_columns, bare_table, colour, fitting, too_many


def words_view(words: Words, page: Page) -> Iterator[RenderableType]:
    """A row for each word, and below it how its figure was got."""
    yield Line("")
    left_out = too_many(len(words.items), "words", "--json and --format csv list them")
    yield from _word_table(words, page) if left_out is None else [left_out]
    yield from map(Line, word_notes(words))


def _word_table(words: Words, page: Page) -> Iterator[RenderableType]:
    table = bare_table(page)
    arrow = page.weakest if page.narrow else f"{page.weakest} word"  # its weakest token may stand in another
    fit, told = fitting(columns.words(words, page.unit), page.width - len(arrow) - 1)
    rows = add_columns(table, fit)
    table.add_column("", no_wrap=True)
    weakest = words.weakest
    for word, cells in zip(words.items, rows, strict=True):
        mark = Line(arrow if word is weakest else "", "bold")
        table.add_row(*cells, mark, style=colour(word.logprob))
    yield table
    yield from told
