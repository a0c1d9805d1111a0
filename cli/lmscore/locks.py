"""A lock file that one process at a time holds, and that goes when it is let go of. Knows not what it guards."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from . import interrupt
from .errors import LmscoreError

if TYPE_CHECKING:
    from filelock import BaseFileLock


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

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        try:
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


def _lock(path: Path) -> "BaseFileLock":
    """The system's lock on the file; on a disk that knows none, as some that clusters share, that the file is there.

    Raises:
        OSError: no file can be made beside it. (In /proc, say, filelock would wait for ever.)
    """
    import filelock

    with tempfile.TemporaryFile(dir=path.parent) as probe:
        try:
            import fcntl

            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except OSError:
            return filelock.SoftFileLock(path)
    return filelock.FileLock(path)
