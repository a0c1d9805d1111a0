"""Failures that are expected: one exception; anything else is a bug and keeps its traceback."""

import re


class LmscoreError(Exception):
    """A failure a user can cause and mend: one line that says what, where, and what to do next."""


class WrongUsage(LmscoreError):
    """What is asked for cannot be, whatever the files hold."""


class RecordError(LmscoreError):
    """One record's own failure: others may be scored nevertheless."""


def one_line(err: Exception) -> str:
    """What a foreign error says, on one line."""
    return re.sub(r"\s+", " ", str(err)).strip()


def first_line(err: BaseException) -> str:
    """How a foreign error begins: its first line, and the second where the first ends in a colon."""
    if isinstance(err, KeyError):
        return f"it knows nothing called {err}"
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    told = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return told.rstrip(".") or type(err).__name__
