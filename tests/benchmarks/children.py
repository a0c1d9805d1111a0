"""Run a part of the benchmark as a process of its own: what it hands back, and its peak memory as the system counts it.

Knows no contestant and imports no torch (see `works`).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


class Failed(Exception):
    """A process ended with an error; the text is the last line it said."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended well.

    Attributes:
        seconds: from its start to its end.
        peak: bytes of memory it held at most, libraries and mapped files included; None where no `wait4` says so.
    """

    out: str
    seconds: float
    peak: int | None


def run(command: Sequence[str], env: Mapping[str, str] = {}) -> Ended:
    """Run a command to its end.

    Raises:
        Failed: its exit code is not 0.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT, env={**os.environ, **OFFLINE, **env}
        )
        peak = wait(process)
        seconds = time.perf_counter() - began
        for stream in (out, err):
            stream.seek(0)
        if process.returncode:
            said = err.read().strip().splitlines() or [f"exit code {process.returncode}"]
            raise Failed(said[-1])
        return Ended(out.read(), seconds, peak)


def call(module: str, job: Any) -> tuple[Any, Ended]:
    """Run a module of this package on a job, and give what it answers; both are JSON, in files.

    Raises:
        Failed: as `run`.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "job.json"), Path(folder, "answer.json")
        asked.write_text(json.dumps(job), encoding="utf-8")
        ended = run([sys.executable, "-m", f"{__package__}.{module}", str(asked), str(answered)])
        return json.loads(answered.read_text(encoding="utf-8")), ended


def wait(process: "subprocess.Popen[Any]") -> int | None:
    """Wait for a process to end, and give the bytes that it held at most; None where no `wait4` says so."""
    if not hasattr(os, "wait4"):  # Windows: time alone
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # macOS counts bytes, Linux KiB
