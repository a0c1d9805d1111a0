"""Work that survives being killed: output grows beside its place, and a journal says how much of it is sure.

`OUT.part` takes the name OUT when it is whole. Until then `OUT.journal` holds how many records are done, how long the
part is, and what the run was asked to do; it is replaced in one rename after the part has reached the disk. The same
run, begun again, cuts the part to that length and goes on. Knows neither formats nor scores.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from . import locks
from .errors import LmscoreError
from .sinks import explained, keep_mode

KEPT = "what is done is kept, and the same command goes on from there"

VERSION = 3
"""Raise it when a journal's fields or a part's contents change: older ones are begun again."""

ENDS = 1 << 16
"""Bytes of a file's head and of its tail that tell whether it is still the same."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a run is.

    Attributes:
        records: read so far, bad ones included.
        lengths: sure bytes of each part.
        kept: what the run wants to find again.
        done: nothing is left but to give the parts their names.
    """

    records: int = 0
    lengths: Mapping[str, int] = field(default_factory=dict)
    kept: Any = None
    done: bool = False


class Journal:
    """The parts of a run, and how far it is."""

    def __init__(self, path: Path, pins: Mapping[str, Any], parts: Mapping[str, Path], state: State) -> None:
        self._path, self._pins, self._parts = path, pins, parts
        self.state = state
        self._streams: dict[str, BinaryIO] = {}
        for name, part in parts.items():
            with explained(part, KEPT):
                stream = part.open("r+b" if part.exists() else "w+b")
                stream.truncate(state.lengths.get(name, 0))
                stream.seek(0, os.SEEK_END)
            self._streams[name] = stream

    def write(self, name: str, data: bytes) -> None:
        """Add to a part; it is sure once it is committed."""
        with explained(self._parts[name], KEPT):
            self._streams[name].write(data)

    def commit(self, records: int, kept: Any, done: bool = False) -> None:
        """Bring what was written to the disk, then say so in the journal."""
        for name, stream in self._streams.items():
            with explained(self._parts[name], KEPT):
                stream.flush()
                os.fsync(stream.fileno())
        lengths = {name: stream.tell() for name, stream in self._streams.items()}
        self.state = State(records, lengths, kept, done)
        _write(self._path, self._pins, self.state)

    def finish(self) -> None:
        """All is in its place: the journal goes."""
        with explained(self._path, KEPT):
            settle(self._path.parent)
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the parts."""
        for stream in self._streams.values():
            with contextlib.suppress(OSError):  # a full disk has been named already
                stream.close()


@contextlib.contextmanager
def opened(
    out: Path, pins: Mapping[str, Any], parts: Mapping[str, Path], restart: bool, leaving: Mapping[str, Any]
) -> Iterator[Journal]:
    """Begin a run, or go on with one that was killed. One run at a time has an output.

    Args:
        pins: what must be the same for a run to go on, as JSON: names, and values to compare.
        parts: the files that grow.
        restart: begin again, whatever is there.
        leaving: values that pins may have had before, though they have others now.

    Raises:
        LmscoreError: another run is at work on this output; or what is there was begun with other pins, is damaged, or
            is nothing that lmscore made.
    """
    path = journal_of(out)
    with _locked(out):
        state = None if restart else _found(path, pins, leaving)
        if state is None:
            strange = [part for part in parts.values() if part.exists()]
            if strange and not restart and not path.exists():
                raise LmscoreError(f"{strange[0]} is there, and no journal says what it is; move it, or give --restart")
            state = State()
            _write(path, pins, state)  # before the parts go: from here on it vouches for nothing in them
            with explained(out, KEPT):
                for part in parts.values():
                    part.unlink(missing_ok=True)
        for name, length in state.lengths.items():
            if name not in parts:
                raise LmscoreError(f"{path} is not a journal that lmscore can read; --restart begins again")
            if parts[name].stat().st_size < length if parts[name].exists() else not state.done:
                raise LmscoreError(f"{parts[name]} is gone, or shorter than {path} says; --restart begins again")
        journal = Journal(path, pins, {} if state.done else parts, state)
        try:
            yield journal
        finally:
            journal.close()


