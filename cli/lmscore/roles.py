"""Which columns of a record mean what: texts, contexts, candidates, the right one. Knows no files and no model."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .errors import LmscoreError, RecordError
from .records import Text
from .tables import Row


@dataclass(frozen=True, slots=True)
class Roles:
    """Which columns mean what.

    Attributes:
        text: what is scored.
        candidates: what is ranked instead: one column of lists, or several of strings.
        context: stands before either.
        id: names a record in the summary.
        gold: which candidate is right: its index from 0 (a number, or digits), or its text.
        first_is_gold: the first candidate is: for minimal pairs.
        group: a name to count accuracy under.
        join: stands between a context and what follows it.
    """

    text: str | None = None
    candidates: tuple[str, ...] = ()
    context: str | None = None
    id: str | None = None
    gold: str | None = None
    first_is_gold: bool = False
    group: str | None = None
    join: str = ""

    @property
    def named(self) -> list[str]:
        """All columns that the first record must have."""
        return [name for name in (self.text, *self.candidates, *self.beside) if name is not None]

    @property
    def beside(self) -> tuple[str | None, ...]:
        """Those that a later record may lack: what they would tell is then told by nobody."""
        return (self.context, self.id, self.gold, self.group)

    def found_in(self, row: Row) -> "Roles":
        """The same, held against the first record; where no text column was named, it is found.

        Raises:
            LmscoreError: a column is not there, or none is the obvious one to score.
        """
        columns = ", ".join(row.fields) or "none"
        for name in self.named:
            if name not in row.fields:
                raise LmscoreError(f'{row.where}: there is no column "{name}"; the columns are {columns}')
        if self.text is not None or self.candidates:
            return self
        if "text" in row.fields:
            return replace(self, text="text")
        if isinstance(row.fields.get("candidates"), list):  # as `rank` reads them
            raise LmscoreError(
                f"{row.where}: its candidates are ranked with --candidates-column candidates (and --context-column); "
                "to score another column, name it with --text-column"
            )
        strings = [name for name, value in row.fields.items() if isinstance(value, str) and not _is_number(value)]
        if len(strings) != 1:
            raise LmscoreError(f"{row.where}: name what to score with --text-column; the columns are {columns}")
        if any(mark in strings[0] for mark in ";\t,"):
            raise LmscoreError(
                f"{row.where}: the only column is {json.dumps(strings[0], ensure_ascii=False)}; if that is several, "
                "part them by commas, or by tabs with --input-format tsv; if not, name it with --text-column"
            )
        return replace(self, text=strings[0])


def _is_number(value: str) -> bool:
    """In CSV a column of numbers is one of strings."""
    with contextlib.suppress(ValueError):
        float(value)
        return True
    return False


@dataclass(frozen=True, slots=True)
class Asked:
    """A record, and what is to be scored of it: texts, or why there are none.

    Attributes:
        texts: one to score, or candidates to rank.
        gold: which candidate is right; None where nobody says.
        group: what accuracy is counted under as well; None where nobody says.
    """

    row: Row
    texts: tuple[Text, ...] = ()
    gold: int | None = None
    group: str | None = None
    fault: str | None = None

    @property
    def beginning(self) -> str:
        """What is read first of it; nothing where no texts are."""
        return (self.texts[0].context or "") + self.texts[0].text if self.texts else ""

    @property
    def size(self) -> int:
        """Bytes that are to be read, the context's counted once; those of the record itself where none are."""
        if not self.texts:
            return len(self.row.line or "")
        return len((self.texts[0].context or "").encode("utf-8", "replace")) + sum(
            len(text.text.encode("utf-8", "replace")) for text in self.texts
        )


def asked(row: Row, roles: Roles) -> Asked:
    """What is to be scored of a record; a record that cannot be is given with its fault."""
    if row.fault is not None:
        return Asked(row, fault=row.fault)
    try:
        context = None if roles.context is None else _string(row, roles.context, nothing="")
        held = None if roles.group is None else row.fields.get(roles.group)
        group = None if held is None or held == "" else str(held)
        if not roles.candidates:
            text = Text(_string(row, roles.text or ""), context, row.where)
            return Asked(row, (text.joined(roles.join),), group=group)
        candidates = tuple(_candidates(row, roles.candidates))
        texts = tuple(
            Text(candidate, context, f"{row.where}, candidate {index + 1}", index).joined(roles.join)
            for index, candidate in enumerate(candidates)
        )
        return Asked(row, texts, _gold(row, roles, candidates), group)
    except RecordError as err:
        return Asked(row, fault=str(err))


def _string(row: Row, column: str, nothing: str | None = None) -> str:
    value = row.fields.get(column)
    if value is None and nothing is not None:
        return nothing
    if not isinstance(value, str):
        if column not in row.fields:
            raise RecordError(f'{row.where}: there is no column "{column}"')
        said = "null" if value is None else f"{value!r:.40}"
        raise RecordError(f'{row.where}: column "{column}" is {said}, not a string')
    return value


def _candidates(row: Row, columns: Sequence[str]) -> Iterator[str]:
    if len(columns) > 1:
        while len(columns) > 2 and row.fields.get(columns[-1], " ") in (None, ""):  # a record with fewer
            columns = columns[:-1]
        yield from (_string(row, column) for column in columns)
        return
    held = row.fields.get(columns[0])
    if isinstance(held, str):  # a CSV's cell
        try:
            held = json.loads(held)
        except (ValueError, RecursionError) as err:
            hint = "in CSV it is a JSON list; or name a column for each candidate: a,b"
            raise RecordError(f'{row.where}: column "{columns[0]}" is no list; {hint}') from err
    if not isinstance(held, list) or not held or not all(isinstance(candidate, str) for candidate in held):
        raise RecordError(f'{row.where}: column "{columns[0]}" is no list of strings')
    yield from held


def _gold(row: Row, roles: Roles, candidates: Sequence[str]) -> int | None:
    if roles.first_is_gold:
        return 0
    if roles.gold is None:
        return None
    value = row.fields.get(roles.gold)
    by_text = candidates.index(value) if isinstance(value, str) and value in candidates else None
    if isinstance(value, str) and _is_number(value):
        value = float(value)
    if isinstance(value, float) and value.is_integer():  # as pandas writes it, where some are missing
        value = int(value)
    unsaid = value in (None, "", -1) or value != value  # NaN, as numpy writes what is missing
    if by_text is None and unsaid:  # as in a test set whose answers are kept back
        return None
    if by_text is not None and value in range(len(candidates)) and value != by_text:
        both = f"the text of candidate {by_text} and the index of candidate {value}"
        raise RecordError(f'{row.where}: column "{roles.gold}" is {both}; say which, by a number that is no string')
    if by_text is not None:
        return by_text
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(candidates):
        near = isinstance(value, str) and [one for one in candidates if one.strip() == value.strip()]
        but = f"; {near[0]!r} is one: blanks count" if near else "; give its text, or its number, from 0"
        raise RecordError(f'{row.where}: column "{roles.gold}" is {value!r}, no candidate and no index of one{but}')
    return value
