"""A text's words as Rich renderables: returned, never printed."""

from collections.abc import Iterator

import regex
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text as Line

from ..records import Word, Words
from .glyphs import shorten, spell_bytes
from .table import MOST_ROWS, Page, bare_table, colour, probability


def words_view(words: Words, page: Page) -> Iterator[RenderableType]:
    """A row for each word, and below it how its figure was got."""
    yield Line("")
    if len(words.items) <= MOST_ROWS:
        yield _word_table(words, page)
    else:
        yield Line(f"{len(words.items):,} words are too many for a table; --json and --format csv list them")
    yield from map(Line, _word_notes(words))


def _word_table(words: Words, page: Page) -> Table:
    scored = [word for word in words.items if word.logprob is not None]
    weakest = min(scored, key=lambda word: word.logprob or 0.0, default=None)
    table = bare_table(page)
    table.add_column("word", overflow="fold", min_width=5)
    for head in ["tokens", page.figure, "prob", *(["correction"] if words.corrected else []), ""]:
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    for word in words.items:
        style = colour(word.logprob)
        table.add_row(
            Line(shorten(spell_bytes(word.word.encode()), 200), style),
            str(word.num_tokens),
            Line("unscored" if word.logprob is None else f"{page.unit.of(word.logprob):.4f}", style),
            Line("" if word.logprob is None else probability(word.logprob), style),
            *([_correction(word, page)] if words.corrected else []),
            Line(page.weakest if word is weakest else "", "bold"),
        )
    return table


def _correction(word: Word, page: Page) -> str:
    return "" if word.correction is None else f"{page.unit.of(word.correction):+.4f}"


def _word_notes(words: Words) -> Iterator[str]:
    """Which figure it is that stands beside a word, and where words are not what they seem."""
    if not words.corrected:
        yield "Words as their tokens add up: that a word is over is not in its probability (--word-correction on)."
    elif words.marks == "end":
        yield "Words as their tokens add up: this model's tokens say where a word ends, so nothing is left to correct."
    else:
        yield "Words corrected: that a word is over, as the next token shows, is in its own probability."
    if words.marks == "none":
        yield "This model's tokens hold no blanks along with letters: a word is what stands between tokens of blanks."
    if lost := words.num_unscored:
        yield f"{lost} without a figure: a token of theirs is unscored, or spells something else than the text."
    if any(UNSPACED.search(word.word) for word in words.items):
        yield "A script without blanks between words: what stands here as a word may be several."


UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}][\p{L}\p{M}]{3}"
)
"""Letters in a row, of a script whose words nothing parts."""
