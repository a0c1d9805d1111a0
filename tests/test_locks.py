"""A lock file: held by one at a time, waited for or not, and gone afterwards."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lmscore import LmscoreError, download, locks


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


def test_who_will_not_wait_says_so_and_takes_nothing(path: Path) -> None:
    def refuse() -> None:
        raise LmscoreError("another is at work")

    with locks.held(path, nothing, "go elsewhere"):
        with pytest.raises(LmscoreError, match=r"^another is at work$"), locks.held(path, refuse, "go elsewhere"):
            pass
        assert path.exists()


@contextmanager
def kept_out_of(folder: Path) -> Iterator[None]:
    """Somebody who may not look into a folder; root may look into all, so it is somebody else meanwhile."""
    folder.chmod(0)
    if as_root := os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if as_root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="whoever owns a folder may look into it on Windows")
def test_a_cache_that_may_not_be_looked_into_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSCORE_CACHE", str(tmp_path / "theirs" / "cache"))
    (tmp_path / "theirs").mkdir()
    with kept_out_of(tmp_path / "theirs"):
        assert not any(holding.folder for holding in download.holdings())
        with pytest.raises(LmscoreError, match=r"^cannot write into .*: Permission denied; set LMSCORE_CACHE to "):
            download.fetch(next(iter(download.holdings())).entry)
