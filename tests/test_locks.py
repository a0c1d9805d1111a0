"""A lock file: held by one at a time, waited for or not, and gone afterwards."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from lmscore import LmscoreError, locks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fresh" / ".lock"


def nothing() -> None:
    """Wait."""


def test_a_lock_is_there_while_it_is_held(path: Path) -> None:
    with locks.held(path, nothing, "go elsewhere"):
        assert path.exists()
    assert not path.exists()


def test_those_who_wait_hold_it_one_after_the_other(path: Path) -> None:
    inside = most = times = 0

    def ask() -> None:
        nonlocal inside, most, times
        for _ in range(4):
            with locks.held(path, nothing, "go elsewhere"):
                inside, times = inside + 1, times + 1
                most = max(most, inside)
                time.sleep(0.01)
                inside -= 1

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, times) == (1, 12)
    assert not path.exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="only Linux has a folder in which nobody makes files")
def test_where_nothing_can_be_made_nobody_waits() -> None:
    refused = pytest.raises(LmscoreError, match=r"^cannot write into /proc: .*; go elsewhere$")
    with refused, locks.held(Path("/proc/.lock"), nothing, "go elsewhere"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows locks otherwise")
@pytest.mark.parametrize("said", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_that_knows_no_locks_is_no_reason_to_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    """As some that clusters share: there the lock is that the file is there."""

    def refuse(*_: object) -> None:
        raise OSError(said, os.strerror(said))

    def busy() -> None:
        raise AssertionError("nobody holds it")

    monkeypatch.setattr("fcntl.flock", refuse)
    refused = pytest.raises(AssertionError)
    with locks.held(path, busy, "go elsewhere"), refused, locks.held(path, busy, "go elsewhere"):
        pass
    assert not path.exists()


def test_who_will_not_wait_says_so_and_takes_nothing(path: Path) -> None:
    def refuse() -> None:
        raise LmscoreError("another is at work")

    with locks.held(path, nothing, "go elsewhere"):
        with pytest.raises(LmscoreError, match=r"^another is at work$"), locks.held(path, refuse, "go elsewhere"):
            pass
        assert path.exists()
