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
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from .errors import LmscoreError
from .records import Text

log = logging.getLogger(__name__)

STDIN = "-"


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
    if path.endswith(".jsonl"):
        log.warning("%s: each line is scored as it stands, as text; score does not look into JSON", path)
    empty = True
    for number, line in _lines(path):
        empty = False
        yield Text(line, context, f"{_name(path)}, line {number}", number - 1)
    if empty:
        raise LmscoreError(f"{_name(path)} is empty: there are no texts in it; put one on each line")


def whole_text(path: str, context: str | None) -> Iterator[Text]:
    """A file as one text, its last line end included.

    Raises:
        LmscoreError: as `texts_from_file`.
    """
    with _opened(path) as stream:
        data = _without_signature(_name(path), stream.read())
    yield Text(_decoded(data, _name(path), 0), context, _name(path))


def groups_from_lines(path: str, context: str | None, join: str) -> Iterator[tuple[Text, ...]]:
    """A line file as one group of candidates; blank lines are skipped, and said.

    Raises:
        LmscoreError: as `texts_from_file`, or there are no candidates.
    """
    candidates, blank = [], []
    for number, line in _lines(path):
        if line.strip():
            candidates.append(Text(join + line, context, f"{_name(path)}, line {number}", number - 1))
        else:
            blank.append(str(number))
    if blank:
        log.warning("%s: blank lines skipped: %s", _name(path), ", ".join(blank))
    if not candidates:
        raise LmscoreError(f"{_name(path)} has no candidates; put one on each line")
    yield tuple(candidates)


def groups_from_jsonl(path: str, join: str) -> Iterator[tuple[Text, ...]]:
    """A group a line: ``{"context": …, "candidates": […]}``.

    Raises:
        LmscoreError: as `texts_from_file`, or a line is no such object.
    """
    empty = True
    for number, line in _lines(path):
        where = f"{_name(path)}, line {number}"
        if not line.strip():
            log.warning("%s is blank: skipped", where)
            continue
        empty = False
        context, candidates = _group(line, where)
        yield tuple(
            Text(join + candidate, context, f"{where}, candidate {index + 1}", index)
            for index, candidate in enumerate(candidates)
        )
    if empty:
        raise LmscoreError(f'{_name(path)} has no groups; write {{"context": …, "candidates": […]}} on each line')


def _group(line: str, where: str) -> tuple[str | None, list[str]]:
    try:
        group: Any = json.loads(line)
    except json.JSONDecodeError as err:
        raise LmscoreError(f"{where}: not JSON ({err.msg} at column {err.colno}); write one object a line") from err
    except (RecursionError, ValueError) as err:  # nested beyond reason, or a number of thousands of digits
        raise LmscoreError(f"{where}: JSON that Python does not read ({err}); write one flat object a line") from err
    if not isinstance(group, dict):
        raise LmscoreError(f'{where}: not an object; write {{"context": …, "candidates": […]}}')
    context, candidates = group.get("context"), group.get("candidates")
    if context is not None and not isinstance(context, str):
        raise LmscoreError(f'{where}: "context" is not a string; leave it out for none')
    if not isinstance(candidates, list) or not all(isinstance(candidate, str) for candidate in candidates):
        raise LmscoreError(f'{where}: "candidates" is not a list of strings')
    if not candidates:
        raise LmscoreError(f'{where}: "candidates" is empty; give at least one')
    return context, candidates


def _name(path: str) -> str:
    return "stdin" if path == STDIN else path


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == STDIN:
        if sys.stdin is None:  # closed by the shell, with <&-
            raise LmscoreError("standard input is closed; name a file")
        yield sys.stdin.buffer
        return
    try:
        stream = Path(path).open("rb")  # noqa: SIM115  closed below: only its opening is explained here
    except FileNotFoundError as err:
        raise LmscoreError(
            f"there is no file {path}; to score those words themselves, give them without --file"
        ) from err
    except IsADirectoryError as err:
        raise LmscoreError(f"{path} is a folder; name a file in it") from err
    except OSError as err:
        if Path(path).is_dir():  # Windows says that access is denied
            raise LmscoreError(f"{path} is a folder; name a file in it") from err
        raise LmscoreError(f"cannot read {path}: {err.strerror}") from err
    with stream:
        yield stream


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, without their terminators."""
    with _opened(path) as stream:
        offset = 0
        for number, raw in enumerate(stream, 1):  # a binary stream ends a line at \n and nowhere else
            data = _without_signature(_name(path), raw) if number == 1 else raw
            offset += len(raw) - len(data)
            body = data.removesuffix(b"\n")
            if body is not data:
                body = body.removesuffix(b"\r")
            yield number, _decoded(body, f"{_name(path)}, line {number}", offset)
            offset += len(data)


def _without_signature(name: str, data: bytes) -> bytes:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise LmscoreError(f"{name} is UTF-16; convert it first, with `iconv -f UTF-16 -t UTF-8` for instance")
    if data.startswith(codecs.BOM_UTF8):
        log.warning("%s opens with a UTF-8 byte order mark, which is not part of the text: left out", name)
        return data.removeprefix(codecs.BOM_UTF8)
    return data


def _decoded(data: bytes, where: str, offset: int) -> str:
    if (at := data.find(b"\0")) >= 0:
        raise LmscoreError(
            f"{where}: a NUL at byte {offset + at}; this is a binary file or another encoding (JSON may write \\u0000)"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise LmscoreError(
            f"{where}: not UTF-8 at byte {offset + err.start} (0x{data[err.start]:02x}); "
            "convert it first, with iconv for instance"
        ) from err


@contextlib.contextmanager
def output(path: str | None) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name only when it is whole.

    Raises:
        LmscoreError: the file cannot be written.
        ClosedPipe: nobody reads standard output any more.
    """
    if path is None or path == STDIN:
        yield from _standard_output()
    else:
        yield from _whole_file(Path(path))


def _standard_output() -> Iterator[TextIO]:
    if isinstance(sys.stdout, io.TextIOWrapper):  # a notebook's, or a test's, is none
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError as err:
        # What is left in the buffer has nowhere to go; without this the interpreter complains when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ClosedPipe from err


def _whole_file(path: Path) -> Iterator[TextIO]:
    path = path.resolve()  # a link keeps pointing where it does: what it points to is replaced
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            if path.is_dir():
                raise LmscoreError(f"cannot write {path}: it is a folder; name a file")
            with path.open("w", encoding="utf-8", newline="\n") as device:  # /dev/null, a named pipe
                yield device
            return
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as err:
        raise LmscoreError(f"cannot write {path}: {err.strerror}; choose another place with -o") from err
    part = Path(name)
    try:
        try:
            with open(handle, "w", encoding="utf-8", newline="\n") as stream:
                yield stream
                stream.flush()
                os.fsync(handle)
            _take_mode(part, path)
            part.replace(path)
        except OSError as err:
            raise LmscoreError(f"cannot write {path}: {err.strerror}; nothing was written") from err
    finally:
        part.unlink(missing_ok=True)


def _take_mode(part: Path, path: Path) -> None:
    """The permissions of the file that is replaced, or what a new file gets."""
    if path.exists():
        shutil.copymode(path, part)
    else:
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
