"""What a dataset adds up to, as a Rich renderable: returned, never printed."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text as Line

from ..corpus import Corpus, Hits
from ..records import Measure, Provenance
from .glyphs import shorten, spell_line
from .remarks import MEASURES, corpus_figures


def progress_line(corpus: Corpus, rate: float, within: tuple[int, int]) -> str:
    """How far a dataset is: records, tokens a second, the running perplexity, and how far a long text is.

    Args:
        rate: tokens a second.
        within: of what is being read, tokens that are scored, and tokens.
    """
    scored, total = within
    line = f"{corpus.records:,} records, {rate:,.0f} tokens/s"
    if corpus.perplexity is not None:
        line += f", perplexity {corpus.perplexity:.4g}"
    return f"{line}, scoring {total:,} tokens: {scored:,} done" if scored < total else line


def summary_view(corpus: Corpus, model: Provenance, by: Measure, width: int) -> RenderableType:
    """Counts, likelihood, accuracies, and the least likely records.

    Args:
        by: the measure that winners win by.
        width: columns that a line may take.
    """
    measures = sorted(corpus.hits.get("", {}), key=lambda measure: measure != by)
    parts: list[RenderableType] = [Line(line) for line in corpus_figures(corpus)]
    if corpus.hits:
        parts.append(_accuracies(corpus, measures))
    if len(corpus.hits) > 1:
        parts.append(_groups(corpus, measures, width))
    if corpus.unlikely:
        parts += [Line("least likely, by mean per token:"), _unlikely(corpus)]
    return Group(*parts, Line(spell_line(model.sentence), "dim"))


def _accuracies(corpus: Corpus, measures: Sequence[Measure]) -> Table:
    """Of all records, by each measure."""
    table = _table("accuracy by", "right", "tied", "of", "", "95%")
    for measure in measures:
        hits = corpus.hits[""][measure]
        low, high = hits.interval or (0.0, 0.0)
        counts = (str(hits.right), str(hits.tied), str(hits.of))
        table.add_row(MEASURES[measure], *counts, _share(hits), f"{low:.1%} to {high:.1%}")
    return table


def _groups(corpus: Corpus, measures: Sequence[Measure], width: int) -> Table:
    """Of each group; ties, and the interval if there is room for it, are the first measure's."""
    groups = {shorten(spell_line(group), 60): by for group, by in corpus.hits.items() if group}
    roomy = max(map(cell_len, groups)) + 36 + 8 * len(measures) <= width
    table = _table("group", "of", "tied", measures[0], *(["95%"] if roomy else []), *measures[1:])
    for group, by in groups.items():
        first = by[measures[0]]
        low, high = first.interval or (0.0, 0.0)
        interval = [f"{low:.1%} to {high:.1%}"] if roomy else []
        others = (_share(by[measure]) if measure in by else "" for measure in measures[1:])
        table.add_row(group, str(first.of), str(first.tied), _share(first), *interval, *others)
    return table


def _share(hits: Hits) -> str:
    return "" if hits.accuracy is None else f"{hits.accuracy:.1%}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column({"sum": "total"}.get(heading, heading), justify="right", no_wrap=True)
    return table


def _unlikely(corpus: Corpus) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for one in corpus.unlikely:
        table.add_row(f"{one.mean_logprob:.4f}", shorten(spell_line(one.where), 100))
    return table
