"""A lock file: held by one at a time, waited for or not, and gone afterwards with the folder that was made for it."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lmscore import LmscoreError, download, locks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fresh" / ".lock"


def nothing() -> None:
    """Wait."""


def waiting(path: Path, busy: Callable[[], object] = nothing) -> tuple[threading.Thread, list[str]]:
    """A thread that asks for a lock that is held, and what it says: that it holds it, or why not."""
    said, asked = list[str](), threading.Event()

    def busy_or_not() -> None:
        asked.set()
        busy()

    def ask() -> None:
        try:
            with locks.held(path, busy_or_not, "go elsewhere"):
                said.append("held")
        except LmscoreError as err:
            said.append(str(err))

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(60)
    return thread, said


def test_a_lock_goes_with_the_folder_that_was_made_for_it(path: Path) -> None:
    with locks.held(path, nothing, "go elsewhere"):
        assert path.exists()
    assert not path.parent.exists()


def test_a_folder_that_something_has_come_into_stays(path: Path) -> None:
    with locks.held(path, nothing, "go elsewhere"):
        path.with_name("work").touch()
    assert [place.name for place in path.parent.iterdir()] == ["work"]


def test_who_waits_gets_it_though_the_folder_went_with_it(path: Path) -> None:
    with locks.held(path, nothing, "go elsewhere"):
        waiters = [waiting(path) for _ in range(3)]
        assert not any(said for _, said in waiters)
    for thread, said in waiters:
        thread.join(60)
        assert said == ["held"]
    assert not path.parent.exists()


def test_who_will_not_wait_says_so_and_takes_nothing(path: Path) -> None:
    def refuse() -> None:
        raise LmscoreError("another is at work")

    with locks.held(path, nothing, "go elsewhere"):
        thread, said = waiting(path, refuse)
        thread.join(60)
        assert said == ["another is at work"]
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
