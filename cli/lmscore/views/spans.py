"""A scored text in pieces to look at: tokens, or several where they share what an eye takes for one character.

Pure; knows neither colours nor terminals. Characters are Unicode's extended grapheme clusters (UAX 29), so that an
emoji whose bytes lie in four tokens, or a letter and its accents, are one span of several tokens.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, zip_longest

import regex

from ..comparison import Place
from ..records import Score, Token, joint_logprob
from .glyphs import spell_bytes


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the text, and the tokens it was read in.

    Attributes:
        text: as it stands; empty for an end symbol. Never shown as it is: see `seen`.
        tokens: at least one; several where they share a character.
    """

    text: str
    tokens: tuple[Token, ...]

    @property
    def logprob(self) -> float | None:
        """The sum over its tokens, nats; None where one of them has none."""
        return joint_logprob(self.tokens)

    @property
    def seen(self) -> str:
        """What may be shown: hidden characters spelled out, spaces and whole emoji as they are; or a symbol's name."""
        return legible(self.text or "".join(token.token for token in self.tokens))


BREAK = "↵"
"""Stands at a line's end."""

STRADDLES = "↔"
"""Stands before a token that also holds the end of the context."""

DIFFERS = "▸"
"""Stands where a text first differs from another."""


def broken(text: str) -> Iterator[str]:
    """A text's lines as they may be shown, each with a sign for its end, and that end."""
    *lines, last = text.split("\n")
    for line in lines:
        yield legible(line)
        yield BREAK
        yield "\n"
    yield legible(last)


GONE = "∅"
"""Stands in the second of two texts for words that only the first has."""


def running(text: str, tokens: Sequence[Token]) -> str:
    """A stretch of a text as it runs, in lines that may be shown, and the names of symbols that stand for no text."""
    symbols = (legible(token.token) for token in tokens if not text or (token.special and not token.bytes))
    return "".join([*broken(text), *symbols])


def across(place: Place) -> str:
    """What the second of two texts has at a place, as it runs; a sign where it has nothing."""
    if place.second.tokens:
        return running(place.second.text, place.second.tokens)
    return f"{' ' * place.first.text.startswith(' ')}{GONE}"


def parting(first: Sequence[Span], other: Sequence[Span]) -> int | None:
    """The first span that is not as the other's; one behind the last, where it ends sooner."""
    pairs = zip_longest(*([[token.id for token in span.tokens] for span in own] for own in (first, other)))
    return next((at for at, (a, b) in enumerate(pairs) if a != b), None)


def legible(text: str) -> str:
    """A text as it may be shown: hidden characters spelled out, spaces and whole emoji as they are."""
    parts = regex.split(rf"({EMOJI}| )", text)
    kept = (at % 2 and not any(map(_is_unassigned, part)) for at, part in enumerate(parts))
    return "".join(part if keep else spell_bytes(part.encode()) for keep, part in zip(kept, parts, strict=True) if part)


def _is_unassigned(char: str) -> bool:
    """Whether nobody knows what it looks like: some of those that are kept free for pictures."""
    return unicodedata.category(char) == "Cn"


EMOJI = r"(?:\p{Extended_Pictographic}[\p{EMod}\ufe0f]*(?:\u200d\p{Extended_Pictographic}[\p{EMod}\ufe0f]*)*)"
"""A picture and what belongs to it: skin, joiners, the sign that it is to be coloured (UTS 51)."""


def spans(score: Score) -> Iterator[Span]:
    """A text's spans, in order: joined, their texts are the whole text."""
    data = score.text.encode()
    edges = {0, *accumulate(len(cluster.encode()) for cluster in regex.findall(r"\X", score.text))}
    begin, reach, held = 0, 0, list[Token]()
    for token in score.tokens:
        if held and token.start >= reach and reach in edges and (reach > begin or not token.bytes):
            yield Span(data[begin:reach].decode(), tuple(held))
            begin, held = reach, []
        held.append(token)
        reach = max(reach, token.end)
    if held:
        yield Span(data[begin:].decode(), tuple(held))
