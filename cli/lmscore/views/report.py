"""Scores, rankings, comparisons and a dataset's sums as a page to hand on: one HTML file that needs nothing besides.

A page is written as its records come, a section for each. What a text holds is spelled out (glyphs.py) before it gets
here, and escaped as it goes in: by Jinja, or as JSON in which no ``<`` stands. Style and script are our own, and the
page's policy names them by their hashes: whatever else got in would not run.
"""

import base64
import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TextIO, TypeVar

import jinja2
import regex
from markupsafe import Markup

from .. import __version__
from ..comparison import Comparison, Place
from ..corpus import Corpus
from ..records import Measure, Provenance, Ranking, Score, Token, Words
from . import columns, remarks, scale
from .chart import chart
from .glyphs import shorten, spell_bytes, spell_line, spell_text
from .spans import DIFFERS, STRADDLES, Span, across, parting, running, spans
from .units import Unit

MOST_ROWS = 1000
"""Of a table of tokens. A longer one would make the page slow, and is told by the text itself."""

TEMPLATES = Path(__file__).parent / "templates"

Record = TypeVar("Record", Score, Ranking)


def of_scores(scores: Iterable[Score], stream: TextIO, unit: Unit, command: str) -> Iterator[Score]:
    """Pass scores on, and write a page of them as they go by.

    Args:
        command: what made it, as it was typed.
    """
    return _going_by(scores, stream, "Score", lambda score: score.text, partial(_score_section, unit=unit), command)


def of_rankings(
    rankings: Iterable[Ranking], stream: TextIO, unit: Unit, top: int | None, command: str
) -> Iterator[Ranking]:
    """Pass rankings on, and write a page of them as they go by.

    Args:
        top: show only the first places of each; None shows all.
        command: what made it, as it was typed.
    """
    section = partial(_ranking_section, unit=unit, top=top)
    return _going_by(rankings, stream, "Ranking", _first_text, section, command)


def _first_text(ranking: Ranking) -> str:
    return ranking.context or ranking.candidates[0].score.text


def _going_by(
    records: Iterable[Record],
    stream: TextIO,
    kind: str,
    name: Callable[[Record], str],
    section: Callable[[Record], str],
    command: str,
) -> Iterator[Record]:
    """Pass records on, and write a page of them, named after the first."""
    model = None
    for record in records:
        if model is None:
            stream.write(_head(kind, name(record), command))
        model = record.model
        stream.write(section(record))
        yield record
    if model is not None:
        stream.write(_foot({"": model}, command))


def of_comparison(comparison: Comparison, unit: Unit, command: str) -> str:
    """A page of a comparison.

    Args:
        command: what made it, as it was typed.
    """
    models = {"": comparison.first.model}
    if comparison.of_models:
        models = {
            f"The {side} model": score.model for side, score in zip(remarks.SIDES, comparison.scores, strict=True)
        }
    head = _head("Comparison", comparison.second.text, command)
    return head + _comparison_section(comparison, unit) + _foot(models, command)


def of_corpus(corpus: Corpus, name: str, model: Provenance, by: Measure, command: str) -> str:
    """A page of what a dataset adds up to.

    Args:
        name: the dataset's.
        by: the measure that winners win by.
        command: what made it, as it was typed.
    """
    return _head("Dataset", name, command) + _summary_section(corpus, name, by) + _foot({"": model}, command)


def _head(kind: str, first: str, command: str) -> str:
    style, script = _style(), _script()
    policy = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return _render(
        "head",
        policy="; ".join(f"{what} {allowed}" for what, allowed in policy.items()),
        style=style,
        kind=kind,
        title=_named(first),
        command=shorten(spell_line(command), 300),
    )


def _foot(models: Mapping[str, Provenance], command: str) -> str:
    """How a page's numbers were got; models by what each is called, which is nothing if there is but one."""
    facts = {called: list(_facts(model)) for called, model in models.items()}
    return _render("foot", models=facts, command=spell_line(command), version=__version__, script=_script())


def _facts(model: Provenance) -> Iterator[tuple[str, str]]:
    start = "none" if model.bos_id is None else f"{model.bos_token} (id {model.bos_id})"
    for what, said in (
        ("model", model.name),
        ("revision", model.revision or "not known"),
        ("dtype", model.dtype),
        ("device", model.device),
        ("start symbol", f"{start}, by {model.bos_source}"),
    ):
        yield what, spell_line(said)


