"""What the commands read: texts and groups of candidates, from the command line, from files or from standard input.

Says on stderr what looks like a slip in them. Knows no model.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from . import files, hints
from . import options as opt
from .errors import WrongUsage
from .formats import Format
from .records import Text

log = logging.getLogger(__name__)
Record = TypeVar("Record")


def texts(texts: list[str], paths: list[str], whole: bool, context: str | None, join: str) -> Iterator[Text]:
    """The texts to score, from the one place that names them: the command line, files, or standard input.

    Raises:
        WrongUsage: two places are named, or none; or there is something to join to no context.
    """
    _check_join(context, join)
    if texts and paths:
        raise WrongUsage("TEXT and --file exclude each other; give one of them")
    if files.STDIN in texts:
        if len(texts) > 1:
            raise WrongUsage("- stands for standard input and takes no other TEXT beside it")
        texts, paths = [], [files.STDIN]
    if not texts and not paths:
        if sys.stdin is None or sys.stdin.isatty():
            raise WrongUsage('nothing to score; give a TEXT, as in lmscore score "The cat sat", or --file FILE')
        paths = [files.STDIN]
    if not paths:
        if whole:
            raise WrongUsage("--whole is for --file and standard input; a TEXT is whole as it stands")
        for hint in hints.of_arguments(texts):
            log.warning("%s", hint)
        return _joined(files.texts_from_arguments(texts, context), join)
    if paths.count(files.STDIN) > 1:
        raise WrongUsage(files.ONCE)
    for path in paths:  # one that is not there is said before the others are scored
        files.check_text(path)
    read = files.whole_text if whole else files.texts_from_file
    return _joined(chain.from_iterable(read(path, context) for path in paths), join)


def _check_join(context: str | None, join: str) -> None:
    if join and not context:
        raise WrongUsage("--join needs a context; give --context too")


def _joined(texts: Iterable[Text], join: str) -> Iterator[Text]:
    return (text.joined(join) for text in texts)


def compared(texts: list[str], models: Sequence[str], context: str | None, join: str) -> Iterator[Text]:
    """The two texts to compare under one model, or the one to compare under two.

    Raises:
        WrongUsage: there are more or fewer; or there is something to join to no context.
    """
    _check_join(context, join)
    if (len(texts), len(models)) not in ((2, 1), (1, 2)):
        raise WrongUsage(
            f"{len(texts)} text{'s' * (len(texts) != 1)} and {len(models)} model{'s' * (len(models) != 1)}: "
            "give two texts, or one and --model twice"
        )
    if texts.count(files.STDIN) > 1:
        raise WrongUsage("- stands for standard input, which can be one of the texts, not both")
    for slip in hints.of_arguments(texts, "- and < read it"):
        log.warning("%s", slip)
    given = [
        next(files.whole_text(text, context))
        if text == files.STDIN
        else Text(text, context, f"text {index + 1}", index)
        for index, text in enumerate(texts)
    ]
    if hint := hints.of_pair(given):
        log.warning("%s", hint)
    yield from _joined(given, join)


def groups(file: str, form: opt.InputFormat | None, context: str | None, join: str) -> Iterator[tuple[Text, ...]]:
    """The groups of candidates in a file.

    Raises:
        WrongUsage: a context for groups that bring their own, or something to join to none.
    """
    by_name = "jsonl" if Format.of(file) is Format.jsonl else "lines"
    lines = (form or by_name) == "lines"
    if lines:
        _check_join(context, join)
    if not lines and context is not None:
        raise WrongUsage('--context is for a file of lines; in JSONL each group has its own "context"')
    files.check_text(file)
    read = files.groups_from_lines(file, context) if lines else files.groups_from_jsonl(file)
    return (tuple(_joined(group, join)) for group in read)


def begun(records: Iterator[Record]) -> Iterator[Record]:
    """Read the first record now, so that bad input is refused before a model is loaded."""
    return chain([next(records)], records)


def spaced(texts: Iterable[Text]) -> Iterator[Text]:
    """Say where a space seems to be missing after a context, or one too many."""
    for (text,) in _seen((text,) for text in texts):
        yield text


def hinted(groups: Iterable[tuple[Text, ...]]) -> Iterator[tuple[Text, ...]]:
    """Say what looks like a slip in each group."""
    for group in _seen(groups):
        for hint in hints.of_group(group):
            log.warning("%s", hint)
        yield group


def _seen(groups: Iterable[tuple[Text, ...]]) -> Iterator[tuple[Text, ...]]:
    """Say once where a space is missing, and once where there are two: mostly all texts are alike."""
    unsaid = [hints.no_space, hints.two_spaces]
    for group in groups:
        for hint in unsaid[:]:
            if line := hint(group):
                log.warning("%s", line)
                unsaid.remove(hint)
        yield group
