"""Reads texts and candidate groups byte for byte, and writes a whole file or none.

Knows the records and nothing of models. A line loses only its terminator, ``\\n`` or ``\\r\\n``; what is not UTF-8, or
looks like another encoding, is refused with its place.
"""

import codecs
import contextlib
import io
import json
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TextIO, cast

from . import interrupt
from .errors import LmscoreError
from .records import Text

log = logging.getLogger(__name__)

STDIN = "-"

COMPRESSED = (".gz", ".zst")


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
        last = next((suffix for suffix in reversed(suffixes) if suffix not in COMPRESSED), "")
        return {".ndjson": cls.jsonl}.get(last) or next((form for form in cls if last == f".{form.value}"), None)


def is_compressed(path: str) -> bool:
    """Whether a file's name says that it is compressed."""
    return path.lower().endswith(COMPRESSED)


class ClosedPipe(Exception):
    """Whoever read our output has gone (``| head``): there is nothing left to do."""


def texts_from_arguments(texts: Iterable[str], context: str | None) -> Iterator[Text]:
    """The texts given on the command line."""
    for index, text in enumerate(texts):
        yield Text(text, context, f"text {index + 1}", index)


def texts_from_file(path: str, context: str | None) -> Iterator[Text]:
    """One text a line.

    Raises:
        LmscoreError: the file cannot be read, is empty, or is not UTF-8.
    """
    if Format.of(path) not in (Format.txt, None):
        log.warning("%s: each line is scored as it stands, as text; lmscore batch reads its columns", path)
    empty = True
    for number, line in _lines(path):
        empty = False
        yield Text(line, context, f"{name_of(path)}, line {number}", number - 1)
    if empty:
        raise LmscoreError(f"{name_of(path)} is empty: there are no texts in it; put one on each line")


def whole_text(path: str, context: str | None) -> Iterator[Text]:
    """A file as one text, its last line end included.

    Raises:
        LmscoreError: as `texts_from_file`.
    """
    with opened(path) as stream:
        data = without_signature(name_of(path), stream.read())
    yield Text(_decoded(data, name_of(path)), context, name_of(path))


def groups_from_lines(path: str, context: str | None, join: str) -> Iterator[tuple[Text, ...]]:
    """A line file as one group of candidates; blank lines are skipped, and said.

    Raises:
        LmscoreError: as `texts_from_file`, or there are no candidates.
    """
    candidates, blank = [], []
    for number, line in _lines(path):
        if line.strip():
            candidates.append(Text(join + line, context, f"{name_of(path)}, line {number}", number - 1))
        else:
            blank.append(str(number))
    if blank:
        log.warning("%s: skipped blank lines, by number: %s", name_of(path), ", ".join(blank))
    if not candidates:
        raise LmscoreError(f"{name_of(path)} has no candidates; put one on each line")
    yield tuple(candidates)


def groups_from_jsonl(path: str, join: str) -> Iterator[tuple[Text, ...]]:
    """A group a line: ``{"context": …, "candidates": […]}``. What other fields there are is said once.

    Raises:
        LmscoreError: as `texts_from_file`, or a line is no such object.
    """
    empty, said = True, False
    for number, line in _lines(path):
        where = f"{name_of(path)}, line {number}"
        if not line.strip():
            log.warning("%s is blank: skipped", where)
            continue
        empty = False
        context, candidates, others = _group(line, where)
        if others and not said:
            said = True
            named = json.dumps(others[0]) + (f" (and {len(others) - 1} more)" if len(others) > 1 else "")
            warning = '%s: %s is not read, only "context" and "candidates"; lmscore batch keeps all fields'
            log.warning(warning, where, named)
        between = join if context else ""
        yield tuple(
            Text(between + candidate, context, f"{where}, candidate {index + 1}", index)
            for index, candidate in enumerate(candidates)
        )
    if empty:
        raise LmscoreError(f'{name_of(path)} has no groups; write {{"context": …, "candidates": […]}} on each line')


def _group(line: str, where: str) -> tuple[str | None, list[str], list[str]]:
    """A line's context and candidates, and the names of its other fields."""
    try:
        group = parsed(line)
    except LmscoreError as err:
        raise LmscoreError(f'{where}: {err}; write {{"context": …, "candidates": […]}} on each line') from err
    context, candidates = group.get("context"), group.get("candidates")
    if context is not None and not isinstance(context, str):
        raise LmscoreError(f'{where}: "context" is not a string; leave it out for none')
    if not isinstance(candidates, list) or not candidates:
        raise LmscoreError(f'{where}: "candidates" is not a list with at least one string; write "candidates": ["…"]')
    for index, candidate in enumerate(candidates, 1):
        if not isinstance(candidate, str):
            raise LmscoreError(f"{where}, candidate {index}: not a string; put quotes around it")
    return context, candidates, [name for name in group if name not in ("context", "candidates")]


def name_of(path: str) -> str:
    """What a path is called in messages."""
    return {STDIN: "stdin", "": "with an empty name"}.get(path, path)


