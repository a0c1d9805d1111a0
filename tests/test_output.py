"""What is written, for programs: JSON Lines, CSV and TSV, their fields, and which format an output gets."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmscore import __version__
from lmscore.show import write_rows

from . import models
from .cli import Cli

MODEL = ["name", "revision", "dtype", "device", "bos_id", "bos_token", "bos_source"]
TOKEN = ["index", "id", "token", "bytes", "start", "end", "logprob", "straddles"]
TOKEN_IN_FULL = ["index", "id", "token", "bytes", "start", "end", "logprob", "rank", "entropy", "straddles", "top"]
SCORE = [
    "text",
    "context",
    "total_logprob",
    "mean_logprob",
    "perplexity",
    "bits_per_byte",
    "num_tokens",
    "num_unscored",
]
SCORE += ["weakest", "tokens", "windows", "min_context", "model", "lmscore_version"]
RANKING = ["context", "by", "winner", "tied", "flips", "candidates", "model", "lmscore_version"]
CANDIDATE = [
    "place",
    "index",
    "text",
    "total_logprob",
    "mean_logprob",
    "byte_logprob",
    "pmi",
    "margin",
    "share",
    "tied",
]
CANDIDATE += ["num_tokens", "num_unscored", "weakest", "tokens", "windows", "min_context"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


HOSTILE = [
    'say "hi", they said; a,b\tc',
    "two\nlines\r\nand \r more",
    "=1+1",
    "\x1b[31mred\x1b[0m \x9b31m [bold]markup[/bold] :smile: {x} %s \\x1b",
    "a\u202egnirts\u2028b\u200dc\ufeff",
    "日本語 🙂 é e\u0301",
    " ",
]
"""Texts that a writer may trip over."""


def test_rows_are_data_but_on_a_terminal_they_do_not_act() -> None:
    text = "a\x1b[31m\tb\u202e\nc"
    for stream, told in ((io.StringIO(), text), (Terminal(), "a\\u001b[31m\tb\\u202e\nc")):
        write_rows(stream, [{"text": text}], ",")
        assert stream.getvalue() == f'text\n"{told}"\n'


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_score_has_these_fields_in_this_order(cli: Cli) -> None:
    (score,) = objects(cli("score", "--json", "The cat sat").out)
    assert list(score) == SCORE
    assert list(score["model"]) == MODEL
    assert list(score["weakest"]) == ["index", "token", "logprob", "share"]
    assert all(list(token) == TOKEN for token in score["tokens"])
    assert score["lmscore_version"] == __version__


def test_rank_entropy_and_top_appear_when_they_are_asked_for(cli: Cli) -> None:
    (score,) = objects(cli("score", "--json", "--rank", "--entropy", "--top", "3", "The cat sat").out)
    assert all(list(token) == TOKEN_IN_FULL for token in score["tokens"])
    for token in score["tokens"]:
        assert [list(other) for other in token["top"]] == [["id", "token", "logprob"]] * 3
        assert sorted(token["top"], key=lambda other: -other["logprob"]) == token["top"]


def test_a_ranking_has_these_fields_in_this_order(cli: Cli) -> None:
    (ranking,) = objects(cli("rank", "-", "--json", "--context", "The", stdin=b" cat\n dog\n").out)
    assert list(ranking) == RANKING
    assert list(ranking["model"]) == MODEL
    assert all(list(candidate) == CANDIDATE for candidate in ranking["candidates"])
    assert [candidate["place"] for candidate in ranking["candidates"]] == [1, 2]
    assert ranking["winner"] == ranking["candidates"][0]["index"]


def test_without_tokens_only_the_lists_are_missing(cli: Cli) -> None:
    full, bare = (objects(cli("score", "--json", "a b", *words).out)[0] for words in ([], ["--no-tokens"]))
    assert bare == {name: value for name, value in full.items() if name != "tokens"}
    full, bare = (objects(cli("rank", "-", "--json", *words, stdin=b"a\n").out)[0] for words in ([], ["--no-tokens"]))
    assert list(bare["candidates"][0]) == [name for name in CANDIDATE if name != "tokens"]


def test_the_figures_add_up_from_the_tokens(cli: Cli) -> None:
    for score in objects(cli("score", "--json", "--context", "Be", *HOSTILE).out):
        logprobs = [token["logprob"] for token in score["tokens"]]
        assert score["total_logprob"] == math.fsum(logprobs)
        assert score["mean_logprob"] == pytest.approx(score["total_logprob"] / len(logprobs))
        assert score["perplexity"] == pytest.approx(math.exp(-score["mean_logprob"]))
        assert score["weakest"]["logprob"] == min(logprobs)
        spelled = b"".join(bytes(token["bytes"]) for token in score["tokens"])
        assert spelled.endswith(score["text"].encode()), "bytes join to the text"


def test_a_value_that_does_not_exist_is_null(cli: Cli) -> None:
    (score,) = objects(cli("score", "--json", "--bos", "none", "a").out)
    assert score["num_tokens"] == 0
    assert {score[name] for name in ("total_logprob", "mean_logprob", "perplexity", "bits_per_byte", "weakest")} == {
        None
    }
    (row,) = rows(cli("score", "--format", "csv", "--no-tokens", "--bos", "none", "a").out)
    assert row["total_logprob"] == row["weakest_token"] == ""


def test_json_is_one_line_an_object_whatever_the_text(cli: Cli) -> None:
    out = cli("score", "--json", *HOSTILE).out
    assert [score["text"] for score in objects(out)] == HOSTILE
    assert not set(out) & set("\x1b\x7f\x9b\x85\u2028\u2029\u202e\u200d\ufeff"), "nothing a terminal would act on"
    assert "日本語 🙂" in out, "and people can read the rest"


def rows(out: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out, newline=""), delimiter=delimiter, strict=True))


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_rows_come_back_whole_through_the_csv_module(cli: Cli, form: str, delimiter: str) -> None:
    scores = objects(cli("score", "--json", "--top", "2", "--rank", *HOSTILE).out)
    read = rows(cli("score", "--format", form, "--top", "2", *HOSTILE, "--rank").out, delimiter)
    tokens = [(number, token) for number, score in enumerate(scores) for token in score["tokens"]]
    assert len(read) == len(tokens)
    for row, (number, token) in zip(read, tokens, strict=True):
        assert (int(row["text_index"]), row["token"]) == (number, token["token"])
        assert list(bytes.fromhex(row["bytes"])) == token["bytes"]
        assert float(row["logprob"]) == token["logprob"], "to the last digit"
        assert json.loads(row["top"]) == token["top"]


def test_rows_without_tokens_are_one_a_text(cli: Cli) -> None:
    read = rows(cli("score", "--format", "csv", "--no-tokens", *HOSTILE).out)
    assert [row["text"] for row in read] == HOSTILE
    scores = objects(cli("score", "--json", *HOSTILE).out)
    assert [float(row["total_logprob"]) for row in read] == [score["total_logprob"] for score in scores]


def test_a_ranking_as_rows(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    groups = [{"context": "The\n", "candidates": HOSTILE}, {"candidates": ["a", "b"]}]
    path.write_text("".join(json.dumps(group) + "\n" for group in groups))
    read = rows(cli("rank", path, "--format", "csv").out)
    assert [int(row["group_index"]) for row in read] == [0] * len(HOSTILE) + [1, 1]
    assert {row["text"] for row in read[:-2]} == set(HOSTILE)
    assert [row["place"] for row in read[-2:]] == ["1", "2"]
    assert {row["context"] for row in read[:-2]} == {"The\n"}
    assert {row["tied"] for row in read} == {"false"}, "as JSON writes it, and batch"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("out.json", "{"),
        ("out.jsonl", "{"),
        ("out.ndjson", "{"),
        ("OUT.JSON", "{"),
        ("out.csv", "text_index,"),
        ("out.tsv", "text_index\t"),
        ("out.txt", "# token"),
        ("out", "# token"),
    ],
)
def test_the_format_is_by_the_name_of_the_output(cli: Cli, tmp_path: Path, name: str, first: str) -> None:
    ended = cli("score", "The", "-o", tmp_path / name)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(first)


def test_a_format_that_is_named_goes_before_the_name(cli: Cli, tmp_path: Path) -> None:
    assert cli("score", "The", "-o", tmp_path / "out.json", "--format", "csv").code == 0
    assert (tmp_path / "out.json").read_text().startswith("text_index,")
    assert cli("score", "The", "--json").out == cli("score", "The", "--format", "json").out


def test_units_change_tables_only(cli: Cli) -> None:
    for form in ("json", "csv"):
        said = cli("score", "The", "--format", form, "--unit", "bits").misuse
        assert f"--unit is for tables, and this would write {form}" in said
    nats, bits = (objects(cli("score", "The", "--json").out)[0]["total_logprob"] / unit for unit in (1, math.log(2)))
    assert f"total {nats:.4f} nats" in cli("score", "The").out
    assert f"total {bits:.4f} bits" in cli("score", "The", "--unit", "bits").out


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_top_shows_the_first_places_and_ranks_them_all(cli: Cli, form: str) -> None:
    data = b"one\ntwo\nthree\nfour\n"
    (full,) = objects(cli("rank", "-", "--json", stdin=data).out)
    ended = cli("rank", "-", "--format", form, "--top", "2", stdin=data)
    if form == "json":
        assert objects(ended.out)[0] == {**full, "candidates": full["candidates"][:2]}
    elif form == "csv":
        assert [row["place"] for row in rows(ended.out)] == ["1", "2"]
    else:
        assert "2 more not shown (--top)" in ended.out


def test_join_stands_between_context_and_candidates(cli: Cli) -> None:
    joined = objects(cli("rank", "-", "--json", "--context", "The", "--join", " ", stdin=b"cat\ndog\n").out)
    spelled = objects(cli("rank", "-", "--json", "--context", "The", stdin=b" cat\n dog\n").out)
    assert joined == spelled


@pytest.mark.parametrize("words", [["score", "cat", "dog"], ["diff", "cat", "dog"]])
def test_join_stands_between_context_and_texts(cli: Cli, words: list[str]) -> None:
    command, *texts = words
    joined = cli(*words, "--json", "--context", "The", "--join", " ")
    spelled = cli(command, *(f" {text}" for text in texts), "--json", "--context", "The")
    assert objects(joined.out) == objects(spelled.out)
    assert "--join needs a context" in cli(*words, "--join", " ").misuse


def test_join_stands_nowhere_without_a_context(cli: Cli) -> None:
    joined = cli("rank", "-", "--json", "--input-format", "jsonl", "--join", " ", stdin=b'{"candidates": ["a", "b"]}')
    alone = cli("rank", "-", "--json", "--input-format", "jsonl", stdin=b'{"candidates": ["a", "b"]}')
    assert objects(joined.out) == objects(alone.out)
    refused = cli("rank", "-", "--join", " ", stdin=b"a\nb\n")
    assert (refused.code, refused.err.startswith("error: --join needs a context; give --context too")) == (2, True)


@pytest.mark.parametrize(
    ("context", "candidate", "hinted"),
    [
        ("The", "cat", True),
        ("The end.", "Then", True),
        ("The", " cat", False),
        ("The ", "cat", False),
        ("The", ", cat", False),
        ("日本", "語", False),
        ("x = (", "y", False),
    ],
)
def test_a_space_that_is_wanted_between_words_is_hinted_at(
    cli: Cli, context: str, candidate: str, hinted: bool
) -> None:
    ended = cli("rank", "-", "--context", context, stdin=f"(other)\n{candidate}\n".encode())
    word = f"{context.split()[-1]}{candidate}"
    said = f"stdin, line 2: no space stands between the context and this (\"{word}\"); --join ' ' puts one"
    assert (said in ended.err) == hinted, ended.err
    assert ("warning" in ended.err) == hinted, ended.err


def test_scores_come_out_as_texts_come_in(cli: Cli) -> None:
    texts = [f"{'word ' * (i * 7 % 11)}{i}" for i in range(40)]
    assert [score["text"] for score in objects(cli("score", "--json", *texts).out)] == texts


@pytest.mark.parametrize("architecture", ["gpt2", "gemma3"], indirect=True)
def test_every_result_names_its_start_symbol(cli: Cli, architecture: str, folder_of: Callable[[str], Path]) -> None:
    (score,) = objects(cli("score", "--json", "The", "--model", folder_of(architecture)).out)
    model = score["model"]
    said = f"start symbol {model['bos_token']} (id {model['bos_id']}, by {model['bos_source']})"
    shown = cli("score", "The", "--model", folder_of(architecture)).out
    assert said in " ".join(shown.split())


@pytest.mark.parametrize("format", ["csv", "tsv"])
@pytest.mark.parametrize("asked", [["--rank"], ["--entropy"], ["--top", "2"]])
def test_what_an_unscored_token_lacks_is_an_empty_field(cli: Cli, format: str, asked: list[str]) -> None:
    ended = cli("score", "a b", "--bos", "none", "--format", format, *asked)
    assert ended.code == 0, ended.err
    first, second = list(csv.DictReader(io.StringIO(ended.out), delimiter="," if format == "csv" else "\t"))[:2]
    assert (first[asked[0].strip("-")], bool(second[asked[0].strip("-")])) == ("", True)
    token = objects(cli("score", "a b", "--bos", "none", "--json", *asked).out)[0]["tokens"][0]
    assert token[asked[0].strip("-")] is None


def test_every_row_says_which_start_symbol_it_stands_on(cli: Cli) -> None:
    told = {"dtype": "float32", "bos_id": "0", "bos_token": models.START, "bos_source": "tokenizer bos"}
    for words in (["score", "a b"], ["score", "a b", "--no-tokens"], ["rank", "-"]):
        (row, *_) = csv.DictReader(io.StringIO(cli(*words, "--format", "csv", stdin=b"a\nb\n").out))
        assert told.items() <= row.items()


def test_the_first_places_are_whole(cli: Cli) -> None:
    (ranking,) = objects(cli("rank", "-", "--json", "--top", "1", "--quiet", stdin=b"a\na\nThe zebra's\n").out)
    assert [candidate["place"] for candidate in ranking["candidates"]] == [1, 1]
