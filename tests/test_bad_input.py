"""Bad input: each kind ends with one line that says what, where and what to do, and with its exit code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from . import models
from .cli import Cli

LINES = {
    "utf8": (b"fine\nbro\xffken\n", "line 2: not UTF-8 at its byte 3 (0xff); iconv -f LATIN1 -t UTF-8"),
    "cut": ("fine\n…".encode()[:-1], "line 2: not UTF-8 at its byte 0 (0xe2)"),
    "nul": (b"fine\r\nno\0t\n", "line 2: a NUL at its byte 2: a binary file"),
    "utf16": ("fine\n".encode("utf-16"), "is UTF-16; convert it first, with `iconv -f UTF-16 -t UTF-8`"),
    "utf16-unmarked": ("fine\n".encode("utf-16-le"), "line 1: a NUL at its byte 1"),
    "after-bom": (b"\xef\xbb\xbfok\n\xff", "line 2: not UTF-8 at its byte 0"),
}
"""What may be wrong with the bytes of a file, for score and rank alike."""


@pytest.mark.parametrize("command", [["score", "--file"], ["rank"]], ids=["score", "rank"])
@pytest.mark.parametrize(("data", "said"), LINES.values(), ids=LINES.keys())
def test_bytes_that_are_no_text_are_refused_with_their_place(
    cli: Cli, tmp_path: Path, command: list[str], data: bytes, said: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(data)
    joint = ", " if said.startswith("line") else " "
    assert cli(*command, path, "--quiet").error.startswith(f"{path}{joint}{said}")
    assert cli(*command, "-", "--quiet", stdin=data).error.startswith(f"stdin{joint}{said}")


@pytest.mark.parametrize("command", [["score", "--file"], ["score", "--whole", "--file"], ["rank"]])
def test_a_place_with_no_file_in_it_is_named(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    missing, folder = tmp_path / "missing.txt", tmp_path
    assert (
        cli(*command, missing).error == f"there is no file {missing}; check the name, or give - to read standard input"
    )
    assert cli(*command, folder).error == f"{folder} is a folder; name a file in it"
    assert cli(*command, "").error.startswith("there is no file with an empty name")


LONG = "x" * 300


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "-f", "{0}"], "cannot read {0}: {1}; check"),
        (["rank", "{0}"], "cannot read {0}: {1}; check"),
        (["batch", "{0}.txt", "-o", "{2}.jsonl"], "cannot read {0}.txt: {1}; check"),
        (["score", "hi", "-o", "{0}"], "cannot write {0}: {1}; choose"),
        (["score", "hi", "--html", "{0}"], "cannot write {0}: {1}; choose"),
        (["batch", "{2}", "-o", "{0}.jsonl"], "cannot write {0}.jsonl: {1}; choose"),
        (["score", "hi", "-m", "{0}"], "cannot read {0}: {1}; check"),
    ],
)
def test_what_cannot_even_be_looked_at_is_one_line(cli: Cli, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    places = {tmp_path / LONG: "File name too long"}
    for ending in ("", ".txt", ".jsonl"):
        place = tmp_path / f"loop{ending}"
        place.symlink_to(place)
        places[tmp_path / "loop"] = "Too many levels of symbolic links"
    for place, why in places.items():
        filled = [word.format(place, why, tmp_path / "in.txt") for word in words]
        assert cli(*filled, "-q").error.startswith(said.format(place, why))


def test_a_file_below_a_file_is_no_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert cli("score", "--file", tmp_path / "file" / "x").error.startswith(f"cannot read {tmp_path}/file/x: Not a dir")


def test_an_empty_text_is_named(cli: Cli) -> None:
    said = "it is empty, so there is nothing to score; leave it out, or add --eos to score its end symbol"
    assert cli("score", "").error == f"text 1: {said}"
    assert cli("score", "--whole", stdin=b"").error == f"stdin: {said}"


def test_an_empty_text_has_an_end_symbol(cli: Cli) -> None:
    ended = cli("score", "", "--eos", "--json")
    assert json.loads(ended.out)["num_tokens"] == 1, ended.err


def test_what_stands_before_a_bad_line_is_still_given(cli: Cli) -> None:
    ended = cli("score", "--json", "--no-tokens", stdin=b"one\ntwo\n\xff\n")
    assert (ended.code, [json.loads(line)["text"] for line in ended.out.splitlines()]) == (1, ["one", "two"])
    assert ended.err.startswith("error: stdin, line 3: not UTF-8 at its byte 0")


def test_a_byte_order_mark_is_no_part_of_the_text(cli: Cli) -> None:
    ended = cli("score", "--json", stdin=b"\xef\xbb\xbfhello\n")
    assert (ended.code, json.loads(ended.out)["text"]) == (0, "hello")
    assert ended.err == ("warning: stdin opens with a UTF-8 byte order mark, which is not part of the text: left out\n")


def test_a_line_loses_its_terminator_and_nothing_else(cli: Cli) -> None:
    ended = cli("score", "--json", "--no-tokens", stdin=b" a \r\nb\x0cc\rd\xe2\x80\xa8e\n\tf")
    assert [json.loads(line)["text"] for line in ended.out.splitlines()] == [" a ", "b\x0cc\rd\u2028e", "\tf"]


def test_a_whole_file_is_one_text_with_its_line_ends(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "whole.txt"
    path.write_bytes(b"one\r\ntwo\n")
    assert json.loads(cli("score", "--json", "--whole", "--file", path).out)["text"] == "one\r\ntwo\n"


@pytest.mark.parametrize("words", [["--context", "a\udcff"], ["b\udcff"], ["b", "--bos", "\udcff"]])
def test_an_argument_the_shell_could_not_decode_is_refused(cli: Cli, words: list[str]) -> None:
    assert "UTF-8" in cli("score", "a", *words).err
    assert cli("score", "a", *words).code == 1


def test_a_context_the_shell_could_not_decode_is_told_from_its_text(cli: Cli) -> None:
    said = cli("score", "x", "--context", "a\udcff").error
    assert said.startswith("the context of text 1 is not valid UTF-8 at byte 1")


def test_lone_surrogates_in_json_are_refused_with_their_place(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    path.write_text('{"candidates": ["fine", "ab\\ud800"]}\n')
    assert cli("rank", path).error.startswith(f"{path}, line 1: half a surrogate pair, which is no char")


def test_blank_candidates_are_skipped_and_said(cli: Cli) -> None:
    ended = cli("rank", "-", "--json", stdin=b"one\n\ntwo\n  \t\n")
    ranked = json.loads(ended.out)
    assert sorted((c["index"], c["text"]) for c in ranked["candidates"]) == [(0, "one"), (2, "two")]
    assert ended.err == "warning: stdin: skipped blank lines, by number: 2, 4\n"


def test_one_candidate_wins_unopposed(cli: Cli) -> None:
    ended = cli("rank", "-", "--json", stdin=b"alone\n")
    assert (ended.code, json.loads(ended.out)["winner"], json.loads(ended.out)["tied"]) == (0, 0, False)
    assert ended.err == "warning: stdin, line 1: the only candidate wins unopposed\n"


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_no_candidates_are_an_error(cli: Cli, data: bytes) -> None:
    ended = cli("rank", "-", "--quiet", stdin=data)
    assert ended.error == "stdin has no candidates; put one on each line"
    assert "has no groups" in cli("rank", "-", "--quiet", "--input-format", "jsonl", stdin=data).error


def test_no_texts_are_an_error(cli: Cli) -> None:
    assert cli("score").error == "stdin is empty: there are no texts in it; put one on each line"


def test_the_same_candidate_twice_is_a_tie_and_said(cli: Cli) -> None:
    ended = cli("rank", "-", "--json", stdin=b"two\none\ntwo\n")
    by_index = {c["index"]: c for c in json.loads(ended.out)["candidates"]}
    assert (by_index[0]["tied"], by_index[2]["tied"], by_index[1]["tied"]) == (True, True, False)
    assert by_index[0]["place"] == by_index[2]["place"]
    assert ended.err == "warning: stdin, line 3 repeats stdin, line 1: the same candidate twice is a tie\n"


GROUPS = {
    "broken": ('{"candidates": ["a"', "not JSON (Expecting ',' delimiter at column 20); a line is {"),
    "list": ('["a"]', 'not an object; a line is {"context": …, "candidates": […]}'),
    "number": ("7", "not an object"),
    "twice": ('{"candidates": ["a"], "candidates": ["b"]}', '"candidates" stands there twice; a line is {'),
    "deep": ("[" * 100_000, "JSON that Python does not read"),
    "digits": (f'{{"candidates": {"9" * 5000}}}', "JSON that Python does not read"),
    "context": ('{"context": 3, "candidates": ["a"]}', '"context" is not a string; leave it out for none'),
    "none": ('{"context": "a"}', 'there is no "candidates"; write "candidates": ["…"]'),
    "empty": ('{"candidates": []}', '"candidates" is not a list with at least one string'),
    "string": ('{"candidates": "abc"}', '"candidates" is not a list with at least one string'),
    "wrong": ('{"candidates": ["a", null]}', "candidate 2: not a string; put quotes around it"),
    "blank": ('{"candidates": ["a", ""]}', "candidate 2: it is empty, so there is nothing to score"),
}


@pytest.mark.parametrize(("line", "said"), GROUPS.values(), ids=GROUPS.keys())
def test_a_line_that_is_no_group_is_named(cli: Cli, tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "groups.jsonl"
    path.write_text(f'{{"candidates": ["first"]}}\n{line}\n')
    ended = cli("rank", path, "--quiet")
    assert ended.code == 1
    assert ended.err.startswith(f"error: {path}, line 2"), ended.err
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert "first" in ended.out, "the group before it is still given"


def test_blank_lines_between_groups_are_skipped_and_said(cli: Cli) -> None:
    ended = cli("rank", "-", "--input-format", "jsonl", "--json", stdin=b'\n{"candidates": ["a", "b"]}\n\n')
    assert (ended.code, len(ended.out.splitlines())) == (0, 1)
    assert ended.err == "warning: stdin, line 1 is blank: skipped\nwarning: stdin, line 3 is blank: skipped\n"


def test_a_field_of_a_group_that_is_not_read_is_said_once(cli: Cli) -> None:
    data = b'{"candidates": ["a", "b"]}\n' + b'{"contxt\\u001b": "a", "id": 1, "candidates": ["a", "b"]}\n' * 2
    data += b'{"id": 3, "contex": "a", "candidates": ["a", "b"]}\n'
    ended = cli("rank", "-", "--input-format", "jsonl", "--json", stdin=data)
    assert (ended.code, len(ended.out.splitlines())) == (0, 4)
    rest = 'is not read, only "context" and "candidates"; lmscore batch keeps all fields'
    assert ended.err.splitlines() == [
        f'warning: stdin, line 2: "contxt\\u001b" (and 1 more) {rest}',
        f'warning: stdin, line 4: "contex" {rest}',
    ]


def test_a_missing_space_is_said_of_one_group(cli: Cli) -> None:
    data = b'{"context": "The cat", "candidates": ["sat", "ran"]}\n' * 3
    data += b'{"context": "The dog ", "candidates": [" sat", " ran"]}\n' * 2
    err = cli("rank", "-", "--input-format", "jsonl", "--json", stdin=data).err
    assert (err.count("no space stands"), err.count("two spaces stand")) == (1, 1)


def test_a_page_or_a_picture_is_not_what_o_writes(cli: Cli, tmp_path: Path) -> None:
    for name in ("a.html", "a.SVG"):
        ended = cli("score", "a", "-o", tmp_path / name)
        assert (ended.code, "this writes no pages and pictures; --html and --svg do" in ended.err) == (2, True)
    assert not list(tmp_path.iterdir())


def test_a_table_ranked_as_lines_is_said(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("good\tbad\na\tb\n")
    ended = cli("rank", tmp_path / "a.tsv")
    assert ended.code == 0
    assert "a.tsv: each line is ranked as it stands, as text; lmscore batch reads its columns" in ended.err


def test_json_ranked_as_lines_is_said(cli: Cli) -> None:
    ended = cli("rank", "-", stdin=b'{"candidates": ["a", "b"]}\n{"candidates": ["c"]}\n')
    assert ended.code == 0
    assert "looks like JSON and is ranked as text; --input-format jsonl reads it as groups" in ended.err


USAGE = {
    "text-and-file": ["score", "a", "--file", "b"],
    "text-and-stdin": ["score", "a", "-"],
    "whole-argument": ["score", "a", "--whole"],
    "no-such-option": ["score", "--bogus"],
    "no-such-command": ["scores"],
    "no-file": ["rank"],
    "by": ["rank", "-", "--by", "luck"],
    "pmi-without-start": ["rank", "-", "--by", "pmi", "--bos", "none"],
    "dtype": ["score", "a", "--dtype", "int3"],
    "device": ["score", "a", "--device", "abacus"],
    "top": ["score", "a", "--top", "-1"],
    "no-places": ["rank", "-", "--top", "0"],
    "threads": ["score", "a", "--threads", "0"],
    "stride": ["score", "a", "--stride", "0"],
    "format": ["score", "a", "--json", "--format", "csv"],
    "context-for-groups": ["rank", "g.jsonl", "--context", "a"],
    "no-name": ["models", "pull"],
    "too-many-threads": ["score", "a", "--threads", "9999999"],
    "output-parquet": ["score", "a", "-o", "a.parquet"],
    "output-packed": ["rank", "-", "-o", "a.csv.gz"],
    "output-packed-format": ["rank", "-", "-o", "a.zst", "--json"],
    "no-tokens": ["score", "a", "--no-tokens", "--rank"],
}


@pytest.mark.parametrize("words", USAGE.values(), ids=USAGE.keys())
def test_wrong_usage_is_one_line_and_2(cli: Cli, words: list[str]) -> None:
    ended = cli(*words)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended
    assert ended.err.startswith("error: ")
    assert ended.err.rstrip().endswith("--help")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out.jsn", "end it in .json, or in .txt"),
        ("out.cvs", "end it in .csv, or in .txt"),
        ("out.xlsx", "this writes text; end it in .json"),
    ],
)
def test_a_name_that_no_table_has_is_refused(cli: Cli, tmp_path: Path, name: str, said: str) -> None:
    assert said in cli("score", "a", "-o", tmp_path / name).misuse
    assert not (tmp_path / name).exists()
    assert cli("score", "a", "-o", tmp_path / name, "--json").code == 0, "who says so gets it"


def test_a_text_that_begins_with_a_dash_is_no_option_behind_two(cli: Cli) -> None:
    assert "No such option: -5 (a text that begins with - goes behind --)" in cli("score", "-5 degrees").misuse
    assert "goes behind" not in cli("score", "a", "--vew", "heat").misuse
    assert "'--explain': a whole number has to stand behind it" in cli("score", "a", "--explain", "--no-tokens").misuse
    assert cli("score", "--json", "--", "-5 degrees").code == 0


@pytest.mark.parametrize("words", [["score", "a", "-m"], ["rank", "c.txt", "--by"], ["batch", "a.jsonl", "-o"]])
def test_an_option_without_its_value_names_its_command(cli: Cli, words: list[str]) -> None:
    ended = cli(*words)
    assert (ended.code, ended.err.endswith(f"; see lmscore {words[0]} --help\n")) == (2, True)


def test_an_unknown_model_is_one_line(cli: Cli) -> None:
    assert cli("score", "a", "--model", "no such model").error == (
        "no model 'no such model': not in the catalogue (smollm2), not a folder, not a hub id"
    )
    assert cli("score", "a", "--model", "./nowhere").error.startswith("there is no model at ./nowhere; give a folder")


@pytest.mark.parametrize("bos", ["no-such-token-anywhere", "640000", "9" * 5000])
def test_an_unknown_start_symbol_is_one_line(cli: Cli, bos: str) -> None:
    assert bos[:10] in cli("score", "a", "--bos", bos).error
    assert "--bos" in cli("score", "a", "--bos", bos).error


def test_without_a_start_symbol_the_first_token_is_unscored(cli: Cli) -> None:
    scored = json.loads(cli("score", "--json", "--bos", "none", "ab", "abcdef").out.splitlines()[1])
    assert (scored["tokens"][0]["logprob"], scored["num_unscored"]) == (None, 1)


def test_a_lone_candidate_token_without_a_condition_cannot_be_ranked(cli: Cli) -> None:
    error = cli("rank", "-", "--bos", "none", "--quiet", stdin=b"ab\nb\n").error
    assert error.startswith("stdin, line 2 has no scored token, since nothing stands before its only one; give a cont")


def test_pmi_needs_a_context(cli: Cli) -> None:
    error = cli("rank", "-", "--by", "pmi", stdin=b"a\nb\n").error
    assert "stdin, line 1: pmi compares a context with a bare start symbol, and there is no context; give one" in error


@pytest.mark.parametrize("architecture", ["llama", "gpt2"], indirect=True)
def test_a_text_longer_than_the_model_reads_comes_in_windows(
    cli: Cli, folder_of: Callable[[str], Path], architecture: str
) -> None:
    words = ["score", "--json", "--model", folder_of(architecture), "xyzzy " * models.WINDOW]
    scored = json.loads(cli(*words).out)
    assert scored["windows"] > 1
    assert scored["num_tokens"] == len(scored["tokens"]) > models.WINDOW
    assert scored["min_context"] >= models.WINDOW // 2
    assert json.loads(cli(*words, "--stride", "1000000").out)["windows"] < scored["windows"]


@pytest.mark.parametrize("command", [["score", "a"], ["rank", "-"]], ids=["score", "rank"])
def test_an_output_that_cannot_be_written_is_one_line(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").touch()
    said = {
        tmp_path / "no" / "where": f"there is no folder {tmp_path}/no; make it first",
        tmp_path / "file" / "x": "Not a directory",
        tmp_path: "it is a folder; name a file",
    }
    for path, reason in said.items():
        assert cli(*command, "-o", path, "--quiet", stdin=b"a\nb\n").error.startswith(f"cannot write {path}: {reason}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", [["score", "--file"], ["rank"]], ids=["score", "rank"])
def test_the_input_is_never_replaced_by_the_output(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one\ntwo\n")
    link = tmp_path / "link"
    link.symlink_to(path)
    for place in (path, link, tmp_path / "." / "texts.txt"):
        assert cli(*command, path, "-o", place).error == (
            f"{place} is being read, and would be lost; choose another place"
        )
    assert path.read_text() == "one\ntwo\n"


def test_out_of_memory_for_the_model_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Memory:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    error = cli("score", "--device", "cpu", "a").error
    assert "0.0 GB are free; a smaller model or --dtype bfloat16 needs less" in error


@pytest.mark.parametrize(
    "failure",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")],
    ids=["python", "torch"],
)
def test_out_of_memory_while_scoring_is_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(torch.Tensor, "log_softmax", fail)
    path = tmp_path / "out.json"
    error = cli("score", "a", "-o", path, "--quiet").error
    assert error == "out of memory; a smaller model, shorter texts or --dtype bfloat16 need less"
    assert not list(tmp_path.iterdir()), "no half file"


def test_a_value_that_is_no_number_is_named(cli: Cli, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folder_of("llama"), tmp_path / "damaged")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    error = cli("score", "ok", "--json", "--model", folder).error
    assert error.startswith("text 1: the model gives token 0 (")
    assert "a log-probability of nan" in error


def test_a_text_that_names_a_symbol_is_text_and_said(cli: Cli) -> None:
    ended = cli("score", "--json", "a<|endoftext|>")
    assert "text 1 contains <|endoftext|>, which is read as ordinary text; --parse-special makes it" in ended.err
    assert json.loads(ended.out)["num_tokens"] > 2
    assert json.loads(cli("score", "--json", "--parse-special", "a<|endoftext|>").out)["num_tokens"] == 2


def test_a_start_symbol_that_stands_there_twice_is_said(cli: Cli) -> None:
    said = "begins with <s>, and one is put before every text: there are two"
    assert f"text 1 {said}" in cli("score", "--parse-special", "<s>a").err
    assert f"the context of text 1 {said}" in cli("score", "--parse-special", "b", "--context", "<s>a").err
    for options in ((), ("--parse-special", "--bos", "none")):
        assert "two" not in cli("score", "<s>a", *options).err


def test_a_context_that_names_a_symbol_is_said_once(cli: Cli, tmp_path: Path) -> None:
    candidates = tmp_path / "candidates.txt"
    candidates.write_text("b\nc\nd<|endoftext|>\n")
    said = cli("rank", "--json", "--context", "a<|endoftext|>", candidates).err
    assert said.count("contains") == 2
    assert f"the context of {candidates}, line 1 contains <|endoftext|>, which is read as ordinary text" in said
    assert f"{candidates}, line 3 contains <|endoftext|>" in said


def test_a_text_that_names_a_file_is_text_and_said(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("inside\n")
    ended = cli("score", path, "--json")
    assert json.loads(ended.out)["text"] == str(path)
    assert ended.err == f"warning: {path} is scored as a text, though a file has that name; --file reads it\n"


def test_a_space_that_seems_to_be_missing_after_a_context_is_said_once(cli: Cli) -> None:
    ended = cli("score", "--context", "The cat", "--json", stdin=b"sat\nran\n")
    assert ended.err.count('line 1: no space stands between the context and this ("catsat")') == 1
    assert ended.err.count("no space") == 1
    assert "no space" not in cli("score", " sat", "--context", "The cat").err


@pytest.mark.parametrize(
    ("context", "text", "said"),
    [("The cat ", " sat", True), ("The cat", "  sat", True), ("Yes:\n", "  sat", False), ("The cat   ", " sat", False)],
)
def test_a_space_too_many_after_a_context_is_said(cli: Cli, context: str, text: str, said: bool) -> None:
    told = "text 1: two spaces stand between the context and this; leave one out, if one is meant"
    assert (told in cli("score", text, "--context", context).err) == said


def test_several_files_are_read_in_turn(cli: Cli, tmp_path: Path) -> None:
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_bytes(b"a\nb")
    second.write_bytes(b"c\n")
    read = ["--file", first, "--file", second]
    assert [json.loads(line)["text"] for line in cli("score", *read, "--json").out.splitlines()] == ["a", "b", "c"]
    assert [json.loads(line)["text"] for line in cli("score", *read, "--whole", "--json").out.splitlines()] == [
        "a\nb",
        "c\n",
    ]
    assert "is being read" in cli("score", *read, "-o", second).error
    missing = cli("score", *read, "--file", tmp_path / "third.txt")
    assert (missing.out, "there is no file" in missing.error) == ("", True)
    assert "only once" in cli("score", "-f", "-", "-f", "-").err
    assert "is compressed; unpack it first" in cli("score", "-f", tmp_path / "a.txt.gz").error
    assert second.read_text() == "c\n"
