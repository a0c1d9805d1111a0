"""Figures and sentences about scores, rankings and comparisons, as plain text that is safe to show.

Knows neither Rich nor HTML: tables, heat maps and pages all say it in these words.
"""

import math
from collections.abc import Iterator, Sequence

import regex

from ..comparison import Comparison, Place
from ..corpus import Corpus
from ..records import Measure, Ranking, Score, Stretch, Token, Words
from .glyphs import shorten, spell_bytes, spell_text
from .scale import lean
from .spans import DIFFERS, GONE, STRADDLES
from .units import Unit

LIKELIEST = 5
"""So many of the tokens that were expected are named, where they are."""

ACROSS = "also holds the end of the context"
"""Said of a token that begins in the context."""

MEASURES: dict[Measure, str] = {"sum": "total", "mean": "mean per token", "byte": "mean per byte", "pmi": "pmi"}


def token_seen(token: Token) -> str:
    """A token as it may be shown."""
    return spell_bytes(token.bytes) if token.bytes else spell_text(token.token)


def probability(logprob: float) -> str:
    """A probability to the figures that count."""
    share = math.exp(logprob)
    if share >= 0.00095:
        return f"{share:.4f}"
    return f"{share:.1e}" if share > 1e-99 else "<1e-99"  # never 0: it is not impossible


def share(part: float) -> str:
    """A share of a whole; neither nothing nor everything, where it is only nearly so."""
    if 0 < part < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= part < 1 else f"{part:.1%}"


def figures(score: Score, unit: Unit) -> Iterator[str]:
    """What a text's tokens add up to; nothing where none was scored."""
    if score.total_logprob is None or score.mean_logprob is None:
        return
    yield f"total {unit.figure(score.total_logprob)} {unit.value}"
    yield f"mean {unit.figure(score.mean_logprob)}"
    yield f"perplexity {perplexity(score.perplexity)}"
    if score.bits_per_byte is not None:
        yield f"{score.bits_per_byte:.4f} bits per byte"
    yield counted(score.num_tokens, "token")
    if score.num_unscored:
        yield f"{score.num_unscored} unscored"


def perplexity(value: float | None) -> str:
    """A perplexity to four digits; in powers of ten from a million on."""
    if value is None:
        return "beyond float64"
    rounded = float(f"{value:.4g}")
    if rounded < 1000:
        return f"{value:#.4g}"
    return f"{rounded:,.0f}" if rounded < 1e6 else f"{value:.4g}"


def counted(count: int, what: str) -> str:
    """So many of something."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def score_notes(score: Score, unit: Unit) -> Iterator[str]:
    """What to know of a text's figures."""
    if score.total_logprob is None:
        yield "no token was scored: nothing stands before the first"
        return
    if (weakest := score.weakest) is not None and weakest.logprob is not None:
        part = "" if score.weakest_share is None else f", {share(score.weakest_share)} of the total"
        yield (
            f"The weakest token is {token_seen(weakest)} (#{weakest.index}): "
            f"{unit.figure(weakest.logprob)} {unit.value}, probability {probability(weakest.logprob)}{part}."
        )
    if across := next((token for token in score.tokens if token.straddles), None):
        yield f"{token_seen(across)} (#{across.index}, {STRADDLES}) {ACROSS}; it is scored with the text."
    yield from cut(score)


def cut(score: Score) -> Iterator[str]:
    """Says so where a token did not see all that stands before it."""
    if score.min_context is not None:
        windows = f"in {score.windows} overlapping windows" if score.windows > 1 else "without its beginning"
        yield (
            f"Longer than the model's context: read {windows}; "
            f"where the beginning was out of sight, a token had at least {score.min_context} before it."
        )


def word_notes(words: Words) -> Iterator[str]:
    """Which figure it is that stands beside a word, and where words are not what they seem."""
    if words.marks == "none":
        yield "Words as their tokens add up: none of this model's tokens holds a blank, and tells that a word is over."
    elif words.marks == "end":
        yield "Words as their tokens add up: this model's tokens say where a word ends, so nothing is left to correct."
    elif not words.corrected:
        yield "Words as their tokens add up: that a word ends there is not in its figure (--word-correction on)."
    else:
        yield "Words corrected: each figure includes that its word ends there, which its tokens alone leave open."
    if words.marks == "blanks":
        yield "This model's tokens hold no blanks along with letters: a word is what stands between tokens of blanks."
    if words.end_context is not None:
        yield f"That the last word ends was read with the last {words.end_context} tokens in sight, not all."
    if lost := words.num_unscored:
        words_are = "word is" if lost == 1 else "words are"
        yield f"{lost} {words_are} without a figure: a token there is unscored, or spells something else than the text."
    if UNSPACED.search("".join(word.word for word in words.items)):
        yield "A script without blanks between words: what stands here as a word may be several."


UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}][\p{L}\p{M}]{3}"
)
"""Letters in a row, of a script whose words nothing parts."""


def no_winner(ranking: Ranking) -> Iterator[str]:
    """Says so where several candidates share the first place."""
    if ranking.tied:
        first = [candidate for candidate in ranking.candidates if candidate.place == 1]
        yield (
            f"No winner by {MEASURES[ranking.by]}: the first {len(first)} are closer than "
            f"{first[0].score.model.dtype} can tell apart (marked =, in input order)."
        )


def hidden(ranking: Ranking, top: int | None) -> Iterator[str]:
    """Says how many candidates are not shown, if only the first places are."""
    if left_out := len(ranking.candidates) - len(ranking.upto(top)):
        yield f"{left_out:,} more not shown (--top)"


def ranking_notes(ranking: Ranking, unit: Unit) -> Iterator[str]:
    """What to know of a ranking besides."""
    yield f"Ranked by {MEASURES[ranking.by]}; figures in {unit.value}."
    if not ranking.tied and any(candidate.tied for candidate in ranking.candidates):
        yield "= marks candidates that are closer than the arithmetic can tell apart, in input order."
    for winner in ranking.candidates:
        if measures := [MEASURES[measure] for measure, index in ranking.flips.items() if index == winner.index]:
            yield (
                f"By {' and '.join(measures)} another would win: {shorten(spell_text(winner.score.text), 60)} "
                f"(here in place {winner.place})."
            )
    every = len(ranking.candidates)
    if any(candidate.score.num_unscored for candidate in ranking.candidates):
        yield "No figure holds a candidate's first token: nothing stands before it (--bos puts a start symbol there)."
    if across := sum(any(token.straddles for token in found.score.tokens[:1]) for found in ranking.candidates):
        some = "each candidate" if across == every else f"{across} of the {every} candidates"
        yield f"The first token of {some} {ACROSS}, which is scored with it (--boundary separate parts the two)."
    shortened = (candidate.score for candidate in ranking.candidates if candidate.score.min_context is not None)
    for score in list(shortened)[:1]:
        yield from cut(score)


def ranking_signs(scores: Sequence[Score]) -> Iterator[str]:
    """What the signs in the maps of candidates mean, as far as they are there."""
    if len({tuple(token.id for token in score.tokens) for score in scores}) > 1:
        yield f"{DIFFERS} is where a candidate first differs from the one in the first line"
    if any(token.straddles for score in scores for token in score.tokens[:1]):
        yield f"{STRADDLES} stands before a token that {ACROSS}"


SIDES = ("first", "second")
"""What the two that are compared are called."""


def side_figures(comparison: Comparison, unit: Unit) -> Iterator[tuple[str, list[str]]]:
    """What either side adds up to, with its name; nothing of one that has no figures."""
    for name, score, total, bits, count in zip(
        SIDES, comparison.scores, comparison.totals, comparison.bits_per_byte, comparison.num_tokens, strict=True
    ):
        if total is not None:
            per_byte = [] if bits is None else [f"{bits:.4f} bits per byte"]
            left_out = [f"{more} left out"] if (more := len(score.tokens) - count) else []
            yield name, [f"total {unit.figure(total)} {unit.value}", *per_byte, counted(count, "token"), *left_out]


def comparison_notes(comparison: Comparison, unit: Unit) -> Iterator[str]:
    """The difference, who wins, what decides."""
    difference = comparison.difference
    if difference is None:
        yield "Nothing can be compared: no place has a figure on both sides."
    else:
        yield f"difference {unit.signed(difference)} {unit.value}: {_winner(comparison)}"
        alike = comparison.at_same
        if alike is not None and not comparison.of_models and len({place.same for place in comparison.compared}) > 1:
            other = math.fsum((difference, -alike))
            since = "" if other == difference else ", since other words stand before them"
            yield (
                f"{unit.signed(other)} of it where the words differ, {unit.signed(alike)} at words that both "
                f"have{since}."
            )
        if (place := comparison.decides) is not None:
            yield f"It is decided at {_named(place, unit)}."
        if comparison.of_models and (widest := comparison.widest()):
            yield f"Furthest apart: {', '.join(_named(place, unit) for place in widest)}."
    if missing := len(comparison.places) - len(comparison.compared):
        places = "1 place has" if missing == 1 else f"{missing} places have"
        yield f"{places} a token that nothing stands before, which is unscored: left out of all sums."
    shortened = (score for score in comparison.scores if score.min_context is not None)
    for score in list(shortened)[:1]:
        yield from cut(score)


