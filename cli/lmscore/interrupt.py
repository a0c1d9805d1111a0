"""Ctrl-C and its like: every `finally` runs, no half file stays, and no interruption is lost.

A KeyboardInterrupt that comes half-way through a library's import may be swallowed there, or come out as an error about
a missing module. So it is remembered, and looked at where such work is done.
"""

import signal
import sys

pressed = False
"""Whether Ctrl-C has been pressed."""


def listen() -> None:
    """Take over SIGINT and SIGTERM."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _terminate)


def check() -> None:
    """Interrupt now, if Ctrl-C was pressed and somebody swallowed it."""
    if pressed:
        raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    global pressed
    pressed = True
    raise KeyboardInterrupt


def _terminate(*_: object) -> None:
    sys.exit(128 + signal.SIGTERM)
