"""Where a run over a dataset writes: its output, what stands beside that while it works, and files that sum it up."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import journal
from .errors import LmscoreError
from .files import STDIN


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run writes: its output, and beside it what is there while it works.

    Attributes:
        out: takes its name when it is whole.
        summaries: where what it adds up to is written, by the option that says so.
    """

    out: Path
    summaries: Mapping[str, Path]

    @property
    def parts(self) -> dict[str, Path]:
        """What grows: the output, and the records that could not be scored."""
        return {"out": self._beside(".part"), "errors": self._beside(".errors.jsonl.part")}

    @property
    def errors(self) -> Path:
        """Where the records that could not be scored are, once it is whole."""
        return self._beside(".errors.jsonl")

    @property
    def gathered(self) -> Path:
        """A Parquet file before it takes its name."""
        return self._beside(".whole")

    def _beside(self, ending: str) -> Path:
        return self.out.with_name(self.out.name + ending)

    def check(self, sources: Sequence[str]) -> None:
        """Hold all of them against each other and against what is read.

        Raises:
            LmscoreError: there is no such place, or something else stands there.
        """
        out = self.out
        if not out.parent.is_dir():
            raise LmscoreError(f"cannot write {out}: there is no folder {out.parent}; make it first")
        if out.exists() and not out.is_file():
            raise LmscoreError(f"cannot write {out}: it is no file; name one with -o")
        if not os.access(out.parent, os.W_OK):
            raise LmscoreError(f"cannot write {out}: {out.parent} may not be written to; choose another place with -o")
        taken = [out, self.errors, *self.parts.values(), self.gathered, journal.journal_of(out), journal.lock_of(out)]
        for path in (Path(source).resolve() for source in sources if source != STDIN):
            if path in taken or (out.exists() and path.exists() and out.samefile(path)):
                raise LmscoreError(f"{path} is being read, and would be lost; choose another place with -o")
            for option, summary in self.summaries.items():
                if path == summary:
                    raise LmscoreError(f"{path} is being read, and would be lost; choose another {option}")
        for path in taken:
            path.exists()  # raises where a name is too long
        for option, summary in self.summaries.items():
            if summary in taken:
                raise LmscoreError(f"{option} {summary} is where the records go; choose another place")
            if not summary.parent.is_dir():
                raise LmscoreError(f"cannot write {summary}: there is no such folder; make it first")
            if summary.is_dir():
                raise LmscoreError(f"cannot write {summary}: it is a folder; name a file")
            replaced = summary.is_file() or not summary.exists()  # a device is written as it stands
            if replaced and not os.access(summary.parent, os.W_OK):
                raise LmscoreError(
                    f"cannot write {summary}: {summary.parent} may not be written to; choose another place"
                )
        if len(set(self.summaries.values())) < len(self.summaries):
            raise LmscoreError(f"{' and '.join(self.summaries)} name the same file; choose another for one of them")
