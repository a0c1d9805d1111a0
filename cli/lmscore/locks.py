"""A lock file that one process at a time holds, and that goes when it is let go of. Knows not what it guards."""

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from . import interrupt
from .errors import LmscoreError


@contextlib.contextmanager
def held(path: Path, busy: Callable[[], object], advice: str) -> Iterator[None]:
    """Hold a lock. Its folder is made where there is none, and stays: others may wait in it.

    Args:
        busy: called where another process holds it; if that raises nothing, it is waited for.
        advice: what to do where nothing can be written.

    Raises:
        LmscoreError: nothing can be written there.
    """
    import filelock

    lock = filelock.FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()  # where none can be, as in /proc, filelock waits for ever
        try:
            with warnings.catch_warnings():  # a disk that knows no locks: that the file is there is one, then
                warnings.simplefilter("ignore", UserWarning)
                lock.acquire(timeout=0)
        except filelock.Timeout:
            busy()
            lock.acquire()
    except OSError as err:
        raise LmscoreError(f"cannot write into {path.parent}: {err.strerror or err}; {advice}") from err

    def leave() -> None:
        if not lock.is_locked:  # it may be called twice, and another process may hold it by then
            return
        with contextlib.suppress(OSError):  # Windows does not delete an open file; an empty one may stay there
            path.unlink()
        lock.release()

    with interrupt.undone(leave):
        yield