def journal_of(out: Path) -> Path:
    """Where an output's journal stands."""
    return out.with_name(f"{out.name}.journal")


def fresh_of(out: Path) -> Path:
    """Where a journal stands while it is written, before it takes the other's place."""
    return out.with_name(f"{out.name}.journal.new")


def lock_of(out: Path) -> Path:
    """Where the lock stands that one run at a time holds."""
    return out.with_name(f"{out.name}.lock")


def settle(folder: Path) -> None:
    """Bring a folder's names to the disk; Windows does that by itself."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fingerprint(path: Path) -> dict[str, Any]:
    """What tells a file from another, without reading all of it.

    Raises:
        LmscoreError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            digest.update(stream.read(ENDS))
            stream.seek(max(status.st_size - ENDS, 0))
            digest.update(stream.read(ENDS))
    except OSError as err:
        raise LmscoreError(f"cannot read {path}: {err.strerror or err}; check its permissions") from err
    return {"size": status.st_size, "mtime": status.st_mtime_ns, "digest": digest.hexdigest()}


def _found(path: Path, pins: Mapping[str, Any], leaving: Mapping[str, Any]) -> State | None:
    """How far the run is that a journal tells of; None where there is none, or nothing to go on from."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        state = State(held["records"], held["lengths"], held["kept"], held["done"])
        if not (isinstance(held["pins"], dict) and isinstance(state.done, bool)):
            raise ValueError("a journal of something else")
        if state.records and not isinstance(state.kept, dict):
            raise ValueError("nothing of what was found")
        version, before = held["version"], held["pins"]
        if not all(isinstance(number, int) and number >= 0 for number in (state.records, *state.lengths.values())):
            raise ValueError("a count that is none")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise LmscoreError(f"{path} is not a journal that lmscore can read; --restart begins again") from err
    if not state.records:
        return None
    if version != VERSION:
        raise LmscoreError(f"{path} is another lmscore's; --restart begins again")
    now = json.loads(json.dumps(pins))
    other = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
    other = [name for name in other if name not in leaving or before.get(name) != leaving[name]]
    if other:
        differs = "; ".join(_difference(name, before.get(name), now.get(name)) for name in other)
        raise LmscoreError(
            f"{path}: this run was begun otherwise: {differs}; give that as before, or --restart begins again"
        )
    return state


def _difference(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) or isinstance(now, dict):
        return f"{name} has changed"
    if all(isinstance(names, list) and all(isinstance(one, str) for one in names) for names in (before, now)):
        gone, new = [one for one in before if one not in now], [one for one in now if one not in before]
        said = [f"no longer {', '.join(gone)}"] * bool(gone) + [f"{', '.join(new)} besides"] * bool(new)
        return f"{name}: {' and '.join(said) or 'another order'}"
    return f"{name} was {json.dumps(before, ensure_ascii=False)}, is {json.dumps(now, ensure_ascii=False)}"


def _write(path: Path, pins: Mapping[str, Any], state: State) -> None:
    held = {"version": VERSION, "pins": pins, "records": state.records, "lengths": dict(state.lengths)}
    out = path.with_suffix("")
    fresh = fresh_of(out)
    with explained(path, KEPT):
        try:
            with fresh.open("w", encoding="utf-8") as stream:
                keep_mode(out, fresh)  # as private as the output: it names records
                json.dump({**held, "kept": state.kept, "done": state.done}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        settle(path.parent)


def _locked(out: Path) -> contextlib.AbstractContextManager[None]:
    def busy() -> None:
        raise LmscoreError(
            f"another lmscore is writing {out}; wait for it, or choose another place with -o; "
            f"if you know that none is, remove {lock_of(out)}"
        )

    return locks.held(lock_of(out), busy, "choose another place with -o")
