"""Datasets: every format in and out, work that survives being killed, bad records, pairs and choices."""

import contextlib
import csv
import datetime
import decimal
import errno
import gzip
import io
import json
import math
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmscore import LmscoreError, Ranking, Reading, Score, Text, Token, batch, journal, outcomes
from lmscore.corpus import Hits
from lmscore.encoding import Encoder
from lmscore.job import SCORE_COLUMNS, Job
from lmscore.journal import Journal
from lmscore.records import Measure, Provenance, Tick
from lmscore.roles import Asked, Roles
from lmscore.tables import Row

from . import models
from .cli import Cli, environment, process, shell
from .shown import acting

TEXTS = [
    "An apple a day",
    "naïve 日本語 😀",
    'quotes " and, commas\tand tabs',
    "two\nlines",
    "Windows\r\nlines",
    "a lone \r return",
    "  spaces  ",
    "'",
]
FORMS = ["jsonl", "csv", "tsv", "parquet"]
SEPARATORS = {"csv": ",", "tsv": "\t"}
STRANGE = [{"id": index, "text": text, "n": 1.5 * index, "tags": ["a", None]} for index, text in enumerate(TEXTS)]


def jsonl(path: Path, records: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """A result, whatever its format, by another reader than lmscore's."""
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return found
    text = path.read_bytes().decode()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.split("\n")[:-1]]
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=SEPARATORS[path.suffix[1:]]))


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Enough for a dozen chunks, if those are small."""
    return jsonl(
        tmp_path / "in.jsonl", [{"n": n, "text": text} for n, text in enumerate(models.passages(3, [60] * 90))]
    )


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BYTES_A_TOKEN", 0.1)
    monkeypatch.setattr(batch, "SURE_EVERY", 0.0)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # after every record it is most of the time


def test_records_that_begin_alike_stay_together() -> None:
    """And so what they begin with is read once; but no chunk has no end, even if all records are the same."""
    alike = [Asked(Row("", {}), (Text("so", "y" * 4000 + str(number)),)) for number in range(99)]
    others = [Asked(Row("", {}), (Text("so", str(number) + "y" * 400),)) for number in range(99)]
    alike_together, others_together, same_together = (
        max(map(len, outcomes.chunks(records, 500))) for records in (alike, others, [others[0]] * 999)
    )
    assert others_together == 2
    assert alike_together == 99
    assert same_together < 200


def test_columns_come_back_and_scores_follow(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert cli("batch", jsonl(tmp_path / "in.jsonl", STRANGE), "-o", out, "-q").code == 0
    records = read(out)
    assert [{name: record[name] for name in STRANGE[0]} for record in records] == STRANGE
    assert list(records[0]) == [*STRANGE[0], *SCORE_COLUMNS]
    for record, text in zip(records, TEXTS, strict=True):
        alone = json.loads(cli("score", "--json", "--", text).out)
        for name in ("total_logprob", "mean_logprob", "perplexity", "bits_per_byte"):
            assert record[name] == pytest.approx(alone[name], rel=1e-4)
        assert record["num_tokens"] == alone["num_tokens"]
        assert record["weakest_token"] == alone["weakest"]["token"]


@pytest.mark.parametrize("after", FORMS)
@pytest.mark.parametrize("before", FORMS)
@pytest.mark.parametrize("packed", ["", *(pytest.param(ending, marks=pytest.mark.slow) for ending in (".gz", ".zst"))])
def test_texts_survive_every_pair_of_formats(cli: Cli, tmp_path: Path, before: str, after: str, packed: str) -> None:
    source, out = tmp_path / f"in.{before}", tmp_path / f"out.{after}"
    columns = [{"id": str(record["id"]), "text": record["text"]} for record in STRANGE]
    if before == "parquet":
        pq.write_table(pa.Table.from_pylist(columns), source, row_group_size=3)
    elif before == "jsonl":
        jsonl(source, columns)
    else:
        with source.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["id", "text"], delimiter=SEPARATORS[before])
            writer.writeheader()
            writer.writerows(columns)
    if packed:
        data = source.read_bytes()
        source = source.with_name(source.name + packed)
        source.write_bytes(gzip.compress(data) if packed == ".gz" else pa.compress(data, "zstd", asbytes=True))
    ended = cli("batch", source, "-o", out, "-q")
    assert ended.code == 0, ended.err
    assert [{name: record[name] for name in ("id", "text")} for record in read(out)] == columns
    assert all(float(record["total_logprob"]) < 0 for record in read(out))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == [out.name]


def test_a_number_keeps_its_digits(cli: Cli, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "a b", "x": 1.0e2, "y": 123456789012345678901234567890, "z": 0.10}\n')
    assert cli("batch", source, "-o", out, "-q").code == 0
    assert out.read_text().startswith('{"text": "a b", "x": 1.0e2, "y": 123456789012345678901234567890, "z": 0.10, ')
    (tmp_path / "in.csv").write_text("text,x\na b,007\n")
    assert cli("batch", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "-q").code == 0
    assert read(tmp_path / "out.csv")[0]["x"] == "007"


def test_parquet_keeps_its_types(cli: Cli, tmp_path: Path) -> None:
    schema = pa.schema(
        [
            *[
                ("text", pa.string()),
                ("n", pa.int16()),
                ("when", pa.timestamp("ns")),
                ("kind", pa.dictionary(pa.int8(), pa.string())),
            ],
            *[("nested", pa.struct([("a", pa.list_(pa.int32()))])), ("nothing", pa.null()), ("raw", pa.binary())],
        ]
    )
    rows = [
        {"text": f"text {n}", "n": n, "when": n * 10**9 + 1, "kind": "k", "nested": {"a": [n, None]}, "raw": b"\xff"}
        for n in range(40)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "in.parquet", row_group_size=7)
    assert cli("batch", tmp_path / "in.parquet", "-o", tmp_path / "out.parquet", "-q", "--tokens").code == 0
    before, after = pq.read_table(tmp_path / "in.parquet"), pq.read_table(tmp_path / "out.parquet")
    assert after.select(before.column_names).equals(before)
    tokens = after["tokens"].to_pylist()
    totals = [sum(token["logprob"] for token in text) for text in tokens]
    assert totals == pytest.approx(after["total_logprob"].to_pylist())


def test_tokens_do_not_fit_into_csv(cli: Cli, lines: Path, tmp_path: Path) -> None:
    assert (
        "a list of tokens does not fit into CSV" in cli("batch", lines, "-o", tmp_path / "out.csv", "--tokens").misuse
    )


class Killed(Exception):
    """Stands for a process that is no more."""


def killed(*_: Any) -> None:
    """Stands for what it did last."""
    raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_run_that_was_killed_goes_on_to_the_same_end(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    whole, out = tmp_path / f"whole.{form}", tmp_path / f"out.{form}"
    assert cli("batch", lines, "-o", whole, "-q").code == 0
    written, committed, chance = Journal.write, Journal.commit, random.Random(form)

    def dies(method: Callable[..., None]) -> Callable[..., None]:
        def dying(self: Journal, *given: Any, **named: Any) -> None:
            if chance.random() < 0.15:
                raise Killed
            method(self, *given, **named)
            if chance.random() < 0.15:
                raise Killed

        return dying

    deaths = 0
    while True:
        monkeypatch.setattr(Journal, "write", dies(written))
        monkeypatch.setattr(Journal, "commit", dies(committed))
        try:
            assert cli("batch", lines, "-o", out, "-q").code == 0
            break
        except Killed:
            deaths += 1
            assert not out.exists()
            assert deaths < 200
    assert deaths > 3
    assert read(out) == read(whole)
    if form != "parquet":
        assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.jsonl", whole.name, out.name])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_twenty_real_kills(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    count = 9000
    source = jsonl(
        tmp_path / "in.jsonl", [{"n": n, "text": text} for n, text in enumerate(models.passages(5, [80] * count))]
    )
    folder, whole, out = folder_of("llama"), tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    words = ("batch", source, "-q", "--threads", 1, "-o")
    began = time.monotonic()
    assert process(*words, whole, model=folder).wait() == 0
    took, chance, kills, halfway = time.monotonic() - began, random.Random(7), 0, 0

    def sure() -> int:
        """How many records the journal says are done."""
        with contextlib.suppress(FileNotFoundError):
            return int(json.loads((tmp_path / "out.jsonl.journal").read_text())["records"])
        return 0

    while kills < 20:
        before, running = sure(), process(*words, out, model=folder)
        if kills % 2:  # once it has come further; else at any moment, the start included
            while running.poll() is None and sure() <= before:
                time.sleep(0.05)
        try:
            code = running.wait(chance.uniform(0, 0.5 * took / (1 + 3 * (kills % 2))))
        except subprocess.TimeoutExpired:
            running.kill()
            code = running.wait()
        if code == -signal.SIGKILL:
            kills += 1
            halfway += 0 < sure() < count
        else:  # it was through, perhaps a moment before the kill
            assert code == 0
            assert out.read_bytes() == whole.read_bytes()
            out.unlink()
    assert halfway > 5
    assert process(*words, out, model=folder).wait() == 0
    assert out.read_bytes() == whole.read_bytes()
    assert [record["n"] for record in read(out)] == list(range(count))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="ulimit")
def test_a_disk_that_fills_keeps_what_is_done(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": text} for text in models.passages(5, [80] * 2000)])
    folder, out = folder_of("llama"), tmp_path / "out.jsonl"
    line = f'lmscore batch "{source}" -q --threads 1 -o "{out}"'
    full = shell(f"ulimit -f 200; {line}", folder)
    assert full.returncode == 1
    assert "File too large; what is done is kept" in full.stderr
    assert not out.exists()
    assert shell(line, folder).returncode == 0
    assert shell(line.replace("out.jsonl", "whole.jsonl"), folder).returncode == 0
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def halfway(
    cli: Cli, lines: Path | str, out: Path, monkeypatch: pytest.MonkeyPatch, *words: str, stdin: bytes = b""
) -> None:
    """Leave a run half done."""
    committed = Journal.commit

    def dying(self: Journal, records: int, *given: Any, **named: Any) -> None:
        committed(self, records, *given, **named)
        if records > 30:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "commit", dying)
        with pytest.raises(Killed):
            cli("batch", lines, "-o", out, "-q", *words, stdin=stdin)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prefix", "lm_"], "columns: no longer total_logprob, "),
        (["--columns", "perplexity"], "columns: no longer total_logprob, mean_logprob, byte_logprob, bits_per_byte, "),
        (["--stride", "7"], "reading stride was null, is 7"),
        (["--bos", "none"], "model bos_id was 0, is null"),
        (["--dtype", "float64"], 'model dtype was "float32", is "float64"'),
        (["--limit", "50"], "limit was null, is 50"),
        (["--id-column", "n"], 'column id was null, is "n"'),
    ],
)
def test_another_run_does_not_go_on(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    out = tmp_path / "out.jsonl"
    halfway(cli, lines, out, monkeypatch)
    error = cli("batch", lines, "-o", out, "-q", *words).error
    assert said in error
    assert "--restart begins again" in error
    assert cli("batch", lines, "-o", out, "-q", *words, "--restart").code == 0


@pytest.mark.parametrize(
    ("where", "name", "other", "said"),
    [
        (batch, "__version__", "0.0.0", 'is "0.0.0"; give that as before, or --restart begins again'),
        (torch, "get_num_threads", lambda: 7, "--threads was"),
    ],
)
def test_another_arithmetic_does_not_go_on(
    cli: Cli,
    lines: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    other: Any,
    said: str,
) -> None:
    out = tmp_path / "out.jsonl"
    halfway(cli, lines, out, monkeypatch)
    monkeypatch.setattr(where, name, other)
    assert said in cli("batch", lines, "-o", out, "-q").error


def test_an_input_that_grows_goes_on_if_it_is_no_shard(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, shard = tmp_path / "out.jsonl", tmp_path / "shard.jsonl"
    halfway(cli, lines, out, monkeypatch)
    halfway(cli, lines, shard, monkeypatch, "--shard", "1/2")
    lines.write_text(lines.read_text() + '{"n": 90, "text": "one more"}\n' * 2)
    said = cli("batch", lines, "-o", shard, "-q", "--shard", "1/2").error
    assert "records of the shard was [0, 45], is [0, 46]; give that as before, or --restart begins again" in said
    ended = cli("batch", lines, "-o", out, "-q")
    assert (ended.code, ended.err, len(read(out))) == (0, "", 92)


def test_a_header_that_changes_does_not_go_on(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first whole record tells it, which may be far ahead of those that are done."""
    lacking = [{"n": n, "txt": "a" * 60} for n in range(90)]
    source, out = jsonl(tmp_path / "in.jsonl", [*lacking, {"n": 90, "text": "b", "old": 1}]), tmp_path / "out.csv"
    words = ("--text-column", "text", "--on-error", "null")
    halfway(cli, source, out, monkeypatch, *words)
    jsonl(source, [*lacking, {"text": "b", "n": 90}])
    said = cli("batch", source, "-o", out, "-q", *words).error
    assert "header: no longer old; give that as before, or --restart begins again" in said