def _score_section(score: Score, unit: Unit) -> str:
    """A text: its heat map, a chart, and tables of its words, if there are any, and of its tokens."""
    read, words = list(spans(score)), score.words
    several = any(len(span.tokens) > 1 for span in read)
    return _render(
        "score",
        name=_named(score.text),
        context=_named(score.context or "", 1000),
        figures=list(remarks.figures(score, unit)),
        notes=list(remarks.score_notes(score, unit)),
        steps=_steps(),
        map=_map(score, read),
        direction=_direction(score.text),
        told=_told([_span_told(span, score, unit) for span in read]),
        drawn=chart([None if span.logprob is None else scale.surprisal(span.logprob) for span in read]),
        mean=None if several or score.mean_logprob is None else scale.surprisal(score.mean_logprob),
        several=several,
        highest=_highest(read),
        unscored=score.num_unscored,
        tokens=_table(columns.tokens(score, unit, MOST_ROWS)),
        count=len(score.tokens),
        words=None if words is None else _words(words, unit),
        weakest_word=None if words is None else words.weakest,
        word_count=0 if words is None else len(words.items),
        word_notes=[] if words is None else list(remarks.word_notes(words)),
        most_rows=MOST_ROWS,
    )


def _ranking_section(ranking: Ranking, unit: Unit, top: int | None) -> str:
    """A group: its candidates as a table, and as heat maps in order of place."""
    shown = ranking.upto(top)
    scores = [candidate.score for candidate in shown]
    read = [list(spans(score)) for score in scores]
    return _render(
        "ranking",
        name=f"{len(ranking.candidates):,} candidates" if ranking.tied else _named(scores[0].text),
        by=remarks.MEASURES[ranking.by],
        context=_named(ranking.context or "", 1000),
        notes=[*_won(ranking), *remarks.no_winner(ranking), *remarks.ranking_notes(ranking, unit)],
        table=_table(columns.ranking(ranking.by, unit, shown)),
        winner=None if ranking.tied else 0,
        hidden=list(remarks.hidden(ranking, top)),
        steps=_steps(),
        maps=[
            {
                "place": columns.place(candidate),
                "value": columns.figure(candidate.value, unit),
                "direction": _direction(score.text),
                "pieces": _map(score, own, parting(read[0], own)),
            }
            for candidate, score, own in zip(shown, scores, read, strict=True)
        ],
        signs=["underlined: each candidate's weakest token", *remarks.ranking_signs(scores)],
        unscored=any(score.num_unscored for score in scores),
        told=_told(
            [_span_told(span, score, unit) for score, own in zip(scores, read, strict=True) for span in own],
        ),
        drawn=chart([None if span.logprob is None else scale.surprisal(span.logprob) for span in read[0]]),
    )


def _won(ranking: Ranking) -> Iterator[str]:
    if not ranking.tied:
        yield f"The winner of {len(ranking.candidates):,}."


def _comparison_section(comparison: Comparison, unit: Unit) -> str:
    """Two scores: the second text coloured by the difference, a chart of it, and both side by side."""
    places = comparison.places
    models = comparison.of_models
    first, second = (_named(score.text) for score in comparison.scores)
    moved = remarks.moved(comparison)
    less_or_more = [f"less or more likely {remarks.against(comparison)}", f"{scale.LEANS} for more than that"]
    return _render(
        "comparison",
        name=second if models else f"{first} / {second}",
        models=models,
        context=_named(comparison.first.context or "", 1000),
        sides=list(remarks.side_figures(comparison, unit)),
        notes=list(remarks.comparison_notes(comparison, unit)),
        steps=_leanings() if moved else [],
        signs=[*(less_or_more if moved else [remarks.UNMOVED]), *remarks.comparison_signs(comparison)],
        unscored=len(comparison.compared) < len(places),
        map=list(map(_compared, places)),
        direction=_direction(comparison.second.text),
        told=_told([_place_told(place, unit) for place in places]),
        drawn=chart([None if place.difference is None else Unit.bits.of(place.difference) for place in places]),
        table=_table(columns.places(comparison, unit, MOST_ROWS)),
        count=len(places),
        most_rows=MOST_ROWS,
    )


