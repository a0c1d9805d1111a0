"""Records as JSON objects and as rows for CSV and TSV. Always nats; a value that does not exist is null or empty."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from .. import __version__
from ..catalogue import Holding
from ..comparison import Comparison, Place
from ..corpus import Corpus, Hits
from ..records import (
    NOTHING_MORE,
    Candidate,
    Extras,
    Measure,
    Provenance,
    Ranking,
    Score,
    Stretch,
    Token,
)


def score_object(score: Score, tokens: bool = True, extras: Extras = NOTHING_MORE) -> dict[str, Any]:
    """A score as the object that ``lmscore score --json`` prints.

    Args:
        tokens: list the tokens.
        extras: what is told of each beside its log-probability.
    """
    return {
        "text": score.text,
        "context": score.context,
        **_figures(score),
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
        **_counts(score, tokens, extras),
        **_words(score),
        "model": asdict(score.model),
        "lmscore_version": __version__,
    }


def _words(score: Score) -> dict[str, Any]:
    """What is told of words where they were asked for."""
    if score.words is None:
        return {}
    return {
        "words": list(map(asdict, score.words.items)),
        "word_correction": score.words.corrected,
        "word_marks": score.words.marks,
        "word_end_context": score.words.end_context,
    }


def ranking_object(ranking: Ranking, tokens: bool = True, top: int | None = None) -> dict[str, Any]:
    """A ranking as the object that ``lmscore rank --json`` prints."""
    return {
        "context": ranking.context,
        "by": ranking.by,
        "winner": ranking.winner,
        "tied": ranking.tied,
        "flips": dict(ranking.flips),
        "candidates": [_candidate_object(candidate, tokens) for candidate in ranking.upto(top)],
        "model": asdict(ranking.model),
        "lmscore_version": __version__,
    }


def _candidate_object(candidate: Candidate, tokens: bool) -> dict[str, Any]:
    return {
        "place": candidate.place,
        "index": candidate.index,
        "text": candidate.score.text,
        **_figures(candidate.score),
        "byte_logprob": candidate.score.byte_logprob,
        "pmi": candidate.pmi,
        "margin": candidate.margin,
        "share": candidate.share,
        "tied": candidate.tied,
        **_counts(candidate.score, tokens),
    }


def _figures(score: Score) -> dict[str, Any]:
    return {"total_logprob": score.total_logprob, "mean_logprob": score.mean_logprob}


def _counts(score: Score, tokens: bool, extras: Extras = NOTHING_MORE) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "num_tokens": score.num_tokens,
        "num_unscored": score.num_unscored,
        "weakest": _weakest(score),
    }
    if tokens:
        counts["tokens"] = [token_object(token, extras) for token in score.tokens]
    return {**counts, "windows": score.windows, "min_context": score.min_context}


def _weakest(score: Score) -> dict[str, Any] | None:
    if score.weakest is None:
        return None
    token = score.weakest
    return {"index": token.index, "token": token.token, "logprob": token.logprob, "share": score.weakest_share}


def token_object(token: Token, extras: Extras) -> dict[str, Any]:
    """A token's fields; rank, entropy and alternatives where they were asked for, though they may not exist."""
    fields: dict[str, Any] = {
        "index": token.index,
        "id": token.id,
        "token": token.token,
        "bytes": list(token.bytes),
        "start": token.start,
        "end": token.end,
        "logprob": token.logprob,
    }
    if extras.rank:
        fields["rank"] = token.rank
    if extras.entropy:
        fields["entropy"] = token.entropy
    fields["straddles"] = token.straddles
    if extras.top:
        top = token.top and token.top[: extras.top]
        fields["top"] = top and [{"id": other.id, "token": other.token, "logprob": other.logprob} for other in top]
    return fields


def comparison_object(comparison: Comparison) -> dict[str, Any]:
    """A comparison as the object that ``lmscore diff --json`` prints."""
    decides = comparison.decides
    return {
        "by": comparison.by,
        "context": comparison.first.context,
        "difference": comparison.difference,
        "difference_at_same": comparison.at_same,
        "winner": comparison.winner,
        "tied": comparison.tied,
        "decides": decides and _place_object(decides, tokens=False),
        "widest": [place.index for place in comparison.widest()],
        "sides": [
            {
                "text": score.text,
                "total_logprob": total,
                "bits_per_byte": bits,
                "num_tokens": num_tokens,
                "num_left_out": len(score.tokens) - num_tokens,
                "windows": score.windows,
                "min_context": score.min_context,
                "model": asdict(score.model),
            }
            for score, total, bits, num_tokens in zip(
                comparison.scores, comparison.totals, comparison.bits_per_byte, comparison.num_tokens, strict=True
            )
        ],
        "num_places": len(comparison.places),
        "num_uncompared": len(comparison.places) - len(comparison.compared),
        "places": [_place_object(place) for place in comparison.places],
        "lmscore_version": __version__,
    }


