"""README.md's ``console`` blocks: commands, and what they print. Checks them, or with --write brings them up to date.

    python -m tests.readme                  all of them; most run the default model
    python -m tests.readme --only=--help    usage alone, in seconds
    python -m tests.readme --write          write what the commands print now into README.md

Knows how a block is written and how to run it, and nothing of lmscore.
"""

import argparse
import difflib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*\n)(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")

TOLERANCE = 2e-3
"""How far a figure may be from README's: other processors and torch releases round the last digits otherwise."""


@dataclass(frozen=True, slots=True)
class Example:
    """A command in README.md, what README says it prints, and where that stands."""

    command: str
    output: str
    start: int
    end: int


def fenced(text: str, kind: str) -> list[str]:
    """The bodies of the fenced blocks of one kind."""
    return [block["body"] for block in FENCE.finditer(text) if block["kind"] == kind]


def setup_commands(text: str) -> list[str]:
    """The set-up commands: .ci/run finds them by the same rule."""
    return [line for body in fenced(text, "sh") for line in body.splitlines() if line.startswith("pip install ")]


def examples(text: str) -> Iterator[Example]:
    """Every ``$ command`` of the console blocks; one that ends in a backslash goes on in the next line."""
    for block in FENCE.finditer(text):
        if block["kind"] == "console":
            for found in EXAMPLE.finditer(text, block.start("body"), block.end("body")):
                yield Example(found["command"], found["output"], found.start("output"), found.end("output"))


def printed(command: str) -> str:
    """What a command prints on stdout, 80 columns wide and plain, in a folder that holds sample_inputs and goes again.

    Raises:
        subprocess.CalledProcessError: the command fails.
    """
    names = ("LMSCORE_MODEL", "FORCE_COLOR", "PY_COLORS", "TERMINAL_WIDTH", "GITHUB_ACTIONS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    shell = ["bash", "-o", "pipefail", "-c", command]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "sample_inputs", Path(folder, "sample_inputs"))
        done = subprocess.run(shell, cwd=folder, env=environment, check=True, **streams)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def agree(written: str, now: str) -> bool:
    """Whether two outputs say the same: alike but for spaces, and figures within the tolerance."""
    if NUMBER.sub("#", written).split() != NUMBER.sub("#", now).split():
        return False
    pairs = zip(map(float, NUMBER.findall(written)), map(float, NUMBER.findall(now)), strict=True)
    return all(math.isclose(before, after, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for before, after in pairs)


def difference(example: Example, now: str) -> str:
    """What README says and what the command prints, for a person."""
    lines = difflib.unified_diff(example.output.splitlines(), now.splitlines(), "README.md", "now", lineterm="", n=1)
    return "\n".join([f"$ {example.command.rstrip()}", *lines])


def main() -> int:
    """Check or rewrite README.md; 1 if it had drifted and was not rewritten."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write what the commands print now into README.md")
    parser.add_argument("--only", default="", metavar="WORD", help="only the commands that contain this")
    chosen = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    drifted = 0
    for example in reversed([example for example in examples(text) if chosen.only in example.command]):
        now = printed(example.command)
        if agree(example.output, now):
            continue
        drifted += 1
        print(difference(example, now))
        text = text[: example.start] + now + text[example.end :]
    if drifted and chosen.write:
        README.write_text(text, encoding="utf-8")
        print(f"README.md: {drifted} outputs brought up to date")
    elif drifted:
        print(f"README.md has drifted in {drifted} places; run: python -m tests.readme --write", file=sys.stderr)
    return int(bool(drifted) and not chosen.write)


if __name__ == "__main__":
    sys.exit(main())