def _summary_section(corpus: Corpus, name: str, by: Measure) -> str:
    """Counts and likelihood, accuracies of all and of each group, the least likely records."""
    return _render(
        "summary",
        name=_named(name),
        lines=remarks.corpus_figures(corpus),
        accuracy=_table(columns.accuracy(corpus, by)) if corpus.hits else None,
        groups=_table(columns.groups(corpus, by)) if len(corpus.hits) > 1 else None,
        unanswered=list(remarks.unanswered(corpus)) if corpus.hits else [],
        ungrouped=list(remarks.ungrouped(corpus)) if len(corpus.hits) > 1 else [],
        unlikely=_table(columns.unlikely(corpus)) if corpus.unlikely else None,
        least_likely=remarks.least_likely(corpus).capitalize(),
    )


def _named(text: str, length: int = 80) -> str:
    """A text on a line, as in a heading."""
    return shorten(spell_text(text), length)


def _direction(text: str) -> str:
    """Which way a text runs, as dir="auto" would find out by its first letter; browsers take long over long texts."""
    strong = (kind for char in text if (kind := unicodedata.bidirectional(char)) in {"L", "R", "AL"})
    return "ltr" if next(strong, "L") == "L" else "rtl"


def _highest(read: Sequence[Span]) -> str | None:
    """The stretch with the highest bar; None where there is no bar."""
    scored = (span for span in read if span.logprob is not None)
    highest = min(scored, key=lambda span: span.logprob or 0.0, default=None)
    return None if highest is None else _named(highest.text or highest.seen)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of a text as it is painted: a sign before it, what is shown, and the classes of its colour."""

    sign: str
    seen: str
    classes: str


def _map(score: Score, read: Sequence[Span], differs: int | None = None) -> list[_Piece]:
    """A text span by span; `differs` is the one to put a sign before, or one behind the last."""
    pieces = list[_Piece]()
    for at, span in enumerate(read):
        sign = DIFFERS * (at == differs) + STRADDLES * span.tokens[0].straddles
        classes = f"{_shade(span.logprob)}{' weakest' * any(map(score.is_weakest, span.tokens))}"
        pieces.append(_Piece(sign, running(span.text, span.tokens), classes))
    return pieces + ([_Piece(DIFFERS, "", "")] if differs == len(read) else [])


def _compared(place: Place) -> _Piece:
    painted = "u" if place.difference is None else _lean(scale.lean(place.difference))
    return _Piece("", across(place), f"{painted}{' other' * place.replaced}")


# What the style sheet calls the steps of the scales.


def _shade(logprob: float | None) -> str:
    return "u" if logprob is None else f"s{scale.step(logprob)}"


def _lean(step: int) -> str:
    return f"{'m' if step < 0 else 'p'}{abs(step)}" if step else "same"


def _steps() -> list[tuple[str, str]]:
    """Each step of surprisal, and what the style sheet calls it."""
    return [(f"{step}{'+' * (step == scale.STEPS - 1)}", f"s{step}") for step in range(scale.STEPS)]


def _leanings() -> list[tuple[str, str]]:
    """Each step of a difference, and what the style sheet calls it."""
    return [(f"{step:+d}" if step else "0", _lean(step)) for step in range(-scale.LEANS, scale.LEANS + 1)]


def _told(items: Sequence[Any]) -> dict[str, Any]:
    """What is told of each stretch of a map, in its order, and what the figures are called."""
    return {"labels": ["id", "logprob", "probability", "rank", "entropy"], "items": items}


def _span_told(span: Span, score: Score, unit: Unit) -> list[Any]:
    """Of a stretch of a heat map: a line, if there is something to say, and its tokens."""
    said = list[str]()
    if score.weakest_share is not None and any(map(score.is_weakest, span.tokens)):
        said.append(f"the weakest, {remarks.share(score.weakest_share)} of the total")
    if len(span.tokens) > 1:
        together = "" if span.logprob is None else f", together {unit.figure(span.logprob)} {unit.value}"
        said.append(f"{len(span.tokens)} tokens{together}")
    if span.tokens[0].straddles:
        said.append(remarks.ACROSS)
    return ["; ".join(said), [["", *_token_told(token, unit)] for token in span.tokens]]


def _place_told(place: Place, unit: Unit) -> list[Any]:
    change = (
        "cannot be compared" if place.difference is None else f"difference {unit.signed(place.difference)} {unit.value}"
    )
    first, second = ([_token_told(token, unit) for token in side.tokens] for side in (place.first, place.second))
    sides = [("both", first)] if first == second else list(zip(remarks.SIDES, (first, second), strict=True))
    return [change, [[f"{side}: ", *told] for side, tokens in sides for told in tokens]]


def _token_told(token: Token, unit: Unit) -> list[Any]:
    """What is told of a token: its name, its figures, and what was expected in its place."""
    figures = [
        str(token.id),
        "unscored" if token.logprob is None else f"{unit.figure(token.logprob)} {unit.value}",
        "" if token.logprob is None else remarks.probability(token.logprob),
        "" if token.rank is None else f"{token.rank:,}",
        "" if token.entropy is None else f"{unit.figure(token.entropy)} {unit.value}",
    ]
    expected = [
        [spell_bytes(other.bytes), str(other.id), remarks.probability(other.logprob)] for other in token.top or ()
    ]
    return [remarks.token_seen(token), figures, expected]


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of a table.

    Attributes:
        seen: what is shown.
        value: what it is sorted by; None where that is its text, or where there is nothing.
        part: the length of its bar, from 0 to 1; None for no bar.
        less: whether its bar is one of a loss.
    """

    seen: str
    value: float | None = None
    part: float | None = None
    less: bool = False

    @classmethod
    def of(cls, seen: str, value: float | None, part: float | None) -> "_Cell":
        """A cell whose bar has this length: less than nothing for a loss, and no more than all."""
        return cls(seen, value) if part is None else cls(seen, value, min(abs(part), 1.0), part < 0)


