"""What a dataset adds up to, as a Rich renderable: returned, never printed."""

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.text import Text as Line

from ..corpus import Corpus
from ..records import Measure, Provenance
from . import columns
from .remarks import corpus_figures, counted, least_likely, perplexity, unanswered, ungrouped
from .table import Page, add_columns, bare_table, fitting, provenance


def progress_line(corpus: Corpus, rate: float, within: tuple[int, int]) -> str:
    """How far a dataset is: records, tokens a second, the running perplexity, and how far a long text is.

    Args:
        rate: tokens a second.
        within: of what is being read, tokens that are scored, and tokens.
    """
    scored, total = within
    line = f"{counted(corpus.records, 'record')}, {rate:,.0f} tokens/s"
    if corpus.perplexity is not None:
        line += f", perplexity {perplexity(corpus.perplexity)}"
    return f"{line}, scoring {total:,} tokens: {scored:,} done" if scored < total else line


def summary_view(corpus: Corpus, model: Provenance, by: Measure, width: int) -> RenderableType:
    """Counts, likelihood, accuracies, and the least likely records.

    Args:
        by: the measure that winners win by.
        width: columns that a line may take.
    """
    parts: list[RenderableType] = [Line(line) for line in corpus_figures(corpus)]
    if corpus.hits:
        parts += [*_table(columns.accuracy(corpus, by), width), *map(Line, unanswered(corpus))]
    if len(corpus.hits) > 1:
        parts += [*_table(columns.groups(corpus, by), width), *map(Line, ungrouped(corpus))]
    if corpus.unlikely:
        parts += [Line(least_likely(corpus)), *_table(columns.unlikely(corpus), width)]
    return Group(*parts, provenance(model))


def _table(shown: Iterable[columns.Column], width: int) -> Iterator[RenderableType]:
    table = bare_table(Page(width))
    fit, told = fitting(shown, width)
    for cells in add_columns(table, fit):
        table.add_row(*cells)
    yield table
    yield from told
