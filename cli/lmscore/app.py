"""The commands: each opens, calls and shows. And `run`, where the one kind of expected failure becomes one line."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, TextIO, TypeVar

import typer

from . import __version__, catalogue, download, files
from . import options as opt
from .errors import LmscoreError
from .records import Ranking, Reading, Score, Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .scorer import Scorer

log = logging.getLogger(__name__)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
models_app = typer.Typer(invoke_without_command=True, no_args_is_help=False)
app.add_typer(models_app, name="models")