@contextlib.contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A file's bytes, or standard input's; what goes wrong in opening and in reading them, as one line."""
    name = name_of(path)
    try:
        if path == STDIN and sys.stdin is None:  # the shell's <&-
            raise LmscoreError("standard input is closed; name a file")
        with contextlib.nullcontext(sys.stdin.buffer) if path == STDIN else open(path, "rb") as stream:
            yield stream
    except FileNotFoundError as err:
        raise LmscoreError(f"there is no file {name}; check the name, or give - to read standard input") from err
    except OSError as err:
        if path != STDIN and Path(path).is_dir():  # Windows says that access is denied
            raise LmscoreError(f"{name} is a folder; name a file in it") from err
        raise LmscoreError(f"cannot read {name}: {err.strerror or err}; check its permissions") from err


def check_text(path: str) -> None:
    """See that a file can be read as text, before others are.

    Raises:
        LmscoreError: it cannot be opened, or it is compressed.
    """
    if is_compressed(path):
        raise LmscoreError(f"{path} is compressed; unpack it first, or give it to lmscore batch")
    check(path)


def check(path: str) -> None:
    """See that a file can be opened, if that does not take anything from it.

    Raises:
        LmscoreError: it cannot.
    """
    if not is_stream(path):
        with opened(path):
            pass


def is_stream(path: str) -> bool:
    """Whether it can be read only once, from its beginning: standard input, a pipe."""
    return path == STDIN or (Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir())


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, without their terminators."""
    with opened(path) as stream:
        for number, raw in enumerate(stream, 1):  # a binary stream ends a line at \n and nowhere else
            data = without_signature(name_of(path), raw) if number == 1 else raw
            body = data.removesuffix(b"\n")
            if data.endswith(b"\n"):
                body = body.removesuffix(b"\r")
            yield number, _decoded(body, f"{name_of(path)}, line {number}")


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


def _decoded(data: bytes, where: str) -> str:
    try:
        return decoded(data)
    except LmscoreError as err:
        raise LmscoreError(f"{where}: {err}; convert it first, with iconv for instance") from err


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
        raise LmscoreError(f"not UTF-8 at its byte {err.start} (0x{data[err.start]:02x})") from err


def parsed(line: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        LmscoreError: it is none, or has a name twice; says not where it stands.
    """
    try:
        found = json.loads(line, object_pairs_hook=_distinct)
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


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise LmscoreError(f"{json.dumps(twice([name for name, _ in pairs]), ensure_ascii=False)} stands there twice")
    return found


def twice(names: Sequence[str]) -> str | None:
    """The first name that stands there more than once."""
    return None if len(set(names)) == len(names) else next(name for name in names if names.count(name) > 1)


class Sink:
    """A text stream whose failures are told from all others: a reader that has gone, a full disk, a closed stream.

    Put in the place of ``sys.stdout``, it speaks for whoever prints.
    """

    def __init__(self, stream: TextIO | None, name: str = "standard output") -> None:
        self._stream = stream
        self._name = name
        if isinstance(stream, io.TextIOWrapper):  # a notebook's is none
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._watched() as stream:
            return stream.write(text)

    def flush(self) -> None:
        if self._stream is not None:
            with self._watched() as stream:
                stream.flush()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[TextIO]:
        if self._stream is None:  # the shell's >&-
            raise LmscoreError(f"{self._name} is closed; name a file with -o")
        try:
            with _explained(self._name):
                yield self._stream
        except (LmscoreError, ClosedPipe):
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Let what is left in the buffer go nowhere: whoever closes the stream would fail over it once more."""
        with contextlib.suppress(OSError, ValueError, AttributeError):  # no file below
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


class Lasting:
    """A stream that outlasts its reader: what is written once it has gone (``| head``) goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(ClosedPipe):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(ClosedPipe):
            self._stream.flush()


@contextlib.contextmanager
def output(path: str | None, read: Sequence[str] = ()) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name only when it is whole.

    Args:
        read: what is being read, and is not to be replaced.

    Raises:
        LmscoreError: the output cannot be written.
        ClosedPipe: nobody reads it any more.
    """
    if path is None or is_stdout(path):
        sys.stdout.write("")  # where it is closed, that shows before the work is done
        yield sys.stdout
        sys.stdout.flush()
        return
    if not path:
        raise LmscoreError("cannot write a file with an empty name; name one")
    place = Path(path).resolve()  # a link keeps pointing where it does: what it points to is replaced
    if place.is_dir():
        raise LmscoreError(f"cannot write {path}: it is a folder; name a file")
    if any(_same(source, place) for source in read):
        raise LmscoreError(f"{path} is being read, and would be lost; choose another place")
    yield from _device(place) if place.exists() and not place.is_file() else _whole_file(place)


def is_stdout(path: str) -> bool:
    """Whether a path is standard output, as ``-`` or by another name, as /dev/stdout: a file that it was redirected to
    is no file to replace."""
    if path == STDIN:
        return True
    try:
        place = Path(path)
        return place.is_char_device() is False and os.path.samestat(os.fstat(sys.stdout.fileno()), place.stat())
    except (OSError, ValueError, AttributeError):
        return False


def _same(source: str, place: Path) -> bool:
    try:
        read = os.fstat(sys.stdin.fileno()) if source == STDIN else os.stat(source)
        return place.is_file() and os.path.samestat(read, place.stat())
    except (OSError, ValueError, AttributeError):  # a standard input that is no file
        return False


def _device(path: Path) -> Iterator[TextIO]:
    """/dev/null, a named pipe: written as it stands."""
    with _explained(path):
        stream = path.open("w")
    with stream:
        sink = Sink(stream, str(path))
        yield cast(TextIO, sink)
        sink.flush()


def _whole_file(path: Path) -> Iterator[TextIO]:
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")

    def discard() -> None:
        with contextlib.suppress(OSError):  # it has taken its name, or never was
            part.unlink()

    with interrupt.undone(discard):
        with _explained(path):
            stream = part.open("x")
        with stream:
            with _explained(path):
                if path.exists():
                    shutil.copymode(path, part)
            sink = Sink(stream, str(path))
            yield cast(TextIO, sink)
            sink.flush()
            with _explained(path):
                os.fsync(stream.fileno())
        with _explained(path):
            part.replace(path)


@contextlib.contextmanager
def _explained(name: str | Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as err:
        raise ClosedPipe from err
    except OSError as err:
        raise LmscoreError(f"cannot write {name}: {err.strerror or err}; choose another place") from err
