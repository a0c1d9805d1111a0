"""A text's words as Rich renderables: returned, never printed."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text as Line

from ..records import Words
from .glyphs import shorten, spell_bytes
from .remarks import probability, word_notes
from .table import MOST_ROWS, Page, bare_table, colour


def words_view(words: Words, page: Page) -> Iterator[RenderableType]:
    """A row for each word, and below it how its figure was got."""
    yield Line("")
    if len(words.items) <= MOST_ROWS:
        yield _word_table(words, page)
    else:
        yield Line(f"{len(words.items):,} words are too many for a table; --json and --format csv list them")
    yield from map(Line, word_notes(words))


def _word_table(words: Words, page: Page) -> Table:
    weakest = words.weakest
    table = bare_table(page)
    table.add_column("word", overflow="fold", min_width=5)
    for head in ["tokens", page.unit.heading, "prob", *(["correction"] if words.corrected else []), ""]:
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    for word in words.items:
        style = colour(word.logprob)
        table.add_row(
            Line(shorten(spell_bytes(word.word.encode()), 200), style),
            str(word.num_tokens),
            Line("unscored" if word.logprob is None else page.unit.figure(word.logprob), style),
            Line("" if word.logprob is None else probability(word.logprob), style),
            *(["" if word.correction is None else page.unit.signed(word.correction)] if words.corrected else []),
            Line(page.weakest if word is weakest else "", "bold"),
        )
    return table