def _place_object(place: Place, tokens: bool = True) -> dict[str, Any]:
    return {
        "index": place.index,
        "same": place.same,
        "difference": place.difference,
        "first": _stretch_object(place.first, tokens),
        "second": _stretch_object(place.second, tokens),
    }


def _stretch_object(stretch: Stretch, tokens: bool) -> dict[str, Any]:
    fields = {"text": stretch.text, "start": stretch.start, "end": stretch.end, "logprob": stretch.logprob}
    return fields | ({"tokens": [token_object(token, NOTHING_MORE) for token in stretch.tokens]} if tokens else {})


def summary_object(corpus: Corpus, seconds: float, model: Provenance, command: str) -> dict[str, Any]:
    """What a dataset adds up to, as the object that ``lmscore batch --summary`` writes."""
    return {
        "records": corpus.records,
        "bad_records": corpus.bad,
        "num_tokens": corpus.tokens,
        "num_unscored": corpus.unscored,
        "windows": corpus.windows,
        "num_bytes": corpus.bytes,
        "total_logprob": corpus.log_likelihood,
        "mean_logprob": corpus.mean_logprob,
        "perplexity": corpus.perplexity,
        "bits_per_byte": corpus.bits_per_byte,
        "least_likely": [asdict(one) for one in corpus.unlikely],
        "accuracy": _accuracies(corpus.hits.get("", {})),
        "accuracy_by_group": {group: _accuracies(by) for group, by in corpus.hits.items() if group},
        "seconds": seconds,
        "tokens_per_second": corpus.tokens / seconds if seconds else None,
        "model": asdict(model),
        "lmscore_version": __version__,
        "command": command,
    }


def _accuracies(by: Mapping[Measure, Hits]) -> dict[str, Any]:
    return {
        measure: {**asdict(hits), "accuracy": hits.accuracy, "interval_95": hits.interval}
        for measure, hits in by.items()
    }


def holding_object(holding: Holding) -> dict[str, Any]:
    """A catalogue model as the object that ``lmscore models --json`` prints."""
    entry = holding.entry
    return {
        "name": entry.name,
        "title": entry.title,
        "from": entry.requirement,
        "licence": entry.licence,
        "bos_id": entry.bos_id,
        "bos_token": entry.bos_token,
        "cached": holding.folder is not None,
        "path": None if holding.folder is None else str(holding.folder),
        "bytes": holding.size,
    }


def score_rows(scores: Iterable[Score], tokens: bool = True, extras: Extras = NOTHING_MORE) -> Iterator[dict[str, Any]]:
    """A row for each token, numbered by text; or for each word, where they were asked for; or, without tokens, for each
    text, the text itself last. Arguments as for `score_object`."""
    for number, score in enumerate(scores):
        model = _provenance(score.model)
        if score.words is not None:
            for word in score.words.items:
                yield {"text_index": number, **asdict(word), **model}
            continue
        if not tokens:
            flat = score_object(score, tokens=False)
            del flat["model"]
            text, context, weakest = (flat.pop(name) for name in ("text", "context", "weakest"))
            told = {"text_index": number, **flat, **_flat_weakest(weakest), **model}
            yield {**told, "context": context, "text": text}
        for token in score.tokens if tokens else ():
            yield {"text_index": number, **token_object(token, extras), "bytes": token.bytes.hex(), **model}


def ranking_rows(rankings: Iterable[Ranking], top: int | None = None) -> Iterator[dict[str, Any]]:
    """A row for each candidate, numbered by group; candidate and context last."""
    for number, ranking in enumerate(rankings):
        model = _provenance(ranking.model)
        for candidate in ranking.upto(top):
            flat = _candidate_object(candidate, tokens=False)
            text, weakest = (flat.pop(name) for name in ("text", "weakest"))
            told = {"group_index": number, "by": ranking.by, **flat, **_flat_weakest(weakest)}
            yield {**told, **model, "context": ranking.context, "text": text}


def comparison_rows(comparisons: Iterable[Comparison]) -> Iterator[dict[str, Any]]:
    """A row for each place."""
    for comparison in comparisons:
        models = [_provenance(score.model) for score in comparison.scores]
        for place in comparison.places:
            row: dict[str, Any] = {"index": place.index, "same": place.same, "difference": place.difference}
            for side, model, stretch in zip(("first", "second"), models, (place.first, place.second), strict=True):
                told = {**_stretch_object(stretch, tokens=False), "num_tokens": len(stretch.tokens), **model}
                row |= {f"{side}_{name}": value for name, value in told.items()}
            yield row


def _flat_weakest(weakest: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"weakest_{name}": (weakest or {}).get(name) for name in ("token", "logprob")}


def _provenance(model: Provenance) -> dict[str, Any]:
    told = asdict(model)
    return {"model": told["name"], **{name: told[name] for name in ("dtype", "bos_id", "bos_token", "bos_source")}}
