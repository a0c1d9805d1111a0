"""Reads texts and candidate groups, from files and from standard input, byte for byte.

Knows the records and nothing of models. A line loses only its terminator, ``\\n`` or ``\\r\\n``; what is not UTF-8, or
looks like another encoding, is refused with its place.
"""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import LmscoreError
from .formats import Format, compression, decoded, parsed, unended, without_signature
from .records import Text

log = logging.getLogger(__name__)

STDIN = "-"

ONCE = f"{STDIN} stands for standard input, which can be read only once"

AS_TEXT = "%s: each line is %s as it stands, as text; lmscore batch reads its columns"


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
        log.warning(AS_TEXT, path, "scored")
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


def groups_from_lines(path: str, context: str | None) -> Iterator[tuple[Text, ...]]:
    """A line file as one group of candidates; blank lines are skipped, and said.

    Raises:
        LmscoreError: as `texts_from_file`, or there are no candidates.
    """
    if Format.of(path) not in (Format.txt, Format.jsonl, None):
        log.warning(AS_TEXT, path, "ranked")
    candidates, blank = [], []
    for number, line in _lines(path):
        if line.strip():
            candidates.append(Text(line, context, f"{name_of(path)}, line {number}", number - 1))
        else:
            blank.append(str(number))
    if blank:
        log.warning("%s: skipped blank lines, by number: %s", name_of(path), ", ".join(blank))
    if not candidates:
        raise LmscoreError(f"{name_of(path)} has no candidates; put one on each line")
    yield tuple(candidates)


def groups_from_jsonl(path: str) -> Iterator[tuple[Text, ...]]:
    """A group a line: ``{"context": …, "candidates": […]}``. What other fields there are is said, of each once.

    Raises:
        LmscoreError: as `texts_from_file`, or a line is no such object.
    """
    empty, said = True, set[str]()
    for number, line in _lines(path):
        where = f"{name_of(path)}, line {number}"
        if not line.strip():
            log.warning("%s is blank: skipped", where)
            continue
        empty = False
        context, candidates, others = _group(line, where)
        if others := [name for name in others if name not in said]:
            said.update(others)
            named = json.dumps(others[0], ensure_ascii=False) + (
                f" (and {len(others) - 1} more)" if len(others) > 1 else ""
            )
            warning = '%s: %s is not read, only "context" and "candidates"; lmscore batch keeps all fields'
            log.warning(warning, where, named)
        yield tuple(
            Text(candidate, context, f"{where}, candidate {index + 1}", index)
            for index, candidate in enumerate(candidates)
        )
    if empty:
        raise LmscoreError(f'{name_of(path)} has no groups; write {{"context": …, "candidates": […]}} on each line')


def _group(line: str, where: str) -> tuple[str | None, list[str], list[str]]:
    """A line's context and candidates, and the names of its other fields."""
    try:
        group = parsed(line)
    except LmscoreError as err:
        raise LmscoreError(f'{where}: {err}; a line is {{"context": …, "candidates": […]}}') from err
    context, candidates = group.get("context"), group.get("candidates")
    if context is not None and not isinstance(context, str):
        raise LmscoreError(f'{where}: "context" is not a string; leave it out for none')
    if "candidates" not in group:
        own = "or name your own by lmscore batch --candidates-column"
        raise LmscoreError(f'{where}: there is no "candidates"; write "candidates": ["…"], {own}')
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
        if path != STDIN and os.path.isdir(path):  # Windows says that access is denied
            raise LmscoreError(f"{name} is a folder; name a file in it") from err
        raise LmscoreError(f"cannot read {name}: {err.strerror or err}; check its permissions") from err


def check_text(path: str) -> None:
    """See that a file can be read as text, before others are.

    Raises:
        LmscoreError: it cannot be opened, or it is compressed.
    """
    if compression(path):
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
    return path == STDIN or is_device(path)


def is_device(path: str | Path) -> bool:
    """Whether no file and no folder stands there but a terminal, a pipe and the like."""
    # Not by pathlib, which raises where a folder may not be looked into.
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, without their terminators."""
    with opened(path) as stream:
        for number, raw in enumerate(stream, 1):  # a binary stream ends a line at \n and nowhere else
            data = without_signature(name_of(path), raw) if number == 1 else raw
            yield number, _decoded(unended(data), f"{name_of(path)}, line {number}")


def _decoded(data: bytes, where: str) -> str:
    try:
        return decoded(data)
    except LmscoreError as err:
        raise LmscoreError(f"{where}: {err}") from err
