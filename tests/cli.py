"""The command line as tests run it: inside this process, where only what it prints matters; else as a process."""

import io
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest

from lmscore.app import run
from lmscore.scorer import Scorer, open_scorer


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """What the one line says that an expected failure prints on stderr."""
        assert (self.code, self.err.count("\n")) == (1, 1), self
        assert self.err.startswith("error: "), self.err
        return self.err.removeprefix("error: ").rstrip("\n")

    @property
    def misuse(self) -> str:
        """The same of wrong usage, which also says where to read more."""
        assert (self.code, self.err.count("\n")) == (2, 1), self
        assert self.err.startswith("error: ") and self.err.endswith(" --help\n"), self.err
        return self.err.removeprefix("error: ").rpartition("; see ")[0]


OPENED: dict[Any, Scorer] = {}


def opened(model: str, **named: Any) -> Scorer:
    """As `open_scorer`, which takes longer than most tests: a folder that has not changed is opened once."""
    if named.get("threads") is not None or not os.path.isdir(model):
        return open_scorer(model, **named)
    files = [(path.name, path.lstat()) for path in sorted(Path(model).iterdir())]
    states = [(name, state.st_mtime_ns, state.st_size) for name, state in files]
    options = {name: value for name, value in named.items() if name != "report"}
    key = str((model, sorted(options.items()), states))
    if key not in OPENED:
        OPENED[key] = open_scorer(model, **named)
    return OPENED[key]


class Cli:
    """Runs lmscore inside this process, with a model of the tests' own unless another is named."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: Path) -> None:
        self._patch, self._capsys = monkeypatch, capsys
        monkeypatch.setattr("lmscore.scorer.open_scorer", opened)
        for name, value in environment(model).items():
            monkeypatch.setenv(name, value)
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)

    def __call__(self, *words: object, stdin: bytes | TextIO | None = b"") -> Ended:
        """Run a command; ``stdin=None`` is a standard input that the shell closed."""
        stdin = io.TextIOWrapper(io.BytesIO(stdin)) if isinstance(stdin, bytes) else stdin
        self._patch.setattr(sys, "argv", ["lmscore", *map(str, words)])
        self._patch.setattr(sys, "stdin", stdin)
        self._capsys.readouterr()
        logger = logging.getLogger("lmscore")
        before = logger.handlers, logger.propagate, logger.level
        try:
            code = run()
        finally:
            logger.handlers, logger.propagate = before[:2]
            logger.setLevel(before[2])
        return Ended(code, *self._capsys.readouterr())


SETTINGS = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "HF_HUB_OFFLINE", "LMSCORE_CACHE")
"""What the person who runs the tests may have set, and no test may see."""


def environment(model: Path) -> dict[str, str]:
    """What the tests set: their model, and a terminal of 80 columns."""
    return {"LMSCORE_MODEL": str(model), "COLUMNS": "80", "TERM": "xterm-256color"}


def process(*words: object, model: Path, **options: Any) -> "subprocess.Popen[bytes]":
    """Start ``lmscore`` as a process of its own, its streams piped unless `options` say otherwise."""
    env = {**os.environ, **environment(model), **options.pop("env", {})}
    streams = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    return subprocess.Popen([sys.executable, "-m", "lmscore", *map(str, words)], env=env, **{**streams, **options})


def shell(script: str, model: Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a shell's line in which ``lmscore`` is this Python's."""
    line = f'lmscore() {{ "{sys.executable}" -m lmscore "$@"; }}; {script}'
    env = {**os.environ, **environment(model), **options.pop("env", {})}
    return subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, timeout=120, **options)
