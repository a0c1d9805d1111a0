"""Sums one can do by hand, through the real code: a bigram model whose numbers are those of the textbook."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lmscore import open_scorer

from . import models
from .cli import Cli

THE_CAT_SAT = {("<s>", "The"): -1.8, ("The", " cat"): -2.5, (" cat", " sat"): -1.2, (" cat", " ran"): -3.0}
A_DOG_SAT = {("<s>", "A"): -1.5, ("A", " dog"): -0.9, (" dog", " sat"): -1.2}


def printed_by(cli: Cli, *words: object) -> list[dict[str, Any]]:
    """The objects that a command prints."""
    ended = cli(*words)
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


@pytest.mark.parametrize(
    ("pairs", "text", "logprobs", "total"),
    [
        (THE_CAT_SAT, "The cat sat", [-1.8, -2.5, -1.2], -5.5),
        (A_DOG_SAT, "A dog sat", [-1.5, -0.9, -1.2], -3.6),
    ],
)
def test_a_sentence_is_the_sum_of_its_words(
    cli: Cli, tmp_path: Path, pairs: dict[tuple[str, str], float], text: str, logprobs: list[float], total: float
) -> None:
    folder = models.bigram(tmp_path, pairs)
    score = open_scorer(str(folder)).score(text)
    [printed] = printed_by(cli, "score", text, "--model", folder, "--json")
    assert list(score.logprobs) == pytest.approx(logprobs, abs=1e-5)
    assert score.total_logprob == pytest.approx(total, abs=1e-5)
    assert [token["logprob"] for token in printed["tokens"]] == list(score.logprobs)
    assert printed["total_logprob"] == score.total_logprob
    assert printed["mean_logprob"] == pytest.approx(total / 3, abs=1e-5)
    assert printed["perplexity"] == pytest.approx(math.exp(-total / 3), rel=1e-5)
    assert printed["bits_per_byte"] == pytest.approx(-total / math.log(2) / len(text), rel=1e-5)
    assert (printed["num_tokens"], printed["num_unscored"]) == (3, 0)


def test_the_weakest_word_and_its_share(cli: Cli, tmp_path: Path) -> None:
    [printed] = printed_by(cli, "score", "The cat sat", "--model", models.bigram(tmp_path, THE_CAT_SAT), "--json")
    weakest = printed["weakest"]
    assert (weakest["index"], weakest["token"]) == (1, " cat")
    assert weakest["logprob"] == pytest.approx(-2.5, abs=1e-5)
    assert weakest["share"] == pytest.approx(2.5 / 5.5, abs=1e-5)


def test_a_context_conditions_and_adds_nothing(cli: Cli, tmp_path: Path) -> None:
    folder = models.bigram(tmp_path, THE_CAT_SAT)
    [printed] = printed_by(cli, "score", " sat", "--context", "The cat", "--model", folder, "--json")
    assert printed["total_logprob"] == pytest.approx(-1.2, abs=1e-5)
    assert printed["num_tokens"] == 1


def test_a_corpus_is_the_sum_of_its_lines(cli: Cli, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_bytes(b"The cat sat\nThe cat ran\r\nThe cat\n")
    printed = printed_by(
        cli, "score", "--file", lines, "--model", models.bigram(tmp_path / "model", THE_CAT_SAT), "--json"
    )
    totals = [score["total_logprob"] for score in printed]
    assert totals == pytest.approx([-5.5, -7.3, -4.3], abs=1e-5)
    tokens = sum(score["num_tokens"] for score in printed)
    assert math.exp(-sum(totals) / tokens) == pytest.approx(math.exp(17.1 / 8), rel=1e-5)


def test_a_ranking_by_hand(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "candidates.txt"
    file.write_text(" ran\n sat\n", encoding="utf-8")
    folder = models.bigram(tmp_path / "model", THE_CAT_SAT)
    [printed] = printed_by(cli, "rank", file, "--context", "The cat", "--model", folder, "--json")
    assert (printed["winner"], printed["tied"], printed["context"], printed["by"]) == (1, False, "The cat", "sum")
    first, second = printed["candidates"]
    assert [(one["place"], one["index"], one["text"]) for one in (first, second)] == [(1, 1, " sat"), (2, 0, " ran")]
    assert (first["margin"], second["margin"]) == (0, pytest.approx(1.8, abs=1e-5))
    assert first["share"] == pytest.approx(math.exp(-1.2) / (math.exp(-1.2) + math.exp(-3)), abs=1e-5)
    assert first["share"] + second["share"] == pytest.approx(1)


def test_pmi_by_hand(cli: Cli, tmp_path: Path) -> None:
    pairs = {**THE_CAT_SAT, ("<s>", " sat"): -4.0, ("<s>", " ran"): -6.5}
    file = tmp_path / "candidates.txt"
    file.write_text(" sat\n ran\n", encoding="utf-8")
    folder = models.bigram(tmp_path / "model", pairs)
    [printed] = printed_by(cli, "rank", file, "--context", "The cat", "--by", "pmi", "--model", folder, "--json")
    assert printed["winner"] == 1
    assert printed["flips"] == {"sum": 0, "mean": 0, "byte": 0}
    # log P(c | context) - log P(c | start symbol)
    assert [one["pmi"] for one in printed["candidates"]] == pytest.approx([-3.0 + 6.5, -1.2 + 4.0], abs=1e-5)
    assert printed["candidates"][1]["margin"] == pytest.approx(0.7, abs=1e-5)


def test_csv_and_json_carry_the_same_float(cli: Cli, tmp_path: Path) -> None:
    folder, table = models.bigram(tmp_path, THE_CAT_SAT), tmp_path / "scores.csv"
    [printed] = printed_by(cli, "score", "The cat sat", "--model", folder, "--json")
    assert cli("score", "The cat sat", "--model", folder, "--no-tokens", "-o", table).code == 0
    header, row = table.read_text(encoding="utf-8").splitlines()
    assert float(row.split(",")[header.split(",").index("total_logprob")]) == printed["total_logprob"]
