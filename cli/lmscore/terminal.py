"""What a person at a terminal meets: the console on stdout, and on stderr progress, notices and the one error line.

Knows streams and Rich, and nothing of texts, models or scores.
"""

import io
import logging
import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, TextIO

from . import interrupt
from .records import Report, silent
from .views import glyphs

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, ProgressColumn

    from .views.scale import Depth

PACKAGE = __package__ or "lmscore"


FEWEST_COLUMNS = 50
"""On a narrower terminal lines are broken by the terminal: better than figures cut by a table."""


AS_IT_STANDS: Any = {"markup": False, "emoji": False, "highlight": False}
"""How a console takes text."""


def console(stream: TextIO, color: bool | None = None) -> "Console":
    """A console that takes text as it stands: no markup, no emoji names.

    Args:
        color: True and False overrule what the terminal and ``NO_COLOR`` say; None follows them.
    """
    from rich.console import Console

    made = Console(
        file=stream,
        force_terminal=color or None,
        color_system=_color_system(stream) if color else "auto",
        no_color=None if color is None else not color,
        **AS_IT_STANDS,
    )
    made.width = max(made.width, FEWEST_COLUMNS)
    return made


def _color_system(stream: TextIO) -> Literal["auto", "256", "truecolor"]:
    """Colours for who wants them whatever TERM says: as many as a terminal has, and elsewhere as many as whoever reads
    them may well have."""
    if stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        return "auto"
    return "truecolor" if os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") else "256"


def depth(console: "Console") -> "Depth":
    """How many colours a console shows."""
    from .views.scale import Depth

    if console.no_color or console.color_system is None:
        return Depth.none
    return {"256": Depth.many, "truecolor": Depth.full}.get(console.color_system, Depth.sixteen)


def recorder(width: int) -> "Console":
    """A console that is seen nowhere and keeps what is printed on it, in all its colours, for a picture."""
    from rich.console import Console

    return Console(
        record=True,
        file=io.StringIO(),
        width=width,
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
        **AS_IT_STANDS,
        legacy_windows=False,
    )


def picture(kept: "Console", title: str) -> str:
    """What a recorder keeps, as SVG. It fetches no fonts, and gives each character the columns that a terminal does."""
    import html

    from rich.cells import cell_len

    head, defs, body = kept.export_svg(title=title).partition("<defs>")
    column = 12.2  # Rich's, whose lengths count characters: a wide one would be squeezed into half its place

    def fitted(found: "re.Match[str]") -> str:
        return f'textLength="{column * cell_len(html.unescape(found[2])):g}"{found[1]}>{found[2]}<'

    body = re.sub(r'textLength="[^"]*"([^<>]*)>([^<>]*)<', fitted, body)
    return re.sub(r"@font-face \{[^}]*\}\s*", "", head) + defs + body


def show(console: "Console", view: "RenderableType") -> None:
    """Print a view; where no terminal pads it out anyway, without blanks at the ends of lines."""
    if console.is_terminal:
        console.print(view)
    else:
        with console.capture() as captured:
            console.print(view)
        console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().split("\n")[:-1]))
    console.file.flush()


@contextmanager
def progress(quiet: bool) -> Iterator[Report]:
    """Show on stderr what takes long: as a bar where there is a terminal, else as a line for each step."""
    if quiet or sys.stderr is None:
        yield silent
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    bar, stop = _bar(BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    talk = bar.console
    step = ""

    def report(what: str, done: int = 0, total: int | None = None) -> None:
        nonlocal step
        if what != step:
            step = what
            for task in bar.task_ids:
                bar.remove_task(task)
            bar.add_task("", total=total)
            talk.print(what, soft_wrap=True)
            if talk.is_terminal:
                bar.start()
        figures = "" if total is None else f"{min(done, total) / 1e6:.0f} of {total / 1e6:.0f} MB"
        bar.update(bar.task_ids[0], completed=done, description=figures)

    with interrupt.undone(stop):
        yield report


def _bar(*columns: "ProgressColumn") -> "tuple[Progress, Callable[[], None]]":
    """A bar on stderr that is not started yet, and what takes it away again, if it is there."""
    from rich.console import Console
    from rich.progress import Progress

    talk = Console(stderr=True, **AS_IT_STANDS)
    bar = Progress(*columns, console=talk, transient=True)

    def stop() -> None:
        if bar.live.is_started:  # else stopping it prints an empty line
            bar.stop()  # which also shows the cursor again

    return bar, stop


Pace = Callable[[str, float | None], None]
"""Told what is going on in a line, and how much of it is done (None: nobody knows). An empty line: nothing now."""


@contextmanager
def pace(quiet: bool) -> Iterator[Pace]:
    """Show on stderr how far long work is: as a bar where there is a terminal, else as a line once in a while."""
    if quiet or sys.stderr is None:
        yield lambda line, share: None
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    bar, stop = _bar(
        BarColumn(20),
        TaskProgressColumn(table_column=Column(min_width=4, no_wrap=True)),
        TimeRemainingColumn(table_column=Column(min_width=7, no_wrap=True)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    talk = bar.console
    task = bar.add_task("", total=None)
    said = time.monotonic()

    def report(line: str, share: float | None) -> None:
        nonlocal said
        if not line:
            stop()
        elif talk.is_terminal:
            bar.update(task, completed=share or 0.0, total=None if share is None else 1.0, description=line)
            bar.start()
        elif time.monotonic() - said >= SAY_EVERY:
            said = time.monotonic()
            talk.print(line if share is None else f"{share:.0%}, {line}", soft_wrap=True)

    with interrupt.undone(stop):
        yield report


SAY_EVERY = 30.0
"""Seconds between two lines of progress, where there is no terminal."""


def listen(quiet: bool, verbose: bool) -> None:
    """Let notices be heard on stderr: warnings by default, everything if verbose, nothing if quiet."""
    logger = logging.getLogger(PACKAGE)
    logger.handlers = [_Notices()]
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)
    warnings.simplefilter("ignore", FutureWarning)  # what libraries tell each other


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say("info" if record.levelno == logging.INFO else "warning", record.getMessage())


def command() -> str:
    """The command line, quoted so that a shell reads it the same (bash, where it holds what cannot be seen)."""
    return " ".join(map(_quoted, [PACKAGE, *sys.argv[1:]]))


def _quoted(word: str) -> str:
    if glyphs.spell_line(word) == word:
        return shlex.quote(word)
    return f"$'{''.join(map(_spelled_for_bash, word))}'"


def _spelled_for_bash(char: str) -> str:
    code = ord(char)
    if char in "\\'":
        return f"\\{char}"
    if glyphs.spell_line(char) == char:
        return char
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:  # a byte; those that were no valid UTF-8 come as surrogates
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def say(kind: str, what: str) -> None:
    """One line on stderr; what a text or a file name would do to a terminal is spelled out."""
    if sys.stderr is not None:
        with suppress(OSError):  # nobody hears it: no reason to stop
            print(f"{kind}: {glyphs.spell_line(what)}", file=sys.stderr, flush=True)
