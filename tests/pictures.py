"""`python -m tests.pictures`: draws the pictures of lmscore's output that README shows, with the default model."""

import shlex
import sys
import tempfile
from pathlib import Path

from . import browser, readme

FOLDER = Path(__file__).parent / "pictures"
STORY = "lmscore score --whole --file sample_inputs/story.txt"
PICTURES = {"heat.svg": f"{STORY} --view heat --svg heat.svg", "report.png": f"{STORY} --html report.html"}
"""Which command each shows."""


def terminal(folder: Path) -> None:
    """Draw what stands in a terminal.

    Raises:
        subprocess.CalledProcessError: the command fails.
    """
    readme.printed(f"{PICTURES['heat.svg']} && cp heat.svg {shlex.quote(str(folder))}")


def page(folder: Path) -> None:
    """Draw a page as it is seen when a token is pointed at.

    Raises:
        FileNotFoundError: there is no browser.
        subprocess.CalledProcessError: the command fails.
    """
    with tempfile.TemporaryDirectory() as written:
        readme.printed(f"{PICTURES['report.png']} && cp report.html {shlex.quote(written)}")
        with browser.opened() as chromium:
            tab = chromium.new_page(viewport={"width": 1100, "height": 800}, color_scheme="light")
            tab.goto(Path(written, "report.html").as_uri())
            tab.locator(".weakest").hover()
            tab.screenshot(path=folder / "report.png")


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    terminal(FOLDER)
    page(FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
