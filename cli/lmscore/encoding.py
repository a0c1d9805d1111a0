"""Records out: what came in and what was found, as bytes of JSONL, CSV, TSV or (by way of Arrow) Parquet.

Bytes are only ever added, so that a run which was killed can cut off what was not sure and go on. A Parquet file cannot
grow that way: while it is made, its rows stand in Arrow streams one behind the other, and `gather` makes it of them.
Knows nothing of scores: a column is a name and a kind.
"""

import bisect
import io
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from .errors import LmscoreError, one_line
from .formats import Format, as_json, cell, escaped, separated
from .tables import Row

Kind = Literal["number", "count", "string", "flag", "byte"]

ROW_GROUP = 8192
ROW_GROUP_BYTES = 32 << 20
"""About as many rows, or bytes, a Parquet file keeps together."""

MOST_EXACT = 1 << 53
"""Integers up to this are numbers of float64 as well."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is added to what came in, or a field of the objects in one.

    Attributes:
        kind: of its values; fields, where they are objects.
        listed: whether each is a list of such.
    """

    name: str
    kind: "Kind | tuple[Column, ...]"
    listed: bool = False


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
        self._ends: dict[str, tuple[int, int]] = {}  # of integers, by their path: the smallest and the largest
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
        """Take the columns' types from what an earlier run has written.

        Raises:
            LmscoreError: it is damaged.
        """
        if self._form is Format.parquet:
            import pyarrow

            with part.open("rb") as source:
                try:
                    for table in _tables(source):
                        self._agree(table)
                except pyarrow.ArrowException as err:
                    raise LmscoreError(f"{part} is damaged ({one_line(err)}); --restart begins again") from err

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
        """Make a Parquet file of the Arrow streams in a part, and bring it to the disk.

        Raises:
            LmscoreError: values within lists or structs are of several types that none can hold together.
            OSError: it cannot be written.
        """
        import pyarrow
        import pyarrow.parquet

        schema = self._schema or self._table([]).schema
        with part.open("rb") as source, place.open("wb") as stream:
            try:
                with pyarrow.parquet.ParquetWriter(stream, schema) as writer:
                    for tables in _row_groups(_tables(source)):
                        writer.write_table(pyarrow.concat_tables([_fitted(table, schema) for table in tables]))
            except pyarrow.ArrowException as err:
                raise LmscoreError(
                    f"{place}: Parquet cannot hold this ({one_line(err)}); write .jsonl instead"
                ) from err
            stream.flush()
            os.fsync(stream.fileno())

    def _line(self, record: Filled) -> bytes:
        taken = record.row.fields  # a record that clashes keeps its own
        added = {column.name: record.values.get(column.name) for column in self._added if column.name not in taken}
        ours = escaped(json.dumps(added, ensure_ascii=False, allow_nan=False)[1:-1])
        if record.row.fault is not None:
            theirs = ""
        elif record.row.line is not None:
            theirs = record.row.line.strip()[1:-1].strip()  # as it was written: a number keeps its digits
        else:
            theirs = as_json(record.row.fields)[1:-1]
        return f"{{{', '.join(filter(None, (theirs, ours)))}}}\n".encode()

    def _fields(self, record: Filled) -> list[Any]:
        theirs = [cell(record.row.fields.get(name)) for name in self._header]
        return [*theirs, *(cell(record.values.get(column.name)) for column in self._added)]

    def _separated(self, rows: Sequence[Sequence[Any]]) -> bytes:
        return "".join(f"{line}\n" for line in separated(rows, self._form.separator)).encode()

    def _stream(self, records: Sequence[Filled]) -> bytes:
        """An Arrow stream of its own."""
        import pyarrow

        sink = pyarrow.BufferOutputStream()
        try:
            table = self._table(records)
            self._agree(table)
            with pyarrow.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
        except (pyarrow.ArrowException, TypeError, OverflowError) as err:
            where = f"{records[0].row.where} or soon after"
            raise LmscoreError(f"{where}: Parquet cannot hold this ({one_line(err)}); write .jsonl instead") from err
        return bytes(sink.getvalue())

    def _agree(self, table: Any) -> None:
        """Widen the columns' types so that these values fit as well.

        Raises:
            pyarrow.ArrowException: no type holds all of them: fractions, say, after integers beyond 2^53.
        """
        import pyarrow
        import pyarrow.parquet

        before = self._schema
        known = [] if before is None else [before]
        self._schema = pyarrow.unify_schemas([*known, table.schema], promote_options="permissive")
        if before is None or not self._schema.equals(before):  # what Parquet cannot hold shows here, not at the end
            pyarrow.parquet.ParquetWriter(pyarrow.BufferOutputStream(), self._schema).close()
        self._check_integers(table)

    def _check_integers(self, table: Any) -> None:
        """See that the columns' types hold the integers that were met, these values' among them.

        Raises:
            pyarrow.ArrowException: one does not.
        """
        import pyarrow
        import pyarrow.compute

        for name, values in _leaves(table):
            if pyarrow.types.is_integer(values.type):
                low, high = pyarrow.compute.min_max(values).as_py().values()
                if low is not None:
                    before_low, before_high = self._ends.get(name, (low, high))
                    self._ends[name] = min(low, before_low), max(high, before_high)
        for name, none in _leaves(self._schema.empty_table()):
            low, high = self._ends.get(name, (0, 0))
            if pyarrow.types.is_floating(none.type) and max(-low, high) > MOST_EXACT:
                raise pyarrow.ArrowInvalid(f'column "{name}" has fractions, and integers too large to be one')
            if pyarrow.types.is_integer(none.type):
                pyarrow.array([low, high], none.type)  # fails where they do not fit

    def _table(self, records: Sequence[Filled]) -> Any:
        import pyarrow

        table = self._theirs(records)
        for column in self._added:
            values = [record.values.get(column.name) for record in records]
            table = table.append_column(column.name, pyarrow.array(values, _type(column)))
        return table

    def _theirs(self, records: Sequence[Filled]) -> Any:
        import pyarrow

        if records and all(record.row.batch is not None for record in records):
            places = (record.row.batch for record in records if record.row.batch is not None)
            slices = [pyarrow.Table.from_batches([batch.slice(at, 1)]) for batch, at in places]
            table = pyarrow.concat_tables(slices, promote_options="permissive").combine_chunks()
            for name in self._header:  # files may have other columns than the first one
                if name not in table.column_names:
                    table = table.append_column(name, pyarrow.nulls(len(table)))
            return table.select(list(self._header))
        return pyarrow.table({name: _column(name, records) for name in self._header})


