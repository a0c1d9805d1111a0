"""Ctrl-C and its like: they end the program at once, wherever it is, and nothing half done stays behind.

Not by an exception: one that is raised half-way through a library's import may be swallowed there, or printed as
ignored, or abort the process from C++. So whoever makes something that must not stay says here how to undo it. A
program that uses lmscore as a library keeps its own signals, and the same is undone as its exceptions pass.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_undoing: list[Callable[[], object]] = []
_telling: list[str] = []


def listen() -> None:
    """Take over SIGINT and SIGTERM, for a shell's exit codes 130 and 143; and SIGHUP, unless it is ignored (nohup)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        signal.signal(hangup, _end)


@contextmanager
def undone(undo: Callable[[], object]) -> Iterator[None]:
    """Call `undo` when the block ends, however it does. It may be called twice."""
    _undoing.append(undo)
    try:
        yield
    finally:
        undo()
        _undoing.remove(undo)


@contextmanager
def told(line: str) -> Iterator[None]:
    """Say a line on stderr if the program is ended inside the block."""
    _telling.append(line)
    try:
        yield
    finally:
        _telling.remove(line)


def _end(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # who presses twice does not want less undone
    for undo in reversed(_undoing):
        with suppress(Exception):
            undo()
    with suppress(OSError):
        os.write(2, "".join(f"{line}\n" for line in _telling).encode())
    if os.name == "posix":  # die of it: a shell that sees a mere exit code goes on with its loop
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(128 + number)  # also a container's first process, which no signal ends by default
