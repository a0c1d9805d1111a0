"""``python -m lmscore`` and the ``lmscore`` script: run the app, and turn how it ended into an exit code."""

import os
import sys

from . import interrupt


def main() -> int:
    """Run the command line; 0 done, 1 an expected failure, 2 wrong usage, 130 interrupted, 143 terminated."""
    interrupt.listen()
    fill_closed_streams()
    try:
        from .app import run

        code = run()
    except BaseException:  # an interruption may come out of a half-done import as anything
        if not interrupt.pressed:
            raise
        code = 130
    if code == 130:
        # At once: libraries that were interrupted half-way through an import would complain on their way out.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(130)
    return code


def fill_closed_streams() -> None:
    """Open what the shell closed (``>&-``) on nothing, lest the next file that is opened take its number.

    Libraries write to 1 and 2 whatever those are: a result file, then. Python's own ``sys.stdout`` stays None.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


if __name__ == "__main__":
    sys.exit(main())
