"""Options that belong together, as one argument of a command: a record with a field for each. Knows no option."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any


def gathered(command: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer reads it: for each argument that is a dataclass, the options that its fields are.

    They stand in its help where the argument stands, and it is made of what they were given.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    records: dict[str, Any] = {one.name: one.annotation for one in own if is_dataclass(one.annotation)}

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        made = {
            name: record(**{field.name: given.pop(field.name) for field in fields(record)})
            for name, record in records.items()
        }
        command(**given, **made)

    every = list[inspect.Parameter]()
    for one in own:
        every += inspect.signature(records[one.name]).parameters.values() if one.name in records else [one]
    told: Any = flat
    told.__signature__ = inspect.Signature([one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in every])
    return flat
