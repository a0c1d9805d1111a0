"""Records out: what came in and what was found, as bytes of JSONL, CSV, TSV or (by way of Arrow) Parquet.

Bytes are only ever added, so that a run which was killed can cut off what was not sure and go on. A Parquet file cannot
grow that way: while it is made, its rows stand in Arrow streams one behind the other, and `gather` makes it of them.
Knows nothing of scores: a column is a name and a kind.
"""

import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from .errors import LmscoreError
from .tables import Format, Row

Kind = Literal["number", "count", "string", "flag", "numbers", "tokens"]

ROW_GROUP = 8192
"""Rows that a Parquet file keeps together."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is added to what came in."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Filled:
    """A record as it came, and the values of the columns that are added; none for a record that could not be scored."""

    row: Row
    values: Mapping[str, Any]


class Encoder:
    """Turns records into bytes of one format."""

    def __init__(self, form: Format, header: Sequence[str], added: Sequence[Column]) -> None:
        """Prepare.

        Args:
            header: the input's columns, in its order: those of its first record.
            added: the columns that follow them.

        Raises:
            LmscoreError: a column that is added has the name of one that came in.
        """
        self._form, self._header, self._added = form, header, added
        self._schema: Any = None
        if taken := self._taken(header):
            raise LmscoreError(f'the input has a column "{taken}" already; choose other names with --prefix')

    def fault(self, row: Row) -> str | None:
        """Why a record does not fit into the output."""
        if taken := self._taken(row.fields):
            return f'it has a column "{taken}", the name of one that is added; choose other names with --prefix'
        if self._form is not Format.jsonl and (unknown := [name for name in row.fields if name not in self._header]):
            return f'it has a column "{unknown[0]}", which the first record lacks; write .jsonl to keep it'
        return None

    def _taken(self, names: Collection[str]) -> str | None:
        return next((column.name for column in self._added if column.name in names), None)

    def learn(self, part: Path) -> None:
        """Take the columns' types from what an earlier run has written."""
        if self._form is Format.parquet:
            with part.open("rb") as source:
                for table in _tables(source):
                    self._agree(table)

    def head(self) -> bytes:
        """What stands before the first record."""
        if self._form in (Format.csv, Format.tsv):
            return self._separated([[*self._header, *(column.name for column in self._added)]])
        return b""

    def encode(self, records: Sequence[Filled]) -> bytes:
        """Some records.

        Raises:
            LmscoreError: in Parquet, a column's values are not of the type that they had before.
        """
        if self._form is Format.jsonl:
            return b"".join(map(self._line, records))
        if self._form is Format.parquet:
            return self._stream(records) if records else b""
        return self._separated([self._fields(record) for record in records])

    def gather(self, part: Path, place: Path) -> None:
        """Make a Parquet file of the Arrow streams in a part.

        Raises:
            OSError: it cannot be written.
        """
        import pyarrow
        import pyarrow.parquet

        schema = self._schema or self._table([]).schema
        with part.open("rb") as source, pyarrow.parquet.ParquetWriter(place, schema) as writer:
            waiting, rows = [], 0
            for table in _tables(source):
                waiting.append(_fitted(table, schema))
                rows += len(table)
                while rows >= ROW_GROUP:
                    whole = pyarrow.concat_tables(waiting)
                    writer.write_table(whole.slice(0, ROW_GROUP))
                    waiting, rows = [whole.slice(ROW_GROUP)], rows - ROW_GROUP
            if rows:
                writer.write_table(pyarrow.concat_tables(waiting))

    def _line(self, record: Filled) -> bytes:
        added = {column.name: record.values.get(column.name) for column in self._added}
        ours = json.dumps(added, ensure_ascii=False, allow_nan=False)[1:-1]
        if record.row.fault is not None:
            theirs = ""
        elif record.row.line is not None:
            theirs = record.row.line.strip()[1:-1].strip()  # as it was written: a number keeps its digits
        else:
            theirs = as_json(record.row.fields)[1:-1]
        return f"{{{', '.join(filter(None, (theirs, ours)))}}}\n".encode()

    def _fields(self, record: Filled) -> list[Any]:
        theirs = [_cell(record.row.fields.get(name)) for name in self._header]
        return [*theirs, *(_cell(record.values.get(column.name)) for column in self._added)]

    def _separated(self, rows: Sequence[Sequence[Any]]) -> bytes:
        import csv

        text = io.StringIO(newline="")
        plain = csv.writer(text, delimiter=self._form.separator, lineterminator="\n")
        quoting = csv.writer(text, delimiter=self._form.separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in rows:  # the module quotes only the line ends that it writes, and reads others as well
            (quoting if any("\r" in cell for cell in row if isinstance(cell, str)) else plain).writerow(row)
        return text.getvalue().encode()

    def _stream(self, records: Sequence[Filled]) -> bytes:
        """An Arrow stream of its own."""
        import pyarrow

        table = self._table(records)
        try:
            self._agree(table)
        except pyarrow.ArrowException as err:
            raise _mixed(records, str(err)) from err
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return bytes(sink.getvalue())

    def _agree(self, table: Any) -> None:
        """Widen the columns' types so that these values fit as well; raises ArrowException where no type holds all."""
        import pyarrow

        before = [] if self._schema is None else [self._schema]
        self._schema = pyarrow.unify_schemas([*before, table.schema], promote_options="permissive")

    def _table(self, records: Sequence[Filled]) -> Any:
        import pyarrow

        table = self._theirs(records)
        for column in self._added:
            values = [record.values.get(column.name) for record in records]
            table = table.append_column(column.name, pyarrow.array(values, _type(column.kind)))
        return table

    def _theirs(self, records: Sequence[Filled]) -> Any:
        import pyarrow

        if records and all(record.row.batch is not None for record in records):
            places = (record.row.batch for record in records if record.row.batch is not None)
            slices = [batch.slice(at, 1) for batch, at in places]
            return pyarrow.Table.from_batches(slices).combine_chunks()
        columns = []
        for name in self._header:
            try:
                columns.append(pyarrow.array([record.row.fields.get(name) for record in records]))
            except (pyarrow.ArrowException, TypeError, OverflowError) as err:
                raise _mixed(records, f'column "{name}"') from err
        return pyarrow.table(dict(zip(self._header, columns, strict=True)))


def _mixed(records: Sequence[Filled], what: str) -> LmscoreError:
    where = records[0].row.where
    return LmscoreError(
        f"{where} or soon after: Parquet has one type a column, and these are several ({what}); write .jsonl instead"
    )


def _tables(source: BinaryIO) -> Iterator[Any]:
    import pyarrow

    end = source.seek(0, io.SEEK_END)
    source.seek(0)
    while source.tell() < end:
        yield pyarrow.ipc.open_stream(source).read_all()


def _fitted(table: Any, schema: Any) -> Any:
    """A table with its columns' types widened."""
    import pyarrow

    return pyarrow.concat_tables([schema.empty_table(), table], promote_options="permissive")


def _type(kind: Kind) -> Any:
    import pyarrow as pa

    alternative = pa.struct([("id", pa.int64()), ("token", pa.string()), ("logprob", pa.float64())])
    token = pa.struct(
        [
            *[("index", pa.int64()), ("id", pa.int64()), ("token", pa.string()), ("bytes", pa.list_(pa.uint8()))],
            *[("start", pa.int64()), ("end", pa.int64()), ("logprob", pa.float64()), ("rank", pa.int64())],
            *[("entropy", pa.float64()), ("straddles", pa.bool_()), ("top", pa.list_(alternative))],
        ]
    )
    return {
        "number": pa.float64(),
        "count": pa.int64(),
        "string": pa.string(),
        "flag": pa.bool_(),
        "numbers": pa.list_(pa.float64()),
        "tokens": pa.list_(token),
    }[kind]


def _cell(value: Any) -> Any:
    """A value in CSV: strings as they stand, nothing for null, the rest as JSON writes it."""
    return value if value is None or isinstance(value, str) else as_json(value)


def as_json(value: Any) -> str:
    """As JSON: what that has no name for as it prints, bytes as hexadecimal digits, and no number for NaN."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(held) for name, held in value.items()}
    return [_finite(held) for held in value] if isinstance(value, list) else value