def test_a_run_that_goes_on_says_so(cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.jsonl"
    halfway(cli, lines, out, monkeypatch)
    said = cli("batch", lines, "-o", out).err
    assert re.match(
        r"warning: going on after \d\d records that an earlier run has read; --restart begins again\n", said
    )


def test_a_shard_that_is_through_but_for_its_name_takes_it(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("batch", lines, "-o", tmp_path / "out.jsonl", "-q", "--shard", "2/3")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Journal, "close", killed)
        cli(*words)
    assert cli(*words).code == 0
    assert [record["n"] for record in read(tmp_path / "out.jsonl")] == list(range(30, 60))


def test_a_bad_record_is_mended_and_the_run_goes_on(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SURE_EVERY", 1e9)  # what is done is sure as the run stops
    out, told = tmp_path / "out.jsonl", lines.read_text()
    lines.write_text(told.replace('"n": 60, "text": "', '"n": 60, "tex": "'))
    said = cli("batch", lines, "-o", out, "-q").error
    assert 'line 61: there is no column "text"; mend it, and the same command goes on from there' in said
    assert int(json.loads((tmp_path / "out.jsonl.journal").read_text())["records"]) > 40
    lines.write_text(told)
    assert cli("batch", lines, "-o", out, "-q").code == 0
    assert [record["n"] for record in read(out)] == list(range(90))


@pytest.mark.parametrize("until", ["commit", "finish"])
def test_records_that_were_scored_are_seen_to_be_the_same(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: str
) -> None:
    out = tmp_path / "out.jsonl"
    if until == "commit":
        halfway(cli, lines, out, monkeypatch)
    else:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Journal, "finish", killed)
            cli("batch", lines, "-o", out, "-q")
    told = lines.read_text()
    lines.write_text(told.replace('"n": 20,', '"n": 21,'))
    assert "records are not those that were read before" in cli("batch", lines, "-o", out, "-q").error
    lines.write_text(told)
    assert cli("batch", lines, "-o", out, "-q").code == 0


def test_two_runs_on_one_output(cli: Cli, lines: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with journal.opened(out, {}, {"out": tmp_path / "out.jsonl.part"}, False, {}):
        assert "another lmscore is writing" in cli("batch", lines, "-o", out, "-q").error


BAD = [
    ("in.jsonl", b'{"text": "a"}\n{"text": \n', "in.jsonl, line 2: not JSON"),
    ("in.jsonl", b'{"text": "a"}\n["b"]\n', "in.jsonl, line 2: not an object"),
    ("in.jsonl", b'{"text": "a", "text": "b"}\n', 'line 1: "text" stands there twice'),
    ("in.jsonl", b'{"text": "a"}\n{"text": 7}\n', 'in.jsonl, line 2: column "text" is 7, not a string'),
    ("in.jsonl", b'{"text": "a"}\n{"tex": "b"}\n', 'in.jsonl, line 2: there is no column "text"'),
    ("in.jsonl", b'{"text": "a"}\n{"text": ""}\n', "in.jsonl, line 2: its text is empty, so there is nothing to score"),
    ("in.jsonl", b'{"text": "a"}\n{"text": "b", "x": "\\ud800"}\n', "line 2: half a surrogate pair"),
    ("in.jsonl", b'{"text": "a"}\n{"text": "b", "windows": 1}\n', 'line 2: it has a column "windows"'),
    ("in.jsonl", b'{"text": "a"}\n{"text": null}\n', 'in.jsonl, line 2: column "text" is null'),
    ("in.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', "in.jsonl, line 2: not UTF-8"),
    ("in.csv", b"text,n\na,1\nb\xff,2\n", "in.csv, line 3: not UTF-8"),
    ("in.csv", b"text\na\n\nb\n", "in.csv, line 3: its text is empty"),
    ("in.csv", b"text,n\na,1\nb\n", "in.csv, line 3: 1 fields, where the header has 2"),
    ("in.txt", b"a\n\xff\n", "in.txt, line 2: not UTF-8"),
]


@pytest.mark.parametrize(("name", "data", "said"), BAD)
def test_a_bad_record_stops_the_run_or_is_skipped_or_kept(
    cli: Cli, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    source, out = tmp_path / name, tmp_path / "out.jsonl"
    source.write_bytes(data + b'{"text": "last"}\n' if name.endswith("jsonl") else data)
    assert said in cli("batch", source, "-o", out, "-q").error
    assert not out.exists()
    total = len(data.splitlines()) + name.endswith("jsonl") - name.endswith("csv")  # a last record, or a header
    ended = cli("batch", source, "-o", out, "-q", "--on-error", "skip")
    assert ended.error == f"not all records were scored: 1 bad, kept in {out}.errors.jsonl"
    assert "1 of them bad" in ended.out
    assert len(read(out)) == total - 1
    (error,) = read(tmp_path / "out.jsonl.errors.jsonl")
    assert said in error["reason"]
    assert not (tmp_path / "out.jsonl.errors.jsonl.part").exists()
    assert cli("batch", source, "-o", out, "-q", "--on-error", "null").code == 0
    assert [record["total_logprob"] for record in read(out)].count(None) == 1
    assert len(read(out)) == total
    for line in out.read_text().splitlines():
        json.loads(line, object_pairs_hook=once)


def test_a_bad_record_of_a_csv_is_kept_as_it_was(cli: Cli, tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text('text,n\na,1\n"Smith, ""J.""",x,y\n')
    assert cli("batch", source, "-o", out, "-q", "--on-error", "skip").code == 1
    (error,) = read(tmp_path / "out.jsonl.errors.jsonl")
    assert error["record"] == '"Smith, ""J.""",x,y'


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


WHOLE = b"".join(b'{"text": "number %d"}\n' % n for n in range(2000))
DAMAGED = [
    ("in.jsonl.gz", cut(gzip.compress(WHOLE)), "in.jsonl.gz is cut short"),
    ("in.jsonl.gz", WHOLE, "in.jsonl.gz is damaged"),
    ("in.jsonl.zst", cut(pa.compress(WHOLE, "zstd", asbytes=True)), "in.jsonl.zst is"),
    ("in.csv", b"text,text\na,b\n", 'two columns are called "text"'),
    ("in.csv", b'text,n\n"a" b,1\n', "in.csv, line 2: not CSV"),
    ("in.csv", b'text,n\n"a,1\n', "not CSV"),
    ("in.csv", b"text,n\ra,1\r", "line 1: a line ends in \\r alone, as old files have it; convert it first"),
    ("in.parquet", b"PAR1 no", "in.parquet is no whole Parquet file"),
    ("in.jsonl", b"", "there are no records"),
    (
        "in.jsonl",
        b'{"context": "x", "candidates": ["y", "z"]}\n',
        "in.jsonl, line 1: its candidates are ranked with --candidates-column candidates (and --context-column); to "
        "score another column, name it with --text-column",
    ),
    ("in.jsonl", b'{"a": "x", "b": "y"}\n', "name what to score with --text-column; the columns are a, b"),
    ("in.csv", b"a;b\nx;y\n", 'the only column is "a;b"; if that is several, part them by commas, or by tabs with'),
    ("in.jsonl", b'{"text": "x", "total_logprob": 1}\n', 'a column "total_logprob" already'),
]


@pytest.mark.parametrize(("name", "data", "said"), DAMAGED)
def test_what_cannot_be_read_is_one_line(cli: Cli, tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert said in cli("batch", tmp_path / name, "-o", tmp_path / "out.jsonl", "-q").error
    assert not (tmp_path / "out.jsonl").exists()


def test_a_parquet_cut_short(cli: Cli, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "whole.parquet")
    (tmp_path / "in.parquet").write_bytes(cut((tmp_path / "whole.parquet").read_bytes()))
    assert "no whole Parquet file" in cli("batch", tmp_path / "in.parquet", "-o", tmp_path / "out.jsonl").error


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("no/out.jsonl", "there is no folder"),
        ("in.jsonl", "is being read, and would be lost"),
        ("x" * 250 + ".jsonl", "File name too long"),
        ("x" * 240 + ".jsonl", "File name too long"),
    ],
)
def test_an_output_without_a_place(cli: Cli, lines: Path, tmp_path: Path, out: str, said: str) -> None:
    assert said in cli("batch", lines, "-o", tmp_path / out, "-q").error


@pytest.mark.parametrize("out", ["out.txt", "out.gz", "."])
def test_names_that_say_nothing(cli: Cli, lines: Path, tmp_path: Path, out: str) -> None:
    assert "does not say what to write" in cli("batch", lines, "-o", tmp_path / out, "-q").misuse
    assert "what is written is not compressed" in cli("batch", lines, "-o", tmp_path / "out.csv.gz", "-q").misuse
    (tmp_path / "in.dat").touch()
    said = cli("batch", tmp_path / "in.dat", "-o", tmp_path / "out.jsonl", "-q").misuse
    assert "its name does not say what it is; choose --input-format" in said


@pytest.mark.parametrize(
    "words",
    [
        ["--text-column", "a", "--candidates-column", "b"],
        ["--good-column", "a"],
        ["--gold-column", "a"],
        ["--group-column", "a"],
        ["--shard", "3/2"],
        ["--shard", "x"],
        ["--shard", f"1/{'9' * 5000}"],
        ["--columns", "no"],
        ["--columns", "correct", "--candidates-column", "text"],
        ["--columns", "pmi_logprobs", "--candidates-column", "text"],
        ["--good-column", "text", "--bad-column", "text"],
        ["--by", "mean"],
        ["--join", " "],
        ["--candidates-column", "text", "--by", "pmi"],
        ["--candidates-column", "text", "--context-column", "n", "--by", "pmi", "--bos", "none"],
        ["--candidates-column", "text", "--tokens"],
        ["--rank"],
    ],
)
def test_contradictions_are_wrong_usage(cli: Cli, lines: Path, tmp_path: Path, words: list[str]) -> None:
    assert cli("batch", lines, "-o", tmp_path / "out.jsonl", *words).code == 2


def test_a_column_with_no_name_is_not_there(cli: Cli, lines: Path, tmp_path: Path) -> None:
    said = cli("batch", lines, "-o", tmp_path / "out.jsonl", "--candidates-column", "").error
    assert 'there is no column ""' in said


@pytest.mark.slow
def test_shards_joined_are_the_whole(cli: Cli, lines: Path, tmp_path: Path) -> None:
    assert cli("batch", lines, "-o", tmp_path / "whole.jsonl", "-q").code == 0
    parts = b""
    for part in range(1, 8):
        ended = cli("batch", lines, "-o", tmp_path / "part.jsonl", "-q", "--shard", f"{part}/7")
        assert ended.code == 0
        assert "13 records: " in ended.out or "12 records: " in ended.out
        parts += (tmp_path / "part.jsonl").read_bytes()
    assert parts == (tmp_path / "whole.jsonl").read_bytes()
    assert cli("batch", lines, "-o", tmp_path / "few.jsonl", "-q", "--limit", 5).code == 0
    assert [record["n"] for record in read(tmp_path / "few.jsonl")] == [0, 1, 2, 3, 4]
    assert cli("batch", lines, "-o", tmp_path / "few.jsonl", "-q", "--shard", "2/3", "--limit", 2).code == 0
    assert [record["n"] for record in read(tmp_path / "few.jsonl")] == [30, 31]


def test_more_shards_than_records(cli: Cli, tmp_path: Path) -> None:
    source, counts = jsonl(tmp_path / "in.jsonl", [{"text": "a b"}] * 3), []
    for part in range(1, 6):
        assert cli("batch", source, "-o", tmp_path / "part.jsonl", "-q", "--shard", f"{part}/5").code == 0
        counts.append(len(read(tmp_path / "part.jsonl")))
    assert sorted(counts) == [0, 0, 1, 1, 1]
    said = cli("batch", "-", "-o", tmp_path / "o.csv", "--input-format", "txt", "--shard", "1/2", stdin=b"a\n").misuse
    assert "--shard reads its input twice" in said


def test_several_files_and_standard_input(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\n")
    jsonl(tmp_path / "b.jsonl", [{"text": "three"}])
    out = tmp_path / "out.jsonl"
    assert cli("batch", tmp_path / "a.txt", tmp_path / "b.jsonl", "-o", out, "-q").code == 0
    assert [record["text"] for record in read(out)] == ["one", "two", "three"]
    assert cli("batch", "-", "-o", out, "-q", "--input-format", "csv", stdin=b"text\nfour\n").code == 0
    assert [record["text"] for record in read(out)] == ["four"]


def test_the_corpus_is_its_tokens_taken_together(cli: Cli, lines: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out.jsonl", tmp_path / "summary.json"
    assert cli("batch", lines, "-o", out, "-q", "--summary", told).code == 0
    records, summary = read(out), json.loads(told.read_text())
    total, tokens = (sum(record[name] for record in records) for name in ("total_logprob", "num_tokens"))
    assert summary["total_logprob"] == pytest.approx(total)
    assert summary["num_tokens"] == tokens
    assert summary["records"] == len(records)
    assert summary["perplexity"] == pytest.approx(2.718281828459045 ** (-total / tokens))
    least = sorted(record["mean_logprob"] for record in records)[:10]
    assert [one["mean_logprob"] for one in summary["least_likely"]] == least
    assert summary["command"] == f"lmscore batch {lines} -o {out} -q --summary {told}"


@pytest.fixture(scope="module")
def sober(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that finds "a" likelier than "b", and "b" than "c", whatever comes before."""
    words = {("<s>", "a"): -0.5, ("<s>", "b"): -1.5, ("<s>", "c"): -2.5}
    after = {
        (before, f" {word}"): logprob
        for before in "abc"
        for word, logprob in zip("abc", (-0.5, -1.5, -2.5), strict=True)
    }
    return models.bigram(tmp_path_factory.mktemp("sober"), words | after)


def test_minimal_pairs_by_group(cli: Cli, tmp_path: Path, sober: Path) -> None:
    pairs = [("a", "b", "x"), ("b", "c", "x"), ("c", "a", "y"), ("a", "a", "y")]
    source = jsonl(tmp_path / "in.jsonl", [{"good": good, "bad": bad, "UID": uid} for good, bad, uid in pairs])
    out, told = tmp_path / "out.jsonl", tmp_path / "summary.json"
    words = ("--good-column", "good", "--bad-column", "bad", "--group-column", "UID", "--summary", told)
    ended = cli("batch", source, "-o", out, "-q", "-m", sober, *words)
    assert ended.code == 0, ended.err
    assert [record["correct"] for record in read(out)] == [True, True, False, False]
    assert [record["tied"] for record in read(out)] == [False, False, False, True]
    totals = [[record["good_total_logprob"], record["bad_total_logprob"]] for record in read(out)]
    assert totals == [record["total_logprobs"] for record in read(out)]
    summed = json.loads(told.read_text())
    accuracies = summed["accuracy"], *(summed["accuracy_by_group"][group] for group in "xy")
    assert [accuracy["sum"][name] for accuracy in accuracies for name in ("right", "tied", "of")] == [
        *(2, 1, 4),
        *(2, 0, 2),
        *(0, 1, 2),
    ]
    low, high = summed["accuracy"]["sum"]["interval_95"]
    assert (low, high) == pytest.approx((0.15004, 0.84996), abs=1e-5)  # Wilson's, for 2 of 4


def test_none_right_and_all_right_are_ends_of_their_intervals() -> None:
    none, every = Hits(right=0, of=7).interval, Hits(right=7, of=7).interval
    assert none is not None and every is not None
    assert (none[0], every[1]) == (0.0, 1.0)
    assert (none[1], every[0]) == pytest.approx((0.35433, 1 - 0.35433), abs=1e-5)


def test_choices_with_a_context_and_an_answer(cli: Cli, tmp_path: Path, sober: Path) -> None:
    records = [
        {"ctx": "a", "endings": [" c", " a"], "label": "1"},
        {"ctx": "b", "endings": [" b", " c"], "label": 0},
        {"ctx": "c", "endings": [" a", " b"], "label": " b"},
        {"ctx": "c", "endings": [" a", " b"], "label": 0.0},
        {"ctx": "c", "endings": [" a", " b"], "label": ""},
        {"ctx": "c", "endings": [" a", " b"], "label": math.nan},
    ]
    source, told = jsonl(tmp_path / "in.jsonl", records), tmp_path / "summary.json"
    words = ("--candidates-column", "endings", "--context-column", "ctx", "--gold-column", "label", "--summary", told)
    ended = cli("batch", source, "-o", tmp_path / "out.jsonl", "-q", "-m", sober, *words)
    assert ended.code == 0, ended.err
    assert [record["correct"] for record in read(tmp_path / "out.jsonl")] == [True, True, False, True, None, None]
    # After "a" the model expects as it does after "<s>", but for the space: by pmi all are alike.
    first = read(tmp_path / "out.jsonl")[0]
    assert first["total_logprobs"] == pytest.approx([-2.5, -0.5], abs=1e-4)
    alone = [json.loads(cli("score", "--json", "-m", sober, ending).out)["total_logprob"] for ending in (" c", " a")]
    assert first["pmi_logprobs"] == pytest.approx([-2.5 - alone[0], -0.5 - alone[1]], abs=1e-4)
    accuracy = json.loads(told.read_text())["accuracy"]
    assert sorted(accuracy) == ["byte", "mean", "pmi", "sum"]
    assert accuracy["sum"] == {**accuracy["sum"], "right": 3, "tied": 0, "of": 4}
    assert accuracy["pmi"]["of"] == 4


def test_two_columns_of_candidates(cli: Cli, tmp_path: Path, sober: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"premise": "a", "choice1": " b", "choice2": " a", "label": 1}])
    words = ("--candidates-column", "choice1,choice2", "--context-column", "premise", "--gold-column", "label")
    assert cli("batch", source, "-o", tmp_path / "out.csv", "-q", "-m", sober, *words).code == 0
    (record,) = read(tmp_path / "out.csv")
    assert (record["winner"], record["correct"]) == ("1", "true")
    assert json.loads(record["total_logprobs"]) == pytest.approx([-1.5, -0.5], abs=1e-4)


def test_an_answer_that_is_none(cli: Cli, tmp_path: Path, sober: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"c": ["a", "b"], "label": 2}])
    words = ("--candidates-column", "c", "--gold-column", "label", "-m", sober)
    assert (
        'column "label" is 2, no candidate and no index of one; give its text, or its number, from 0'
        in cli("batch", source, "-o", tmp_path / "o.csv", *words).error
    )
    jsonl(source, [{"c": [" a", " b"], "label": "b"}])
    assert (
        "column \"label\" is 'b', no candidate and no index of one; ' b' is one: blanks count"
        in cli("batch", source, "-o", tmp_path / "o.csv", *words).error
    )


def test_an_answer_that_reads_minus_one(cli: Cli, tmp_path: Path, sober: Path) -> None:
    groups = [{"c": ["-1", "b"], "label": "-1"}, {"c": ["a", "b"], "label": "-1"}]
    words = ("--candidates-column", "c", "--gold-column", "label", "-m", sober, "-q", "--columns", "correct")
    ended = cli("batch", jsonl(tmp_path / "in.jsonl", groups), "-o", tmp_path / "o.jsonl", *words)
    assert ended.code == 0, ended.err
    told, untold = (record["correct"] for record in read(tmp_path / "o.jsonl"))
    assert told is not None, "a candidate of that text is the answer"
    assert untold is None, "nobody says"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_a_summary_of_a_file_whose_name_is_no_unicode(cli: Cli, lines: Path, tmp_path: Path) -> None:
    source, told = tmp_path / "in\udcff.jsonl", tmp_path / "summary.json"
    source.write_bytes(lines.read_bytes())
    assert cli("batch", source, "-o", tmp_path / "out.jsonl", "-q", "--summary", told).code == 0
    assert json.loads(told.read_text())


def test_what_comes_by_standard_input_goes_on_too(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out, data = tmp_path / "whole.jsonl", tmp_path / "out.jsonl", lines.read_bytes()
    words = ("batch", "-", "-q", "--input-format", "jsonl", "-o")
    assert cli(*words, whole, stdin=data).code == 0
    halfway(cli, "-", out, monkeypatch, "--input-format", "jsonl", stdin=data)
    assert "are not those that were read before" in cli(*words, out, stdin=data.replace(b'"n": 3', b'"n": 4')).error
    assert cli(*words, out, stdin=data).code == 0
    assert out.read_bytes() == whole.read_bytes()


def test_a_part_that_is_gone(cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.jsonl"
    halfway(cli, lines, out, monkeypatch)
    (tmp_path / "out.jsonl.part").unlink()
    assert "out.jsonl.part is gone" in cli("batch", lines, "-o", out, "-q").error
    assert cli("batch", lines, "-o", out, "-q", "--restart").code == 0


def test_what_stands_between_context_and_text(cli: Cli, tmp_path: Path, sober: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"ctx": "a", "text": "b"}, {"ctx": "", "text": "b"}, {"text": "b"}])
    words = ("--context-column", "ctx", "--join", " ", "-m", sober, "-q", "--on-error", "null")
    assert cli("batch", source, "-o", tmp_path / "out.jsonl", *words).code == 0
    totals = [record["total_logprob"] for record in read(tmp_path / "out.jsonl")]
    assert totals == pytest.approx([-1.5] * 3, abs=1e-4)


def test_nothing_that_can_be_scored(cli: Cli, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": ""}, {"text": ""}])
    for form in ("jsonl", "csv", "parquet"):
        assert cli("batch", source, "-o", tmp_path / f"out.{form}", "-q", "--on-error", "skip").code == 1
        assert read(tmp_path / f"out.{form}") == []


class Constant:
    """A scorer that finds every text one token of one nat: what is tested is all around it."""

    provenance = Provenance("constant", None, "float32", "cpu", 0, "<s>", "test")
    portion, arithmetic, files = 30, MappingProxyType({"by": "hand"}), ()

    def settle(self) -> None:
        pass

    def scores(self, texts: Iterable[str | Text], reading: Reading, soon: bool, tick: Tick) -> Iterator[Score]:
        for text in texts:
            assert isinstance(text, Text)
            token = Token(0, 1, text.text, text.text.encode(), 0, len(text.text.encode()), -1.0)
            yield Score(text.text, text.context, (token,), 1, None, self.provenance)

    def rankings(
        self, groups: Iterable[Sequence[Text]], by: Measure, reading: Reading, soon: bool, tick: Tick
    ) -> Iterator[Ranking]:
        raise NotImplementedError


@pytest.mark.parametrize(("shard", "limit"), [(None, None), ((2, 3), None), (None, 40)])
def test_progress_goes_from_nothing_to_all(
    lines: Path, tmp_path: Path, shard: tuple[int, int] | None, limit: int | None
) -> None:
    told = list[batch.Progress]()
    job = Job(Roles("text"), Reading(), None, False, "stop", (SCORE_COLUMNS["total_logprob"],))
    source = batch.Source((str(lines), str(lines)), limit=limit, shard=shard)
    todo = batch.plan(source, job, str(tmp_path / "out.jsonl"))
    done = batch.carry_out(todo, Constant(), True, told.append, lambda _: None)
    shares = [progress.share for progress in told if progress.share is not None]
    assert shares == sorted(shares) and len(shares) == len(told) and len(set(shares)) > 5
    assert (shares[0], shares[-1]) == (0, 1)
    assert done.rate == pytest.approx(done.corpus.tokens / done.seconds)
    for progress in told:
        own = 180 if shard is None and limit is None else 60 if limit is None else 40
        assert progress.share == pytest.approx(progress.corpus.records / own, abs=0.03)


def test_progress_never_goes_back(lines: Path, tmp_path: Path) -> None:
    """Though a chunk may be read in several parts, which each begin with nothing."""

    class Ticking(Constant):
        portion = 3000

        def scores(self, texts: Iterable[str | Text], reading: Reading, soon: bool, tick: Tick) -> Iterator[Score]:
            for scored, total in ((0, 40), (30, 40), (40, 40), (0, 10), (10, 10)):
                tick(scored, total)
            yield from super().scores(texts, reading, soon, tick)

    told = list[batch.Progress]()
    job = Job(Roles("text"), Reading(), None, False, "stop", (SCORE_COLUMNS["total_logprob"],))
    todo = batch.plan(batch.Source((str(lines),)), job, str(tmp_path / "out.jsonl"))
    batch.carry_out(todo, Ticking(), True, told.append, lambda _: None)
    shares = [progress.share for progress in told if progress.share is not None]
    assert shares == sorted(shares) and len(shares) == len(told) > 10
    assert [progress.within for progress in told[1:6]] == [(0, 40), (30, 40), (40, 40), (40, 50), (50, 50)]
    assert told[6].within == (0, 0)


def carried_out(source: Path, out: Path) -> list[dict[str, Any]]:
    """A file scored, and read again without what was added."""
    columns = (SCORE_COLUMNS["total_logprob"], SCORE_COLUMNS["weakest_token"])
    job = Job(Roles("text"), Reading(), None, False, "stop", columns)
    batch.carry_out(
        batch.plan(batch.Source((str(source),)), job, str(out)), Constant(), True, lambda _: None, lambda _: None
    )
    records = read(out)
    for record in records:
        assert float(record.pop("total_logprob")) == -1.0
        assert record.pop("weakest_token") == record["text"]
    return records


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
TEXT = WORDS.filter(bool)
NAMES = st.lists(WORDS.filter(lambda name: name not in ("text", *SCORE_COLUMNS)), unique=True, max_size=3)
ROUNDS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ROUNDS
@given(data=st.data(), names=NAMES, before=st.sampled_from(["csv", "tsv"]), after=st.sampled_from(FORMS))
def test_any_strings_survive(tmp_path: Path, data: st.DataObject, names: list[str], before: str, after: str) -> None:
    columns = st.fixed_dictionaries({"text": TEXT, **dict.fromkeys(names, WORDS)})
    records = data.draw(st.lists(columns, min_size=1, max_size=9))
    source = tmp_path / f"in.{before}"
    with source.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", *names], delimiter=SEPARATORS[before], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(records)
    assert carried_out(source, tmp_path / f"out.{after}") == records


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@ROUNDS
@given(st.lists(st.fixed_dictionaries({"text": TEXT}, optional={"a": JSON, "b b": JSON, "\n": JSON}), min_size=1))
def test_any_json_survives(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    assert carried_out(jsonl(tmp_path / "in.jsonl", records), tmp_path / "out.jsonl") == records


INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TYPED: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), TEXT),
    "integer": (pa.int64(), INTEGERS | st.none()),
    "number": (pa.float64(), FLOATS | st.none()),
    "flag": (pa.bool_(), st.booleans() | st.none()),
    "string": (pa.string(), WORDS | st.none()),
    "list": (pa.list_(pa.int64()), st.lists(INTEGERS | st.none(), max_size=3) | st.none()),
    "struct": (
        pa.struct([("a", pa.list_(pa.string())), ("b", pa.float64())]),
        st.fixed_dictionaries({"a": st.lists(WORDS, max_size=2) | st.none(), "b": FLOATS | st.none()}) | st.none(),
    ),
    "nothing": (pa.null(), st.none()),
}
SCHEMA = pa.schema([(name, type) for name, (type, _) in TYPED.items()])
TABLES = st.lists(st.fixed_dictionaries({name: values for name, (_, values) in TYPED.items()}), min_size=1, max_size=12)


@pytest.mark.slow
@ROUNDS
@given(records=TABLES, group=st.integers(1, 5), batches=st.integers(1, 5))
def test_any_parquet_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[dict[str, Any]], group: int, batches: int
) -> None:
    monkeypatch.setattr("lmscore.tables.BATCH", batches)
    table = pa.Table.from_pylist(records, schema=SCHEMA)
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=group)
    assert carried_out(tmp_path / "in.parquet", tmp_path / "out.parquet") == table.to_pylist()
    assert pq.read_schema(tmp_path / "out.parquet").remove(len(SCHEMA) + 1).remove(len(SCHEMA)).equals(SCHEMA)
    assert carried_out(tmp_path / "in.parquet", tmp_path / "out.jsonl") == table.to_pylist()


@pytest.mark.slow
@ROUNDS
@given(records=TABLES)
def test_any_table_of_json_becomes_parquet(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    """Though a column's first values are all null, or whole numbers, and the others are not."""
    assert carried_out(jsonl(tmp_path / "in.jsonl", records), tmp_path / "out.parquet") == records


def test_types_that_parquet_cannot_join_are_refused_when_they_are_met(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": "a", "x": 1}] * 20 + [{"text": "b", "x": "one"}])
    with pytest.raises(LmscoreError, match=r"line \d+ or soon after: Parquet cannot hold this"):
        carried_out(source, tmp_path / "out.parquet")


def test_numbers_that_become_fractions(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": "a", "x": 1}] * 20 + [{"text": "b", "x": 0.5}])
    assert [record["x"] for record in carried_out(source, tmp_path / "out.parquet")] == [1.0] * 20 + [0.5]


@pytest.mark.slow
def test_where_there_is_no_terminal_progress_is_a_line_once_in_a_while(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmscore.terminal.SAY_EVERY", 0.0)
    ended = cli("batch", lines, "-o", tmp_path / "out.jsonl")
    assert ended.code == 0
    assert re.search(r"^\d+%, \d+ records, [\d,]+ tokens/s, perplexity [\d.,]+$", ended.err, re.MULTILINE)
    assert re.search(r"^done: 90 records in \d+\.\d s, [\d,]+ tokens a second$", ended.err, re.MULTILINE)
    monkeypatch.setattr("lmscore.show.LONG", 100)
    monkeypatch.setattr("lmscore.decoder.TREE_BYTES", 1 << 16)
    ended = cli("score", "--whole", "-f", lines)
    assert re.search(r"^\d+%, \d[\d,]* of \d[\d,]* tokens$", ended.err, re.MULTILINE)
    assert not cli("batch", lines, "-o", tmp_path / "out.jsonl", "-q").err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_on_a_terminal_progress_is_a_bar_that_goes_again(
    folder_of: Callable[[str], Path], lines: Path, tmp_path: Path
) -> None:
    import pexpect  # type: ignore[import-untyped]

    words = ["-m", "lmscore", "batch", str(lines), "-o", str(tmp_path / "out.jsonl"), "--threads", "1"]
    env = {**os.environ, **environment(folder_of("llama"))}
    seen = pexpect.spawn(sys.executable, words, env=env, encoding="utf-8", timeout=60, dimensions=(24, 80))
    said = seen.read()
    assert "90 records" in said and "━" in said
    assert said.rstrip().splitlines()[-1].startswith("done: 90 records")


def test_a_stream_that_has_grown_does_not_pass_for_the_one_that_was_scored(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, words = tmp_path / "out.jsonl", ("--input-format", "jsonl", "-q")

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Journal, "finish", killed)
        cli("batch", "-", "-o", out, *words, stdin=lines.read_bytes())
    more = lines.read_bytes() + b'{"text": "one more"}\n'
    assert "there are more records than were read before" in cli("batch", "-", "-o", out, *words, stdin=more).error
    assert cli("batch", "-", "-o", out, *words, stdin=lines.read_bytes()).code == 0


def test_not_all_is_read_for_a_column_that_is_nowhere(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LOOKED_AT", 3)
    source = jsonl(tmp_path / "in.jsonl", [{"txt": "a"}, {"txt": "b"}, {"txt": "c"}, {"text": "d"}])
    words = ("batch", source, "-o", tmp_path / "o.jsonl", "--text-column", "text", "--on-error", "skip")
    assert 'line 1: there is no column "text"; the columns are txt' in cli(*words).error
    monkeypatch.setattr(batch, "LOOKED_AT", 4)
    assert (cli(*words).code, len(read(tmp_path / "o.jsonl"))) == (1, 1)


def test_a_restart_forgets_what_was_done(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed after it was done, then begun anew and killed at once, must not pass for done."""
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    assert cli("batch", lines, "-o", whole, "-q").code == 0

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Journal, "finish", killed)
        cli("batch", lines, "-o", out, "-q")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Journal, "commit", killed)
        cli("batch", lines, "-o", out, "-q", "--restart")
    assert cli("batch", lines, "-o", out, "-q").code == 0
    assert out.read_bytes() == whole.read_bytes()


def test_a_forgotten_space_is_said(cli: Cli, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"ctx": "He is", "endings": ["using it.", "sold."], "label": -1}])
    words = ("--context-column", "ctx", "--candidates-column", "endings", "--gold-column", "label")
    ended = cli("batch", source, "-o", tmp_path / "o.jsonl", *words)
    assert ended.code == 0
    assert 'no space stands between the context and this ("isusing"); --join' in ended.err
    assert read(tmp_path / "o.jsonl")[0]["correct"] is None


@pytest.mark.parametrize("asked", [["--tokens", "--rank", "--entropy", "--top", "2"], ["--tokens"], ["--words"]])
def test_lists_are_the_same_in_every_format(cli: Cli, tmp_path: Path, asked: list[str]) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": text} for text in TEXTS[:3]])
    for form in ("jsonl", "parquet"):
        assert cli("batch", source, "-o", tmp_path / f"out.{form}", "-q", *asked).code == 0
    name = asked[0].removeprefix("--")
    held = [record[name] for record in pq.read_table(tmp_path / "out.parquet").to_pylist()]
    read_out = [record[name] for record in read(tmp_path / "out.jsonl")]
    nothing = {key: None for key in held[0][0]}  # a column of objects has every field, though nobody asked for it
    assert held == [[nothing | item for item in items] for items in read_out]


def test_a_context_that_is_not_read_is_said(cli: Cli, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"context": "The cat", "text": " sat"}])
    words = ("batch", source, "-o", tmp_path / "o.jsonl")
    assert cli(*words).err.startswith('warning: the column "context" is not read; --context-column context puts it ')
    for option in ("--context-column", "--text-column", "--id-column"):
        assert "is not read" not in cli(*words, option, "context", "--restart").err


def test_a_candidate_that_stands_there_twice_is_said(cli: Cli, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"endings": [" sat", " ran", " sat"]}])
    ended = cli("batch", source, "-o", tmp_path / "o.jsonl", "--candidates-column", "endings")
    first, again = f"{source}, line 1, candidate 1", f"{source}, line 1, candidate 3"
    assert ended.err.startswith(f"warning: {again} repeats {first}: the same candidate twice is a tie\n")


def test_a_column_that_a_later_record_lacks_is_said_once(cli: Cli, tmp_path: Path) -> None:
    records = [{"text": " sat", "context": "The cat"}, {"text": " ran", "contex": "The cat"}, {"text": " is"}]
    source = jsonl(tmp_path / "in.jsonl", records)
    ended = cli("batch", source, "-o", tmp_path / "o.jsonl", "--context-column", "context")
    said = f'{source}, line 2 has no column "context": read as if that were null; no more is said of others\n'
    assert (ended.code, ended.err.count("has no column"), said in ended.err) == (0, 1, True)


def test_no_number_in_a_map_is_null(cli: Cli, tmp_path: Path) -> None:
    pairs = pa.array([[("a", float("nan"))]], pa.map_(pa.string(), pa.float64()))
    pq.write_table(pa.table({"text": ["The cat"], "m": pairs}), tmp_path / "in.parquet")
    out = tmp_path / "out.jsonl"
    assert cli("batch", tmp_path / "in.parquet", "-o", out, "--text-column", "text", "-q").code == 0
    assert '"m": [["a", null]]' in out.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prefix", "x\udcff"], "--prefix is not valid UTF-8; convert it first"),
        (["--join", "x\udcff", "--context-column", "c"], "--join is not valid UTF-8; convert it first"),
    ],
)
def test_options_that_are_no_unicode(cli: Cli, lines: Path, tmp_path: Path, words: list[str], said: str) -> None:
    ended = cli("batch", lines, "-o", tmp_path / "o.jsonl", *words)
    assert (ended.code, said in ended.err) == (2, True)


def test_standard_input_is_read_once(cli: Cli, tmp_path: Path) -> None:
    said = cli("batch", "-", "-", "-o", tmp_path / "o.jsonl", "--input-format", "txt", stdin=b"a\n").misuse
    assert said == "- stands for standard input, which can be read only once"


def test_a_shard_says_what_its_own_records_lack(cli: Cli, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": "a b", "id": 0}, *[{"text": "a b"}] * 3])
    words = ("batch", source, "-o", tmp_path / "o.jsonl", "--id-column", "id")
    assert f'{source}, line 3 has no column "id"' in cli(*words, "--shard", "2/2").err
    assert "has no column" not in cli(*words, "--shard", "1/4").err


def test_a_text_that_may_be_taken_for_a_header_is_said(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("hello there\nhow are you\n")
    ended = cli("batch", tmp_path / "in.csv", "-o", tmp_path / "o.jsonl")
    assert ended.err.startswith('warning: "hello there", in the first line, is the name of the only column; if it is ')
    (tmp_path / "lists.csv").write_text('options\n"[""a"", ""b""]"\n')
    ranked = ("--candidates-column", "options", "--restart")
    assert "first line" not in cli("batch", tmp_path / "lists.csv", "-o", tmp_path / "r.jsonl", *ranked).err
    named = ("--text-column", "hello there", "--restart")
    assert "first line" not in cli("batch", tmp_path / "in.csv", "-o", tmp_path / "o.jsonl", *named).err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_an_output_stays_as_private_as_it_was(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, mode: int
) -> None:
    """And its owner may write it, as it grows."""
    out = tmp_path / f"out.{form}"
    out.touch(mode=mode)
    halfway(cli, lines, out, monkeypatch)
    beside = [*tmp_path.glob("out.*.part"), *tmp_path.glob("out.*.journal")]
    assert (len(beside), {path.stat().st_mode & 0o777 for path in beside}) == (3, {0o600})
    assert cli("batch", lines, "-o", out, "-q").code == 0
    assert (out.stat().st_mode & 0o777, out.stat().st_size > 0) == (0o600, True)


def test_a_record_with_fewer_candidates(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b,c\none,two,three\nfour,five,\n")
    assert cli("batch", tmp_path / "in.csv", "-o", tmp_path / "o.jsonl", "--candidates-column", "a,b,c", "-q").code == 0
    assert [len(record["total_logprobs"]) for record in read(tmp_path / "o.jsonl")] == [3, 2]


@pytest.mark.slow
def test_the_summary_alone_on_standard_output(lines: Path, tmp_path: Path, folder_of: Callable[[str], Path]) -> None:
    for place in ("-", "/dev/stdout") if sys.platform != "win32" else ("-",):
        line = f'lmscore batch "{lines}" -q -o "{tmp_path}/out.jsonl" --summary {place}'
        ended = shell(f'(echo before; {line}) > "{tmp_path}/log"', folder_of("llama"))
        assert ended.returncode == 0, ended.stderr
        before, summary, *table = (tmp_path / "log").read_text().splitlines()
        assert (before, json.loads(summary)["records"]) == ("before", 90)
        assert not table


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_takes_a_name_is_on_the_disk_before(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    steps: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*given: Any, **named: Any) -> Any:
            steps.append(f"{name} {Path(str(given[0])).suffix}" if name != "sync" else name)
            return call(*given, **named)

        return noting

    monkeypatch.setattr(os, "fsync", noted("sync", os.fsync))
    monkeypatch.setattr(Path, "replace", noted("replace", Path.replace))
    monkeypatch.setattr(Path, "unlink", noted("unlink", Path.unlink))
    assert cli("batch", lines, "-o", tmp_path / f"out.{form}", "-q").code == 0
    named = steps.index("replace .whole" if form == "parquet" else "replace .part")
    assert steps[named - 1] == "sync"
    assert "sync" in steps[named : steps.index("unlink .journal", named)]
    if form == "parquet":
        assert "sync" in steps[named : steps.index("unlink .part", named)]


def test_killed_while_a_parquet_is_gathered(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.parquet"
    for step in ("gather", "finish"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            owner = {"gather": Encoder, "finish": Journal}[step]

            patch.setattr(owner, step, killed)
            cli("batch", lines, "-o", out, "-q")
    assert cli("batch", lines, "-o", out, "-q").code == 0
    assert [record["n"] for record in read(out)] == list(range(90))
    assert not list(tmp_path.glob("out.parquet.*"))


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("x", lambda x: x),
        ("x.id", lambda x: {"id": x}),
        ("x", lambda x: [x]),
        ("x.of.id", lambda x: [{"of": {"id": [1, x]}}]),
    ],
)
def test_integers_too_large_for_a_fraction(tmp_path: Path, name: str, held: Callable[[float], Any]) -> None:
    records = [{"text": "a", "x": held(2**53 + 1)}] * 20 + [{"text": "b", "x": held(0.5)}]
    with pytest.raises(LmscoreError, match=f'column "{name}" has fractions, and integers too large'):
        carried_out(jsonl(tmp_path / "in.jsonl", records), tmp_path / "out.parquet")


def test_a_parquet_in_a_pipe_that_finds_no_room_for_its_copy(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    pq.write_table(pa.table({"text": ["a b"]}), tmp_path / "in.parquet")
    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    words = ("batch", "-", "--input-format", "parquet", "-o", tmp_path / "out.jsonl")
    said = cli(*words, stdin=(tmp_path / "in.parquet").read_bytes()).error
    assert said.startswith("cannot keep a copy in ") and "No space left on device; set TMPDIR to a place" in said


def test_parquet_files_that_differ(cli: Cli, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a b", "c d"], "n": [1, 2], "k": ["x", None]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"n": [0.5], "text": ["e f"]}), tmp_path / "2.parquet")
    out = tmp_path / "out.parquet"
    assert cli("batch", tmp_path / "1.parquet", tmp_path / "2.parquet", "-o", out, "-q").code == 0
    assert [[record[name] for name in ("text", "n", "k")] for record in read(out)] == [
        ["a b", 1.0, "x"],
        ["c d", 2.0, None],
        ["e f", 0.5, None],
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{in}", "-o", "{out}", "--summary", "{in}"], "is being read"),
        (["{out}.errors.jsonl", "-o", "{out}"], "is being read"),
        (["{out}.journal.new", "-o", "{out}", "--input-format", "txt"], "is being read"),
        (["{in}", "nobody.jsonl", "-o", "{out}"], "there is no file nobody.jsonl"),
        (["{in}", "{out}.dat", "-o", "{out}"], "there is no file {out}.dat"),
        (["{in}", "-o", "{out}", "--summary", "no/where.json"], "there is no folder"),
    ],
)
def test_nothing_that_is_there_is_lost(cli: Cli, lines: Path, tmp_path: Path, words: list[str], said: str) -> None:
    out = tmp_path / "out.jsonl"
    jsonl(tmp_path / "out.jsonl.errors.jsonl", [{"text": "a"}])
    (tmp_path / "out.jsonl.journal.new").write_text("a")
    out.write_text("before")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for taken in (out, f"{out}.part"):
        said_of_it = cli("batch", lines, "-o", out, "--summary", taken, "-q").misuse
        assert said_of_it == f"--summary {taken} is where the records go; choose another place"
    named = [word.replace("{in}", str(lines)).replace("{out}", str(out)) for word in words]
    assert said.replace("{out}", str(out)) in cli("batch", *named, "-q").error
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_run_that_ends_as_it_begins_begins_again(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once more: what was left of one that had not got anywhere was being cleared away."""
    out = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Journal, "commit", killed)
        cli("batch", lines, "-o", out, "-q")
    assert out.with_name("out.jsonl.part").exists() and out.with_name("out.jsonl.journal").exists()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        unlink = Path.unlink
        patch.setattr(Path, "unlink", lambda self, **how: killed() if self.suffix == ".part" else unlink(self, **how))
        cli("batch", lines, "-o", out, "-q")
    assert cli("batch", lines, "-o", out, "-q").code == 0
    assert len(read(out)) == len(lines.read_text().splitlines())


@pytest.mark.parametrize("what", ["text", "candidate"])
def test_what_is_empty_stays_empty_whatever_is_joined_to_it(cli: Cli, tmp_path: Path, what: str) -> None:
    held = {"text": ""} if what == "text" else {"ends": ["a", ""]}
    source = jsonl(tmp_path / "in.jsonl", [{"context": "The cat", **held}])
    named = [] if what == "text" else ["--candidates-column", "ends"]
    ended = cli("batch", source, "-o", tmp_path / "o.jsonl", "--context-column", "context", "--join", " ", *named)
    assert "its text is empty, so there is nothing to score" in ended.error


def test_a_part_that_nobody_knows_is_left_alone(cli: Cli, lines: Path, tmp_path: Path) -> None:
    part = tmp_path / "out.jsonl.part"
    part.write_text("somebody's")
    assert "no journal says what it is" in cli("batch", lines, "-o", tmp_path / "out.jsonl", "-q").error
    assert part.read_text() == "somebody's"


def test_the_column_called_text_is_scored_whatever_it_holds(cli: Cli, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": None, "title": "T"}])
    assert 'column "text" is null' in cli("batch", source, "-o", tmp_path / "o.jsonl", "-q").error
    (tmp_path / "in.csv").write_text("text,label\n2001,x\n")
    assert cli("batch", tmp_path / "in.csv", "-o", tmp_path / "o.jsonl", "-q").code == 0
    assert read(tmp_path / "o.jsonl")[0]["num_bytes"] == 4


def test_what_to_do_about_bad_records_may_change_only_from_stopping(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = models.passages(3, [60] * 90)
    source = jsonl(tmp_path / "in.jsonl", [*({"text": text} for text in texts), {"text": ""}])
    out = tmp_path / "out.jsonl"
    usual = ("--device", "cpu")  # an accelerator's first chunk would hold all of them
    assert "is empty" in cli("batch", source, "-o", out, "-q", *usual).error
    assert json.loads((tmp_path / "out.jsonl.journal").read_text())["records"] > 60
    halfway(cli, source, out, monkeypatch, *usual, "--on-error", "skip")
    said = cli("batch", source, "-o", out, "-q", *usual, "--on-error", "null").error
    assert '--on-error was "skip", is "null"' in said
    assert cli("batch", source, "-o", out, "-q", *usual, "--on-error", "skip").code == 1
    assert len(read(out)) == 90


def test_another_model_in_the_same_folder(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_of: Callable[[str], Path]
) -> None:
    model, out = tmp_path / "model", tmp_path / "out.jsonl"
    shutil.copytree(folder_of("llama"), model)
    (model / "vocab.txt").write_text("one")
    (model / "log.txt").write_text("one")
    halfway(cli, lines, out, monkeypatch, "-m", str(model))
    shutil.copytree(folder_of("wide"), model, dirs_exist_ok=True)
    (model / "vocab.txt").write_text("two")
    (model / "log.txt").write_text("two")
    said = cli("batch", lines, "-o", out, "-q", "-m", model).error
    assert "model file model.safetensors has changed" in said and "model file vocab.txt has changed" in said
    assert "log.txt" not in said


def test_a_model_s_folder_may_hold_links_that_lead_nowhere_and_folders(
    cli: Cli, lines: Path, tmp_path: Path, folder_of: Callable[[str], Path]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder_of("llama"), model)
    (model / "notes.json").symlink_to(tmp_path / "nowhere")
    (model / "extra.json").mkdir()
    assert cli("batch", lines, "-o", tmp_path / "out.jsonl", "-q", "-m", model).code == 0


@pytest.mark.slow
def test_a_reader_that_leaves_takes_nothing_along(
    lines: Path, tmp_path: Path, folder_of: Callable[[str], Path]
) -> None:
    lines.write_text(lines.read_text() + '{"text": ""}\n')
    line = f'lmscore batch "{lines}" -q -o "{tmp_path}/out.jsonl" --summary "{tmp_path}/s.json" --on-error skip | true'
    ended = shell(f"set -o pipefail; {line}", folder_of("llama"))
    said = f"error: not all records were scored: 1 bad, kept in {tmp_path}/out.jsonl.errors.jsonl\n"
    assert (ended.returncode, ended.stderr) == (1, said)
    assert json.loads((tmp_path / "s.json").read_text())["bad_records"] == 1
    line = f'lmscore batch "{lines}" -q -o "{tmp_path}/out.jsonl" --summary - --on-error skip | true'
    ended = shell(f"set -o pipefail; {line}", folder_of("llama"))
    assert (ended.returncode, ended.stderr) == (1, said)
    assert not list(tmp_path.glob("out.jsonl.journal"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="bash")
def test_a_pipe_with_a_name(lines: Path, tmp_path: Path, folder_of: Callable[[str], Path]) -> None:
    line = f'lmscore batch <(cat "{lines}") --input-format jsonl -q -o "{tmp_path}/out.jsonl"'
    ended = shell(line, folder_of("llama"))
    assert ended.returncode == 0, ended.stderr
    assert len(read(tmp_path / "out.jsonl")) == 90


def test_a_parquet_with_a_string_that_is_none(cli: Cli, tmp_path: Path) -> None:
    ends = pa.py_buffer(struct.pack("3i", 0, 1, 2))
    strings = pa.StringArray.from_buffers(2, ends, pa.py_buffer(b"a\xff"))
    pq.write_table(pa.table({"text": strings}), tmp_path / "in.parquet")
    assert (
        "column 'text' holds a string that is not UTF-8"
        in cli("batch", tmp_path / "in.parquet", "-o", tmp_path / "o.jsonl", "-q").error
    )


def test_bad_records_do_not_break_up_what_is_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BYTES_A_TOKEN", 4)
    calls: list[int] = []

    class Counted(Constant):
        def scores(self, texts: Iterable[str | Text], reading: Reading, soon: bool, tick: Tick) -> Iterator[Score]:
            texts = list(texts)
            calls.append(len(texts))
            return super().scores(texts, reading, soon, tick)

    source = jsonl(tmp_path / "in.jsonl", [{"text": text} for text in ("a", "", "b", "", "c", "", "d")])
    job = Job(Roles("text"), Reading(), None, False, "null", (SCORE_COLUMNS["total_logprob"],))
    todo = batch.plan(batch.Source((str(source),)), job, str(tmp_path / "out.jsonl"))
    batch.carry_out(todo, Counted(), True, lambda _: None, lambda _: None)
    assert calls == [4]
    assert [record["total_logprob"] for record in read(tmp_path / "out.jsonl")] == [-1, None, -1, None, -1, None, -1]


def test_a_value_that_parquet_cannot_hold_is_named(cli: Cli, tmp_path: Path) -> None:
    records = [{"text": f"text {n}", "x": n} for n in range(40)]
    source = jsonl(tmp_path / "in.jsonl", [*records, {"text": "the next", "x": "one"}, {"text": "last", "x": 1}])
    said = cli("batch", source, "-o", tmp_path / "out.parquet", "-q").error
    assert "in.jsonl, line 41: column \"x\" is 'one': Parquet cannot hold this (" in said


def test_what_parquet_cannot_hold_is_refused_at_once(cli: Cli, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": "a b", "meta": {}}] * 90)
    said = cli("batch", source, "-o", tmp_path / "out.parquet", "-q").error
    assert "in.jsonl, line 1 or soon after: Parquet cannot hold this" in said


def test_other_records_on_standard_input_are_not_taken_for_those_that_were_done(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("batch", "-", "-q", "--input-format", "jsonl", "-o", tmp_path / "out.jsonl")

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Journal, "close", killed)
        cli(*words, stdin=lines.read_bytes())
    assert "are not those that were read before" in cli(*words, stdin=b'{"text": "new"}\n').error
    assert cli(*words, stdin=lines.read_bytes()).code == 0
    assert len(read(tmp_path / "out.jsonl")) == 90


@pytest.mark.parametrize(
    "change",
    [
        {"records": "x"},
        {"records": -1},
        {"lengths": {"out": None}},
        {"lengths": {"out": 1, "other": 1}},
        {"kept": {"corpus": {"no": 1}, "seconds": 1.0}},
        {"kept": None},
        {"kept": []},
        {"pins": None},
        {"pins": []},
        {"done": "x"},
        {"version": 0},
    ],
)
def test_a_damaged_journal(
    cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    out, path = tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal"
    halfway(cli, lines, out, monkeypatch)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert "--restart begins again" in cli("batch", lines, "-o", out, "-q").error


def test_a_damaged_part_of_a_parquet(cli: Cli, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, part = tmp_path / "out.parquet", tmp_path / "out.parquet.part"
    halfway(cli, lines, out, monkeypatch)
    part.write_bytes(bytes(part.stat().st_size))
    assert "out.parquet.part is damaged" in cli("batch", lines, "-o", out, "-q").error


def test_typed_columns_in_csv(cli: Cli, tmp_path: Path) -> None:
    day, cents = datetime.date(2024, 1, 1), decimal.Decimal("1.10")
    values = {"text": ["a"], "day": [day], "cents": [cents], "raw": [b"\xff"], "nan": [math.nan], "none": [None]}
    pq.write_table(pa.table(values), tmp_path / "in.parquet")
    assert cli("batch", tmp_path / "in.parquet", "-o", tmp_path / "out.csv", "-q").code == 0
    (record,) = read(tmp_path / "out.csv")
    assert [record[name] for name in values] == ["a", "2024-01-01", "1.10", "ff", "nan", ""]


@pytest.mark.parametrize(("kind", "kept"), [("jsonl", [None, None]), ("csv", ["nan", "-inf"]), ("parquet", None)])
def test_what_is_no_json_in_a_line_does_not_come_back(cli: Cli, tmp_path: Path, kind: str, kept: Any) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "NaN", "a": NaN, "b": -Infinity, "c": 1.10}\n')
    assert cli("batch", tmp_path / "in.jsonl", "-o", tmp_path / f"o.{kind}", "-q").code == 0
    (record,) = read(tmp_path / f"o.{kind}")
    assert record["text"] == "NaN"
    if kept is None:
        assert math.isnan(record["a"]) and record["b"] == -math.inf
    else:
        assert [record["a"], record["b"]] == kept


@pytest.mark.parametrize(("kind", "depth"), [("jsonl", 700), ("parquet", 64)])
def test_what_is_nested_deeply_comes_back_or_is_refused(cli: Cli, tmp_path: Path, kind: str, depth: int) -> None:
    nested = f"{'[' * depth}{'NaN' if kind == 'jsonl' else 1}{']' * depth}"
    (tmp_path / "in.jsonl").write_text(f'{{"text": "a", "x": {nested}}}\n')
    words = ("batch", tmp_path / "in.jsonl", "-o", tmp_path / f"o.{kind}", "-q", "--text-column", "text")
    if kind == "parquet":
        assert "Parquet cannot hold this" in cli(*words).error
    else:
        assert cli(*words).code == 0
        assert nested.replace("NaN", "null") in (tmp_path / "o.jsonl").read_text()


def test_bytes_are_hexadecimal_digits(cli: Cli, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "raw": [b"\xff\x00"]}), tmp_path / "in.parquet")
    assert cli("batch", tmp_path / "in.parquet", "-o", tmp_path / "o.jsonl", "-q").code == 0
    assert read(tmp_path / "o.jsonl")[0]["raw"] == "ff00"


def test_what_is_added_does_not_act_on_a_terminal(cli: Cli, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "o.jsonl"
    source.write_text('{"text": "\\u202ea \\u009bb"}\n{"text": "\\u202e", "total_logprob": 1}\n')
    assert cli("batch", source, "-o", out, "-q", "--words", "--on-error", "skip").code == 1
    assert not acting(out.read_text() + (tmp_path / "o.jsonl.errors.jsonl").read_text())
    assert "\u202ea" in read(out)[0]["words"][0]["word"]


def test_a_first_record_without_the_column_is_a_bad_one_like_others(cli: Cli, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"a": "x"}, {"text": "a"}, {"a": "y"}])
    words = ("batch", source, "-o", tmp_path / "out.jsonl", "-q", "--text-column", "text")
    assert 'there is no column "text"' in cli(*words).error
    assert cli(*words, "--on-error", "skip").code == 1
    assert [record["text"] for record in read(tmp_path / "out.jsonl")] == ["a"]


def test_an_answer_that_is_a_text_and_an_index(cli: Cli, tmp_path: Path, sober: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"c": ["1", "0"], "g": "1"}])
    words = ("--candidates-column", "c", "--gold-column", "g")
    said = cli("batch", source, "-o", tmp_path / "o.csv", "-q", *words).error
    assert "the text of candidate 0 and the index of candidate 1" in said


def test_candidates_in_a_cell_nested_beyond_reason(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f'c\n"{"[" * 100_000}"\n')
    said = cli("batch", tmp_path / "in.csv", "-o", tmp_path / "o.jsonl", "-q", "--candidates-column", "c").error
    assert 'column "c" is no list' in said


@pytest.mark.slow
def test_texts_longer_than_the_models_context(
    tmp_path: Path, architecture: str, cli: Cli, folder_of: Callable[[str], Path]
) -> None:
    texts = models.passages(8, [1900, 40, 800])
    source, model = jsonl(tmp_path / "in.jsonl", [{"text": text} for text in texts]), folder_of(architecture)
    words = ("-m", model, "--stride", 100)
    assert cli("batch", source, "-o", tmp_path / "out.jsonl", "-q", *words).code == 0
    for record, text in zip(read(tmp_path / "out.jsonl"), texts, strict=True):
        alone = json.loads(cli("score", "--json", *words, text).out)
        for name in ("num_tokens", "windows", "min_context"):
            assert record[name] == alone[name]
        assert record["total_logprob"] == pytest.approx(alone["total_logprob"], rel=1e-5)
    assert record["windows"] > 1