@dataclass(frozen=True, slots=True)
class _Head:
    """The head of a column.

    Attributes:
        name: as it is shown.
        figures: whether figures stand below it.
    """

    name: str
    figures: bool = True


@dataclass(frozen=True, slots=True)
class _Table:
    """A table, row by row."""

    heads: Sequence[_Head]
    rows: Sequence[Sequence[_Cell]]


def _table(shown: Iterable[columns.Column]) -> _Table:
    heads, cells = list[_Head](), list[Iterable[_Cell]]()
    for column in shown:
        values = column.values or [None] * len(column.cells)
        parts = [None if value is None or not column.full else value / column.full for value in values]
        heads.append(_Head(column.head or "place", not column.wraps))
        cells.append(map(_Cell.of, column.cells, values, parts))
    return _Table(heads, list(zip(*cells, strict=True)))


def _words(words: Words, unit: Unit) -> _Table:
    """Words, with their places: once they are sorted by something else, the way back."""
    places = columns.numbers("#", [word.index for word in words.items[:MOST_ROWS]])
    return _table([places, *columns.words(words, unit, MOST_ROWS)])


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.filters["isolated"] = _isolated
    return environment


def _isolated(line: str) -> Markup:
    """A sentence of ours in which names that run from right to left do not turn around what stands beside them."""
    parts = regex.split(r"((?:[\p{bc=R}\p{bc=AL}]\p{bc=NSM}*)+)", line)
    return Markup("").join(Markup("<bdi>{}</bdi>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _render(page: str, **held: Any) -> str:
    return _environment().get_template(f"{page}.html.jinja").render(held)


@cache
def _script() -> Markup:
    return Markup((TEMPLATES / "report.js").read_text(encoding="utf-8"))


@cache
def _style() -> Markup:
    """The style sheet, with the colours of the scales filled in.

    In the dark the scales are turned around, so that what is likely, and what hardly differs, is close to the page.
    """
    heat, leanings = scale.shades(), scale.leanings()
    more, less = leanings[scale.LEANS + 1 :], leanings[: scale.LEANS][::-1]
    scales = (
        (_steps(), heat),
        ([(f"+{step}", f"p{step}") for step in COUNTED], more),
        ([(f"−{step}", f"m{step}") for step in COUNTED], less),
    )
    shades = [
        (name, figure, shade, turned)
        for steps, row in scales
        for (figure, name), shade, turned in zip(steps, row, reversed(row), strict=True)
    ]
    return Markup(_environment().get_template("report.css.jinja").render(shades=shades))


COUNTED = range(1, scale.LEANS + 1)
"""The steps of a difference to either side."""


def _hash(held: str) -> str:
    """As a Content-Security-Policy names a style or a script that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(held.encode()).digest()).decode()}'"