def _column(name: str, records: Sequence[Filled]) -> Any:
    """A column that came in.

    Raises:
        LmscoreError: no type holds one record's value along with those before it.
    """
    import pyarrow

    refused = (pyarrow.ArrowException, TypeError, OverflowError)
    values = [record.row.fields.get(name) for record in records]

    def fails(count: int) -> bool:
        try:
            pyarrow.array(values[:count])
        except refused:
            return True
        return False

    try:
        return pyarrow.array(values)
    except refused as err:
        first = bisect.bisect(range(1, len(values)), False, key=fails)
        held = f'column "{name}" is {values[first]!r:.40}'
        said = f"Parquet cannot hold this ({one_line(err)}); write .jsonl instead"
        raise LmscoreError(f"{records[first].row.where}: {held}: {said}") from err


def _leaves(table: Any) -> Iterator[tuple[str, Any]]:
    """All values that hold no others, by their path: of a column, or of a field of the objects in one, or in lists."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        for chunk in column.chunks:
            yield from _leaves_in(name, chunk)


def _leaves_in(path: str, values: Any) -> Iterator[tuple[str, Any]]:
    from pyarrow import types

    if types.is_struct(values.type):
        for at, field in enumerate(values.type):
            yield from _leaves_in(f"{path}.{field.name}", values.field(at))
    elif types.is_list(values.type) or types.is_large_list(values.type):
        yield from _leaves_in(path, values.flatten())
    else:
        yield path, values


def _row_groups(tables: Iterable[Any]) -> Iterator[list[Any]]:
    waiting: list[Any] = []
    rows = size = 0
    for table in tables:
        waiting.append(table)
        rows, size = rows + len(table), size + table.nbytes
        if rows >= ROW_GROUP or size >= ROW_GROUP_BYTES:
            yield waiting
            waiting, rows, size = [], 0, 0
    if waiting:
        yield waiting


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


def _type(column: Column) -> Any:
    import pyarrow as pa

    plain = {"number": pa.float64, "count": pa.int64, "string": pa.string, "flag": pa.bool_, "byte": pa.uint8}
    if isinstance(column.kind, tuple):
        held = pa.struct([(field.name, _type(field)) for field in column.kind])
    else:
        held = plain[column.kind]()
    return pa.list_(held) if column.listed else held
