"""Records in: rows with named columns from txt, JSONL, CSV, TSV and Parquet, one by one, however large the file.

Values come as they stand: in CSV and TSV each is a string. (pyarrow's reader of CSV would take "007" for a number, and
cannot say where a bad row stands; so it is not asked.) Knows nothing of models, scores or columns that mean something.
pyarrow is imported where Parquet or Zstandard asks for it.
"""

import contextlib
import io
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, BinaryIO

from . import files
from .errors import LmscoreError, WrongUsage, one_line
from .files import STDIN, name_of, opened
from .formats import (
    CONVERTED,
    GZIP,
    SURROGATE,
    ZSTANDARD,
    Format,
    compression,
    decoded,
    first_repeated,
    parsed,
    separated,
    unended,
    without_signature,
)

BATCH = 64
"""Rows of a Parquet file that are in memory together."""

LONGEST_CELL = (1 << 31) - 1
"""Characters of a field in CSV: as many as the module can be told on Windows."""


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it came.

    Attributes:
        where: for messages: "words.csv, line 7".
        fields: its values by column.
        line: the JSON object as it was written, where it was, and was JSON.
        batch: the Arrow record batch that it is a row of, where there is one, and which row.
        fault: why it cannot be read; its fields are then empty, and `line` is what was there.
        share: how much of all files has been read once it has, by bytes on the disk; None where nobody knows.
    """

    where: str
    fields: Mapping[str, Any]
    line: str | None = None
    batch: tuple[Any, int] | None = None
    fault: str | None = None
    share: float | None = None


def rows(paths: Iterable[str], form: Format | None) -> Iterator[Row]:
    """The records of several files, one file after the other.

    Args:
        form: for all of them; None goes by each one's name.

    Raises:
        LmscoreError: a file cannot be read, is damaged or cut short, or its format is unknown. A single bad record is
            no error here: it comes as a row with a fault.
    """
    paths = list(paths)
    sizes = [_size(path) for path in paths]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    before = 0
    for path, size in zip(paths, sizes, strict=True):
        reader = READERS[form or _format(path)]
        with opened(path) as raw:
            for row in reader(_unpacked(path, raw), name_of(path)):
                if not total:  # unknown: a Parquet beside a pipe knows its own share alone
                    yield replace(row, share=None)
                    continue
                read = raw.tell() if row.share is None else row.share * (size or 0)
                yield replace(row, share=(before + read) / total)
        before += size or 0


def check(paths: Iterable[str], form: Format | None) -> None:
    """Look at every file before the first is read.

    Raises:
        LmscoreError: one is not there, cannot be read, or does not say what it is.
    """
    for path in paths:
        files.check(path)
        if form is None:
            _format(path)


def count(paths: Iterable[str], form: Format | None) -> int:
    """How many records there are.

    Raises:
        LmscoreError: as `rows`.
    """
    return sum(1 for _ in rows(paths, form))


def _format(path: str) -> Format:
    form = Format.of(path)
    if form is None:
        kinds = ", ".join(form.value for form in Format)
        raise WrongUsage(f"{name_of(path)}: its name does not say what it is; choose --input-format: {kinds}")
    return form


def _size(path: str) -> int | None:
    with contextlib.suppress(OSError):
        if path != STDIN and os.path.isfile(path):
            return os.path.getsize(path)
    return None


def _unpacked(path: str, raw: BinaryIO) -> BinaryIO:
    """A file's bytes as they were before it was compressed; failures while reading are `_damage`'s to name."""
    packed = compression(path)
    if packed == GZIP:
        import gzip

        return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]
    if packed == ZSTANDARD:
        import pyarrow

        return io.BufferedReader(pyarrow.CompressedInputStream(raw, "zstd"), 1 << 16)
    return raw


@contextlib.contextmanager
def _damage(name: str) -> Iterator[None]:
    """What a file that is cut short or damaged makes its reader say, as one line."""
    try:
        yield
    except EOFError as err:
        raise LmscoreError(f"{name} is cut short: its compressed data ends too early; get a whole copy") from err
    except (zlib.error, OSError) as err:
        if isinstance(err, OSError) and err.errno is not None:  # the disk's own
            raise
        raise LmscoreError(f"{name} is damaged ({err}); get a whole copy") from err


def _lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, from 1, with their ends."""
    with _damage(name):
        for number, data in enumerate(stream, 1):
            yield number, without_signature(name, data) if number == 1 else data


def _txt(stream: BinaryIO, name: str) -> Iterator[Row]:
    """A text a line, in the column ``text``."""
    for number, data in _lines(stream, name):
        where = f"{name}, line {number}"
        try:
            text = decoded(unended(data))
        except LmscoreError as err:
            yield _unread(where, data, err)
        else:
            yield Row(where, {"text": text})


def _jsonl(stream: BinaryIO, name: str) -> Iterator[Row]:
    """An object a line; empty lines are none."""
    for number, data in _lines(stream, name):
        where = f"{name}, line {number}"
        try:
            odd = list[str]()
            if line := decoded(data).strip():
                fields = parsed(line, odd.append)
                yield Row(where, fields, None if odd else line)
        except LmscoreError as err:
            yield _unread(where, data, err)


