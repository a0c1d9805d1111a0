"""`python -m tests.benchmarks.dataset`: does `lmscore batch` stay as small with a million lines as with ten thousand?

A random model of a few thousand weights, so that what is measured is all around it. Shows, for each size, seconds until
the first record is written and until the last, and peak memory by the operating system's accounting; and that Ctrl-C
leaves what the same command finishes, to the same bytes.
"""

import argparse
import filecmp
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics

from rich.console import Console
from rich.table import Table

from . import children

SIZES = (10_000, 1_000_000)
WORDS_A_LINE = 6


@dataclass(frozen=True, slots=True)
class Scored:
    """A dataset that was scored.

    Attributes:
        first: seconds until something was written.
        peak: bytes; None where the system does not say.
    """

    lines: int
    first: float
    seconds: float
    peak: int | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 where an interrupted run does not end in the same file."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.dataset", description=__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=SIZES, metavar="N", help="sizes (default: %(default)s)")
    wanted = parser.parse_args(arguments)
    table = Table("lines", "first s", "all s", "lines/s", "peak MB", box=None)
    with tempfile.TemporaryDirectory() as folder:
        children.call("random_model", [folder, "tiny"])
        for lines in wanted.lines:
            source, out = Path(folder, f"{lines}.txt"), Path(folder, f"{lines}.jsonl")
            write(source, lines)
            one = score(source, out, lines)
            peak = "" if one.peak is None else f"{one.peak / 1e6:,.0f}"
            table.add_row(f"{lines:,}", f"{one.first:.1f}", f"{one.seconds:.1f}", f"{lines / one.seconds:,.0f}", peak)
        whole, out = out, out.with_name("again.jsonl")
        code = interrupt(source, out, whole.stat().st_size // 3)
        halfway = out.with_name(f"{out.name}.journal").exists()
        score(source, out, lines)
        same = filecmp.cmp(whole, out, shallow=False)
    Console().print(table)
    print(f"Ctrl-C halfway: exit code {code}, {'a' if halfway else 'no'} journal; finished, the file is", end=" ")
    print("the same" if same else "another")
    return int(not same or code != 130)


def write(path: Path, lines: int) -> None:
    """Lines of a few words each."""
    chance, words = random.Random(4), re.findall(r"\w+", topics.topics["assignment"])
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(" ".join(chance.choices(words, k=WORDS_A_LINE)) + "\n" for _ in range(lines))


def score(source: Path, out: Path, lines: int) -> Scored:
    """Score a file of lines, as a process of its own.

    Raises:
        children.Failed: it fails.
    """
    began = time.perf_counter()
    process = _started(source, out)
    _wait(process, out, 1)
    first = time.perf_counter() - began
    peak = children.wait(process)
    if process.returncode:
        raise children.Failed(f"lmscore batch: exit code {process.returncode}")
    return Scored(lines, first, time.perf_counter() - began, peak)


def _wait(process: "subprocess.Popen[bytes]", out: Path, size: int) -> None:
    """Wait until so many bytes are written, or it has ended."""
    part = out.with_name(f"{out.name}.part")
    while not _ended(process) and not (part.exists() and part.stat().st_size >= size):
        time.sleep(0.005)


def _ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it has; its end is left for `children.wait` to see."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def interrupt(source: Path, out: Path, after: int) -> int:
    """Press Ctrl-C once so many bytes are written, and give the exit code that a shell would."""
    process = _started(source, out)
    _wait(process, out, after)
    process.send_signal(signal.SIGINT)
    code = process.wait()
    return 128 - code if code < 0 else code


def _started(source: Path, out: Path) -> "subprocess.Popen[bytes]":
    words = ["batch", str(source), "-o", str(out), "-m", str(source.parent), "--columns", "total_logprob", "-q"]
    env = {**os.environ, **children.OFFLINE}
    return subprocess.Popen([sys.executable, "-m", "lmscore", *words], env=env, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
