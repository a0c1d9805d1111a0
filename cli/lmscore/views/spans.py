"""A scored text in pieces to look at: tokens, or several where they share what an eye takes for one character.

Pure; knows neither colours nor terminals. Characters are Unicode's extended grapheme clusters (UAX 29), so that an
emoji whose bytes lie in four tokens, or a letter and its accents, are one span of several tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import regex

from ..records import Score, Token, joint_logprob
from .glyphs import spell_bytes


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the text, and the tokens it was read in.

    Attributes:
        text: as it stands; empty for an end symbol. Never shown as it is: see `seen`.
        tokens: at least one; several where they share a character.
        start: where it stands, in bytes.
    """

    text: str
    tokens: tuple[Token, ...]
    start: int

    @property
    def logprob(self) -> float | None:
        """The sum over its tokens, nats; None where one of them has none."""
        return joint_logprob(self.tokens)

    @property
    def seen(self) -> str:
        """What may be shown: hidden characters spelled out, spaces and whole emoji as they are; or a symbol's name."""
        return legible(self.text or "".join(token.token for token in self.tokens))


def legible(text: str) -> str:
    """A text as it may be shown: hidden characters spelled out, spaces and whole emoji as they are."""
    parts = regex.split(rf"({EMOJI}| )", text)
    return "".join(part if at % 2 else spell_bytes(part.encode()) for at, part in enumerate(parts) if part)


EMOJI = r"(?:\p{Extended_Pictographic}[\p{EMod}\ufe0f]*(?:\u200d\p{Extended_Pictographic}[\p{EMod}\ufe0f]*)*)"
"""A picture and what belongs to it: skin, joiners, the sign that it is to be coloured (UTS 51)."""


def spans(score: Score) -> Iterator[Span]:
    """A text's spans, in order: joined, their texts are the whole text."""
    data = score.text.encode()
    edges = {0, *accumulate(len(cluster.encode()) for cluster in regex.findall(r"\X", score.text))}
    begin, reach, held = 0, 0, list[Token]()
    for token in score.tokens:
        if held and token.start >= reach and reach in edges and (reach > begin or not token.bytes):
            yield Span(data[begin:reach].decode(), tuple(held), begin)
            begin, held = reach, []
        held.append(token)
        reach = max(reach, token.end)
    if held:
        yield Span(data[begin:].decode(), tuple(held), begin)
