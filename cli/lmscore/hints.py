"""What looks like a slip in a group of candidates, said before it is scored as it stands. Pure; changes nothing."""

from collections.abc import Iterator, Sequence

from .records import Text


def of_group(group: Sequence[Text]) -> Iterator[str]:
    """A line for each slip: no space after the context, the same candidate twice, only one candidate."""
    if len(group) == 1:
        yield f"{group[0].origin}: the only candidate wins unopposed"
    glued = next((text for text in group if _wants_space(text.context or "", text.text)), None)
    if glued is not None:
        yield (
            f'{glued.origin}: no space stands between "…{(glued.context or "")[-12:]}" and "{glued.text[:12]}…"; '
            "--join ' ' puts one before each candidate"
        )
    first: dict[str, Text] = {}
    repeated = [(text, first[text.text]) for text in group if first.setdefault(text.text, text) is not text]
    if repeated:
        again, earlier = repeated[0]
        more = f" (and {len(repeated) - 1} more like it)" if len(repeated) > 1 else ""
        yield f"{again.origin} repeats {earlier.origin}{more}: the same candidate twice is a tie"


def _wants_space(context: str, candidate: str) -> bool:
    """Whether two texts look like words that a space should part; scripts written without spaces do not."""
    before, after = context[-1:], candidate[:1]
    return (before.isalnum() or before in set(".,:;?!)")) and after.isalnum() and all(map(_spaced, (before, after)))


def _spaced(char: str) -> bool:
    """Whether a character belongs to a script with spaces between words: in Unicode, those before the Thai block."""
    return char < "\u0e00" or "\u1e00" <= char < "\u2000" or "\uac00" <= char < "\ud7b0"
