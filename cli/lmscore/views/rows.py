"""Records as JSON objects and as rows for CSV and TSV. Always nats; a value that does not exist is null or empty."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any, TextIO

from .. import __version__
from ..download import Holding
from ..records import Candidate, Ranking, Score, Token


def score_object(score: Score, tokens: bool = True) -> dict[str, Any]:
    """A score as the object that ``lmscore score --json`` prints."""
    return {
        "text": score.text,
        "context": score.context,
        **_figures(score),
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
        **_counts(score, tokens),
        "windows": score.windows,
        "min_context": score.min_context,
        "model": asdict(score.model),
        "lmscore_version": __version__,
    }


def ranking_object(ranking: Ranking, tokens: bool = True, top: int | None = None) -> dict[str, Any]:
    """A ranking as the object that ``lmscore rank --json`` prints."""
    return {
        "context": ranking.context,
        "by": ranking.by,
        "winner": ranking.winner,
        "tied": ranking.tied,
        "flips": dict(ranking.flips),
        "candidates": [_candidate_object(candidate, tokens) for candidate in ranking.candidates[:top]],
        "model": asdict(ranking.candidates[0].score.model),
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


def _counts(score: Score, tokens: bool) -> dict[str, Any]:
    counts = {"num_tokens": score.num_tokens, "num_unscored": score.num_unscored, "weakest": _weakest(score)}
    return {**counts, "tokens": [_token_object(token) for token in score.tokens]} if tokens else counts


def _weakest(score: Score) -> dict[str, Any] | None:
    if score.weakest is None:
        return None
    token = score.weakest
    return {"index": token.index, "token": token.token, "logprob": token.logprob, "share": score.weakest_share}


def _token_object(token: Token) -> dict[str, Any]:
    """A token's fields; rank, entropy and alternatives only where they were asked for."""
    fields: dict[str, Any] = {
        "index": token.index,
        "id": token.id,
        "token": token.token,
        "bytes": list(token.bytes),
        "start": token.start,
        "end": token.end,
        "logprob": token.logprob,
    }
    if token.rank is not None:
        fields["rank"] = token.rank
    if token.entropy is not None:
        fields["entropy"] = token.entropy
    fields["straddles"] = token.straddles
    if token.top is not None:
        fields["top"] = [{"id": other.id, "token": other.token, "logprob": other.logprob} for other in token.top]
    return fields


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


def write_json(stream: TextIO, objects: Iterable[Mapping[str, Any]]) -> None:
    """JSON Lines: one object a line, each written as it comes."""
    for item in objects:
        line = json.dumps(item, ensure_ascii=False, allow_nan=False)
        stream.write(ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", line) + "\n")
        stream.flush()


# What a terminal would act on or a reader take for the end of a line, and json.dumps leaves as it is: the second set of
# controls, directions and joiners, line and paragraph separators. To a JSON reader the escapes are the same.
ACTIVE = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def write_rows(stream: TextIO, rows: Iterable[Mapping[str, Any]], separator: str) -> None:
    """A header and a line for each row, as CSV or (with a tab) TSV."""
    writer: Any = None
    # The module quotes what its own line ends are made of: with \r\n, a bare \r in a text as well as a bare \n.
    lines: Any = SimpleNamespace(write=lambda line: stream.write(line.removesuffix("\r\n") + "\n"))
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(lines, list(row), delimiter=separator, lineterminator="\r\n")
            writer.writeheader()
        writer.writerow(row)
        stream.flush()


def score_rows(scores: Iterable[Score], tokens: bool = True) -> Iterator[dict[str, Any]]:
    """A row for each token, numbered by text; or, without tokens, a row for each text."""
    for number, score in enumerate(scores):
        if not tokens:
            flat = score_object(score, tokens=False)
            weakest, model = flat.pop("weakest") or {}, flat.pop("model")
            yield {
                "text_index": number,
                **flat,
                "weakest_token": weakest.get("token"),
                "weakest_logprob": weakest.get("logprob"),
                "model": model["name"],
                "bos_id": model["bos_id"],
                "dtype": model["dtype"],
            }
        for token in score.tokens if tokens else ():
            fields = _token_object(token)
            if top := fields.pop("top", None):
                fields["top"] = json.dumps(top, ensure_ascii=False)
            yield {"text_index": number, **fields, "bytes": token.bytes.hex()}


def ranking_rows(rankings: Iterable[Ranking], top: int | None = None) -> Iterator[dict[str, Any]]:
    """A row for each candidate, numbered by group."""
    for number, ranking in enumerate(rankings):
        for candidate in ranking.candidates[:top]:
            flat = _candidate_object(candidate, tokens=False)
            weakest = flat.pop("weakest") or {}
            yield {
                "group_index": number,
                "context": ranking.context,
                **flat,
                "weakest_token": weakest.get("token"),
                "weakest_logprob": weakest.get("logprob"),
            }
