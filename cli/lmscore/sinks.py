"""Where output goes: standard output, or a file that takes its name only when it is whole.

Tells a reader that has gone, a full disk and a closed stream from all other failures. Knows nothing of what is written.
"""

import contextlib
import io
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from . import interrupt
from .errors import LmscoreError
from .files import STDIN, is_device


class ClosedPipe(Exception):
    """Whoever read our output has gone (``| head``): there is nothing left to do."""


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
            raise LmscoreError(f"{self._name} is closed; open it: > FILE")
        try:
            with explained(self._name):
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
    place = place_of(path, read)
    yield from _device(place) if is_device(place) else _whole_file(place)


def place_of(path: str, read: Sequence[str] = ()) -> Path:
    """Where a file is to stand: a link keeps pointing where it does, and what it points to is replaced.

    A device, or the pipe of a shell's ``>(…)``, keeps the name that it was given.

    Args:
        read: what is being read, and is not to be replaced.

    Raises:
        LmscoreError: nothing can be written there, as far as that can be seen without trying.
    """
    if not path:
        raise LmscoreError("cannot write a file with an empty name; name one")
    place = Path(path)
    if is_device(place):
        return place
    place = Path(os.path.realpath(path))
    if os.path.isdir(place):
        raise LmscoreError(f"cannot write {path}: it is a folder; name a file")
    if any(_same(source, place) for source in read):
        raise LmscoreError(f"{path} is being read, and would be lost; choose another place")
    with explained(path), contextlib.suppress(FileNotFoundError):
        place.stat()  # a name too long, links in a circle, a folder that may not be looked into
    if not os.path.isdir(place.parent):
        raise LmscoreError(f"cannot write {path}: there is no folder {place.parent}; make it first")
    if not os.access(place.parent, os.W_OK):
        raise LmscoreError(f"cannot write {path}: {place.parent} may not be written to; choose another place")
    return place


def keep_mode(place: Path, follower: Path) -> None:
    """Let those read what will stand at a place who may read what stands there; its owner may write it as well."""
    if place.exists():
        follower.chmod(stat.S_IMODE(place.stat().st_mode) | stat.S_IRUSR | stat.S_IWUSR)


def is_stdout(path: str) -> bool:
    """Whether a path is standard output, as ``-`` or by another name, as /dev/stdout: a file that it was redirected to
    is no file to replace. What goes nowhere is nobody's."""
    if path == STDIN:
        return True
    try:
        place = os.stat(path)
        ours = os.path.samestat(os.fstat(sys.stdout.fileno()), place)
        return ours and not os.path.samestat(place, os.stat(os.devnull))
    except (OSError, ValueError, AttributeError):
        return False


def _same(source: str, place: Path) -> bool:
    try:
        read = os.fstat(sys.stdin.fileno()) if source == STDIN else os.stat(source)
        return os.path.isfile(place) and os.path.samestat(read, place.stat())
    except (OSError, ValueError, AttributeError):  # a standard input that is no file
        return False


def _device(path: Path) -> Iterator[TextIO]:
    """/dev/null, a named pipe: written as it stands."""
    with explained(path):
        stream = path.open("w")
    with stream:
        sink = Sink(stream, str(path))
        yield cast(TextIO, sink)
        sink.flush()


def _whole_file(path: Path) -> Iterator[TextIO]:
    part = path.with_name(f".{path.name[:40]}.{os.urandom(4).hex()}.part")

    def discard() -> None:
        with contextlib.suppress(OSError):  # it has taken its name, or never was
            part.unlink()

    with interrupt.undone(discard):
        with explained(path):
            stream = part.open("x")
        with stream:
            with explained(path):
                keep_mode(path, part)
            sink = Sink(stream, str(path))
            yield cast(TextIO, sink)
            sink.flush()
            with explained(path):
                os.fsync(stream.fileno())
        with explained(path):
            part.replace(path)


@contextlib.contextmanager
def explained(name: str | Path, advice: str = "choose another place") -> Iterator[None]:
    """A failure to write, as one line that ends in advice; a reader that has gone is none."""
    try:
        yield
    except BrokenPipeError as err:
        raise ClosedPipe from err
    except OSError as err:
        raise LmscoreError(f"cannot write {name}: {err.strerror or err}; {advice}") from err
