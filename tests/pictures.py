"""`python -m tests.pictures`: draws the pictures of lmscore's output that README shows, with the default model."""

import shlex
import sys
from pathlib import Path

from . import readme

FOLDER = Path(__file__).parent / "pictures"
PICTURES = {"heat.svg": "lmscore score --whole --file sample_inputs/story.txt --view heat"}
"""Which command each shows."""


def draw(folder: Path) -> None:
    """Draw all of them.

    Raises:
        subprocess.CalledProcessError: a command fails.
    """
    for name, command in PICTURES.items():
        readme.printed(f"{command} --svg {shlex.quote(str(folder / name))}")


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    draw(FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
