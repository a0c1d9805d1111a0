"""What looks like a slip in what is to be scored, said before it is scored as it stands. Changes nothing."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from .formats import Format
from .records import Text

if TYPE_CHECKING:
    from .roles import Asked, Roles


def of_arguments(texts: Iterable[str], reader: str = "--file reads it") -> Iterator[str]:
    """A line for each text of the command line that is a file's name, and what would read the file."""
    for text in texts:
        if os.path.isfile(text):
            yield f"{text} is scored as a text, though a file has that name; {reader}"


def no_space(texts: Iterable[Text]) -> str | None:
    """A line if one of some texts looks as if a space were missing between its context and itself."""
    for text in texts:
        context, own = text.context or "", text.text
        if _wants_space(context, own):
            glued = context.split()[-1] + own.split()[0]
            between = f'no space stands between the context and this ("{glued}")'
            return f"{text.origin}: {between}; --join ' ' puts one there"
    return None


def two_spaces(texts: Iterable[Text]) -> str | None:
    """A line if between one of some texts and its context there are two."""
    for text in texts:
        context, own = text.context or "", text.text
        before, after = context.rstrip(" "), own.lstrip(" ")
        spaces = len(context) - len(before) + len(own) - len(after)
        if spaces == 2 and after and before and not before[-1].isspace():
            return f"{text.origin}: two spaces stand between the context and this; leave one out, if one is meant"
    return None


def of_pair(texts: Sequence[Text]) -> str | None:
    """A line if of several texts to compare only one ends in a line end."""
    ended = [text for text in texts if text.text.endswith("\n")]
    if not ended or len(ended) == len(texts):
        return None
    return f"{ended[0].origin}: its last line end is compared too; printf '%s' gives a text without one"


def of_group(group: Sequence[Text]) -> Iterator[str]:
    """A line for each slip: JSON read as text, a candidate twice, only one."""
    if len(group) == 1:
        yield f"{group[0].origin}: the only candidate wins unopposed"
    if coded := next((text for text in group if text.text.startswith(('{"', '["', "[{"))), None):
        yield f"{coded.origin}: looks like JSON and is ranked as text; --input-format jsonl reads it as groups"
    yield from _repeated(group)


def _repeated(group: Sequence[Text]) -> Iterator[str]:
    """A line if a candidate stands there twice."""
    first: dict[str, Text] = {}
    repeated = [(text, first[text.text]) for text in group if first.setdefault(text.text, text) is not text]
    if repeated:
        again, earlier = repeated[0]
        more = f" (and {len(repeated) - 1} more like it)" if len(repeated) > 1 else ""
        yield f"{again.origin} repeats {earlier.origin}{more}: the same candidate twice is a tie"


def of_dataset(first: "Asked", form: Format | None, roles: "Roles", text: str | None) -> Iterator[str]:
    """A line for each slip: a context that is not read, a text taken for a header, no space after the context or two,
    a candidate twice.

    Args:
        first: the first record.
        form: how the first file is written.
        roles: which columns are read as what.
        text: the column that was named as the text.
    """
    columns = list(first.row.fields)
    if "context" in columns and "context" not in roles.named:
        yield 'the column "context" is not read; --context-column context puts it before what is scored'
    if (
        form in (Format.csv, Format.tsv)
        and not (text or roles.candidates)
        and len(columns) == 1
        and columns != ["text"]
    ):
        yield (
            f'"{columns[0]}", in the first line, is the name of the only column; '
            "if it is a text, score all lines with --input-format txt"
        )
    yield from filter(None, (no_space(first.texts), two_spaces(first.texts)))
    yield from _repeated(first.texts)


def _wants_space(context: str, candidate: str) -> bool:
    """Whether two texts look like words that a space should part; scripts written without spaces do not."""
    before, after = context[-1:], candidate[:1]
    return (before.isalnum() or before in set(".,:;?!)")) and after.isalnum() and all(map(_spaced, (before, after)))


def _spaced(char: str) -> bool:
    """Whether a character belongs to a script with spaces between words: in Unicode, those before the Thai block."""
    return char < "\u0e00" or "\u1e00" <= char < "\u2000" or "\uac00" <= char < "\ud7b0"
