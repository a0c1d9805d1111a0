"""``python -m lmscore`` and the ``lmscore`` script: run the app, and turn how it ended into an exit code."""

import os
import sys


def main() -> int:
    """Run the command line; 0 done, 1 an expected failure, 2 wrong usage, 130 interrupted."""
    try:
        from .app import run

        code = run()
    except KeyboardInterrupt:
        code = 130
    if code == 130:
        # At once: libraries that were interrupted half-way through an import would complain on their way out.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)
    return code


if __name__ == "__main__":
    sys.exit(main())
