"""A browser for the tests and the pictures: a Chromium of the system's, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executable() -> Path | None:
    """Where it is, if there is one."""
    return next((Path(found) for found in map(shutil.which, NAMES) if found), None)


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser without a window.

    Raises:
        FileNotFoundError: there is none.
    """
    found = executable()
    if found is None:
        raise FileNotFoundError(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        try:
            yield browser
        finally:
            browser.close()