def _unread(where: str, data: bytes, fault: Exception) -> Row:
    """A line that cannot be read, as well as it can be shown."""
    return Row(where, {}, data.decode(errors="backslashreplace").strip(), fault=str(fault))


def _separated(separator: str, stream: BinaryIO, name: str) -> Iterator[Row]:
    """A header, then a row a record. Strings as they stand; a field in quotes may hold line ends."""
    import csv

    csv.field_size_limit(LONGEST_CELL)
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        for at, data in _lines(stream, name):
            number = at
            yield data.decode("utf-8", "surrogateescape")

    reader = csv.reader(lines(), delimiter=separator, strict=True)
    header: list[str] | None = None
    began = 1
    try:
        for values in reader:
            where = f"{name}, line {began}"
            began = number + 1
            fault = _unreadable(values)
            if header is None and not values:
                continue
            if header is None:
                header = values
                if fault:
                    raise LmscoreError(f"{where}: {fault}")
                if (repeated := first_repeated(header)) is not None:
                    raise LmscoreError(f'{where}: two columns are called "{repeated}"; rename one')
                continue
            if not values:  # an empty line: a record of one empty field, or none
                if len(header) > 1:
                    continue
                values = [""]
            if len(values) != len(header):
                fault = f"{len(values)} fields, where the header has {len(header)}"
            if fault:
                (line,) = separated([values], separator)  # as it stood there, quotes that nothing needs apart
                yield Row(where, {}, _printable(line), fault=fault)
            else:
                yield Row(where, dict(zip(header, values, strict=True)))
    except csv.Error as err:
        kind = "TSV" if separator == "\t" else "CSV"
        said = f"not {kind} ({err}); mend it: where quotes are wrong, nobody knows where a record ends"
        if "new-line character" in str(err):
            said = r"a line ends in \r alone, as old files have it; convert it first, with tr '\r' '\n' for instance"
        raise LmscoreError(f"{name}, line {began}: {said}") from err


def _unreadable(values: Sequence[str]) -> str | None:
    """Why fields are no text."""
    whole = "".join(values)
    if "\0" in whole:
        return "a NUL: a binary file or another encoding"
    return None if whole.isascii() or not SURROGATE.search(whole) else f"not UTF-8; {CONVERTED}"


def _printable(text: str) -> str:
    """Bytes that could not be decoded as ``\\xff``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _parquet(stream: BinaryIO, name: str) -> Iterator[Row]:
    import tempfile

    import pyarrow
    import pyarrow.parquet

    with contextlib.ExitStack() as stack:
        if not _seekable(stream):  # a Parquet's table of contents stands at its end
            whole = stack.enter_context(tempfile.TemporaryFile())
            with _damage(name):
                while block := stream.read(1 << 20):
                    _keep(whole, block)
            stream = whole
        try:
            file = pyarrow.parquet.ParquetFile(stream)
            names = file.schema_arrow.names
            if (repeated := first_repeated(names)) is not None:
                raise LmscoreError(f'{name}: two columns are called "{repeated}"; rename one')
            number, count = 0, file.metadata.num_rows
            for batch in file.iter_batches(BATCH):
                columns = [
                    _values(column, f"{name}: column {its!r}") for its, column in zip(names, batch.columns, strict=True)
                ]
                for at, values in enumerate(zip(*columns, strict=True)):
                    number += 1
                    fields = dict(zip(names, values, strict=True))
                    yield Row(f"{name}, record {number}", fields, batch=(batch, at), share=number / count)
        except (pyarrow.ArrowException, OSError) as err:
            raise LmscoreError(f"{name} is no whole Parquet file ({one_line(err)}); get a whole copy") from err


def _keep(copy: IO[bytes], block: bytes) -> None:
    import tempfile

    try:
        copy.write(block)
        copy.flush()
    except OSError as err:
        place, why = tempfile.gettempdir(), err.strerror or err
        raise LmscoreError(f"cannot keep a copy in {place}: {why}; set TMPDIR to a place with more room") from err


def _values(column: Any, where: str) -> list[Any]:
    """An Arrow column as Python has it; times that Python's are too coarse for, as strings."""
    import pyarrow

    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError as err:
        raise LmscoreError(f"{where} holds a string that is not UTF-8; make it binary, or mend it") from err
    except (ValueError, OverflowError) as err:
        try:
            values = column.cast("string").to_pylist()
        except pyarrow.ArrowException:
            raise LmscoreError(f"{where} holds what Python cannot ({err}); give it another type") from err
    return values


def _seekable(stream: BinaryIO) -> bool:
    """Whether it can be read in any order, and not by beginning again each time."""
    return isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO) and stream.seekable()


READERS = {
    Format.txt: _txt,
    Format.jsonl: _jsonl,
    Format.csv: lambda stream, name: _separated(",", stream, name),
    Format.tsv: lambda stream, name: _separated("\t", stream, name),
    Format.parquet: _parquet,
}
