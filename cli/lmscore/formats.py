"""How files of records are written down: the format that a name tells, bytes as text, values in JSON and in CSV.

Opens nothing. What it refuses in a line it does not place: where that stands, its caller knows.
"""

import codecs
import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any, cast

from .errors import LmscoreError

log = logging.getLogger(__name__)

GZIP, ZSTANDARD = ".gz", ".zst"

SURROGATE = re.compile("[\ud800-\udfff]")
"""What no UTF-8 holds."""


class Format(str, Enum):
    """How a file of records is written."""

    txt = "txt"
    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"

    @property
    def separator(self) -> str:
        """What stands between the fields of a row."""
        return "\t" if self is Format.tsv else ","

    @classmethod
    def of(cls, path: str) -> "Format | None":
        """The format that a file's name tells, compressed or not: decided here alone."""
        suffixes = [suffix.lower() for suffix in PurePath(path).suffixes]
        last = next((suffix for suffix in reversed(suffixes) if suffix not in (GZIP, ZSTANDARD)), "")
        return {".ndjson": cls.jsonl}.get(last) or next((form for form in cls if last == f".{form.value}"), None)


def compression(path: str) -> str | None:
    """How a file is compressed, by its name: GZIP, ZSTANDARD, or not at all."""
    return next((ending for ending in (GZIP, ZSTANDARD) if path.lower().endswith(ending)), None)


def without_signature(name: str, data: bytes) -> bytes:
    """A file's beginning without a UTF-8 byte order mark.

    Raises:
        LmscoreError: it is UTF-16.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise LmscoreError(f"{name} is UTF-16; convert it first, with `iconv -f UTF-16 -t UTF-8` for instance")
    if data.startswith(codecs.BOM_UTF8):
        log.warning("%s opens with a UTF-8 byte order mark, which is not part of the text: left out", name)
        return data.removeprefix(codecs.BOM_UTF8)
    return data


CONVERTED = "iconv -f LATIN1 -t UTF-8 converts it, if that is what it is"
"""What to do about text in another encoding, which nobody knows."""


def unended(line: bytes) -> bytes:
    """A line without its end, ``\\n`` or ``\\r\\n``."""
    return line.removesuffix(b"\n").removesuffix(b"\r") if line.endswith(b"\n") else line


def decoded(data: bytes) -> str:
    """A line's text, or a whole file's.

    Raises:
        LmscoreError: the bytes are no UTF-8 text; says from which on, and not where they stand.
    """
    if (at := data.find(b"\0")) >= 0:
        raise LmscoreError(f"a NUL at its byte {at}: a binary file or another encoding (JSON may write \\u0000)")
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise LmscoreError(f"not UTF-8 at its byte {err.start} (0x{data[err.start]:02x}); {CONVERTED}") from err


def parsed(line: str, odd: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """A JSON object.

    Args:
        odd: told of each NaN and infinity, by its name: JSON has none, though many write them.

    Raises:
        LmscoreError: it is none, or has a name twice; says not where it stands.
    """

    def constant(name: str) -> float:
        odd(name)
        return float(name)

    try:
        found = json.loads(line, object_pairs_hook=_distinct, parse_constant=constant)
    except json.JSONDecodeError as err:
        raise LmscoreError(f"not JSON ({err.msg} at column {err.colno})") from err
    except (RecursionError, ValueError) as err:  # nested beyond reason, or a number of thousands of digits
        raise LmscoreError(f"JSON that Python does not read ({err})") from err
    if not isinstance(found, dict):
        raise LmscoreError("not an object")
    if "\\ud" in line.lower():  # an escape that may be half a pair
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as err:
            raise LmscoreError("half a surrogate pair, which is no character") from err
    return found


def cell(value: Any) -> Any:
    """A value for CSV: nothing for null; lists, structs and flags as JSON writes them, all else as it prints."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str):
        return value
    return as_json(value) if isinstance(value, bool | int | float | list | dict) else _plain(value)


def separated(rows: Iterable[Sequence[Any]], separator: str) -> Iterator[str]:
    """Rows as lines of CSV or (with a tab) TSV, without their ends."""
    import csv

    lines = list[str]()
    # The module quotes what its own line ends are made of: with \r\n, a bare \r in a text as well as a bare \n.
    writer: Any = csv.writer(cast(Any, SimpleNamespace(write=lines.append)), delimiter=separator, lineterminator="\r\n")
    for row in rows:
        writer.writerow(row)
        yield lines.pop().removesuffix("\r\n")


def as_json(value: Any) -> str:
    """As JSON: what that has no name for as it prints, bytes as hexadecimal digits, and no number for NaN."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:  # Python writes it NaN, and reads it as what it is told to
        there = json.loads(json.dumps(value, default=_plain), parse_constant=lambda _: None)
        return json.dumps(there, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def escaped(line: str) -> str:
    """A line in which nothing acts on a terminal. To a JSON reader the escapes are the same."""
    return ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


# What a terminal would act on or a reader take for the end of a line: controls but tabs and line ends, directions and
# joiners, line and paragraph separators.
ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = first_repeated([name for name, _ in pairs])
        raise LmscoreError(f"{json.dumps(repeated, ensure_ascii=False)} stands there twice")
    return found


def first_repeated(names: Sequence[str]) -> str | None:
    """The first name that stands there more than once."""
    return None if len(set(names)) == len(names) else next(name for name in names if names.count(name) > 1)
