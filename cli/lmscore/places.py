"""Where a run over a dataset writes: its output, what stands beside that while it works.

Knows no records and no scores.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import journal
from .errors import LmscoreError, WrongUsage
from .files import is_device
from .sinks import is_stdout, place_of


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run writes: its output, and beside it what is there while it works.

    Attributes:
        out: takes its name when it is whole.
    """

    out: Path

    @classmethod
    def of(cls, out: str, summaries: Mapping[str, str | None], sources: Sequence[str]) -> "Places":
        """Find all of them, and hold them against each other, against what is read, and against where summaries go.

        Args:
            summaries: by the option that names one; standard output and None are no files.

        Raises:
            WrongUsage: two of them are one.
            LmscoreError: there is no such place, or something else stands there.
        """
        places = cls(place_of(out, sources))
        if is_device(places.out):
            raise LmscoreError(f"cannot write {out}: it is no file; name one with -o")
        beside = (places.errors, *places.parts.values(), places.gathered)
        of_journal = [where(places.out) for where in (journal.journal_of, journal.fresh_of, journal.lock_of)]
        taken = (places.out, *beside, *of_journal)
        for place in taken:
            place_of(str(place), sources)
        found = dict[str, Path]()
        for option, path in summaries.items():
            if path is None or is_stdout(path):
                continue
            found[option] = place_of(path, sources)
            if found[option] in taken:
                raise WrongUsage(f"{option} {path} is where the records go; choose another place")
        files = [place for place in found.values() if str(place) != os.devnull]
        if len(set(files)) < len(files):
            raise WrongUsage(f"{' and '.join(found)} name the same file; choose another for one of them")
        return places

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