def against(comparison: Comparison) -> str:
    """What the second is held against: goes behind "more likely"."""
    return "under the second model" if comparison.of_models else "than in the first text"


def moved(comparison: Comparison) -> bool:
    """Whether any place differs by enough to be coloured; a map in which none does needs no scale."""
    return any(lean(place.difference or 0.0) for place in comparison.compared)


UNMOVED = "nowhere half a bit apart"
"""Said of such a map."""


def comparison_signs(comparison: Comparison, lines: bool = True) -> Iterator[str]:
    """What the signs in the map of a comparison mean, as far as they are there.

    Args:
        lines: whether lines can be drawn under words.
    """
    if any(place.replaced for place in comparison.places):
        yield "underlined: other words" if lines else "«» is around other words"
    if any(not place.second.tokens for place in comparison.places):
        yield f"{GONE} words that only the first has"


def _winner(comparison: Comparison) -> str:
    """Which is the more probable, and how much; or that the arithmetic cannot tell."""
    if not comparison.of_models and all(place.same for place in comparison.places):
        return "the texts are the same."
    if not comparison.difference:
        return "no winner, since the figures are the same."
    if comparison.tied:
        dtypes = dict.fromkeys(score.model.dtype for score in comparison.scores)
        return f"no winner, since it is less than {' and '.join(dtypes)} can tell."
    which = f"the {SIDES[comparison.winner or 0]}"
    much = _much(abs(comparison.difference or 0.0))
    return f"the text is {much} under {which} model." if comparison.of_models else f"{which} is {much}."


def _much(difference: float) -> str:
    """How many times as probable something is that is so many nats ahead."""
    if difference < math.log(1.005):
        return "more probable"
    if difference >= math.log(1e6):
        return f"some 10^{difference / math.log(10):.0f} times as probable"
    times = f"{math.exp(difference):.3g}"
    return f"{f'{float(times):,.0f}' if 'e' in times else times} times as probable"


def _named(place: Place, unit: Unit) -> str:
    """A place in a sentence: its number, what stands there, its difference."""
    figure = "" if place.difference is None else f" {unit.signed(place.difference)}"
    both = [place.second] if place.same else [place.first, place.second]
    return f"#{place.index} {' / '.join(map(stretch_seen, both))}{figure}"


def stretch_seen(stretch: Stretch) -> str:
    """What one of two has at a place, shortened."""
    if not stretch.tokens:
        return "(no word)"
    return shorten(spell_text(stretch.text) if stretch.text else spell_text(stretch.tokens[0].token), 40)


def unanswered(corpus: Corpus) -> Iterator[str]:
    """Says so where accuracies leave records out: those that name no right answer."""
    if left_out := corpus.ranked - corpus.hits[""]["sum"].of:
        yield f"{counted(left_out, 'record')} without a right answer: in none of these."


def ungrouped(corpus: Corpus) -> Iterator[str]:
    """Says so where a table of groups leaves records out: those that belong to none."""
    grouped = sum(by["sum"].of for group, by in corpus.hits.items() if group)
    if left_out := corpus.hits[""]["sum"].of - grouped:
        yield f"{counted(left_out, 'record')} without a group: in none of these."


def least_likely(corpus: Corpus) -> str:
    """What stands above the least likely records: by what, and whether there are others."""
    few = len(corpus.unlikely) < corpus.records - corpus.bad
    return f"least likely{f', {len(corpus.unlikely)} of {corpus.records - corpus.bad:,}' * few}, by mean per token:"


def corpus_figures(corpus: Corpus) -> list[str]:
    """What a dataset's texts add up to, a line each."""
    bad = f", {corpus.bad:,} of them bad" if corpus.bad else ""
    unscored = f", {corpus.unscored:,} unscored" if corpus.unscored else ""
    tokens, windows = counted(corpus.tokens, "token"), counted(corpus.windows, "window")
    lines = [f"{counted(corpus.records, 'record')}{bad}: {tokens}{unscored}, in {windows}"]
    if corpus.log_likelihood is not None:
        bits = "" if corpus.bits_per_byte is None else f"  {corpus.bits_per_byte:.4f} bits per byte"
        lines.append(f"log-likelihood {corpus.log_likelihood:,.4f} nats  mean {corpus.mean_logprob:.4f}")
        lines.append(f"perplexity {perplexity(corpus.perplexity)}{bits}")
    return lines
