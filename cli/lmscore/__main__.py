"""``python -m lmscore`` and the ``lmscore`` script: take over signals and streams, then run the app."""

import gc
import os
import sys

from . import interrupt


def main() -> int:
    """Run the command line; 0 done, 1 an expected failure, 2 wrong usage; a signal ends the process."""
    interrupt.listen()
    fill_closed_streams()
    gc.disable()  # what is imported stays: no use in searching it for garbage
    from .app import run

    gc.freeze()
    gc.enable()
    return run()


def fill_closed_streams() -> None:
    """Open what the shell closed (``>&-``) on nothing, lest the next file that is opened take its number.

    Libraries write to 1 and 2 whatever those are: a result file, then. Python's own ``sys.stdout`` stays None.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


if __name__ == "__main__":
    sys.exit(main())
