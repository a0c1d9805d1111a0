"""What is shown: views as lines, and what a terminal would act on in them."""

import re
import unicodedata
from typing import Any

from rich.console import Console

EVIL = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J [bold]b[/bold] [link=x] :smile: \x00\x08\x7f"
EVIL += " \u202eevil\u2066 \u200b\ufeff"
ACTING = {"Cc", "Cf", "Zl", "Zp", "Cn", "Co", "Cs"}
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def acting(out: str) -> set[str]:
    """The characters of an output, colours and line ends apart, that a terminal would act on or hide."""
    return {char for char in ESCAPE.sub("", out) if char != "\n" and unicodedata.category(char) in ACTING}


def printed(view: Any, width: int) -> list[str]:
    console = Console(width=width, markup=False, emoji=False, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(view)
    return captured.get().splitlines()
