"""Write a converted model as others read it: `python -m tests.benchmarks.saved JOB ANSWER`; the job is [folder, place].

A process of its own: what the benchmark's held would count as the peak of all that it starts.
"""

import json
import sys
from pathlib import Path

from ..converted import as_saved


def main(asked: str, answered: str) -> None:
    folder, place = json.loads(Path(asked).read_text(encoding="utf-8"))
    as_saved(Path(folder), Path(place))
    Path(answered).write_text("null", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
