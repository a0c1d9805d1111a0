"""The weakest tokens of a text one by one: what stood before, what was expected instead. Renderables, never printed."""

import heapq
import math
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text as Line

from ..records import Alternative, Score, Token
from .glyphs import shorten, spell_bytes, spell_text
from .remarks import LIKELIEST, probability, token_seen
from .table import Page

BEFORE = 120
"""Bytes of what stood before a token."""


def explanations(score: Score, page: Page, count: int) -> Iterator[RenderableType]:
    """So many of the weakest tokens, weakest first. They were scored with rank, entropy and the likeliest tokens."""
    scored = (token for token in score.tokens if token.logprob is not None)
    weakest = heapq.nsmallest(count, scored, key=lambda token: token.logprob or 0.0)
    before = (score.context or "").encode() + score.text.encode()
    offset = len((score.context or "").encode())
    if weakest:
        yield ""
        few = "all that were scored" if score.num_tokens <= count else f"of {score.num_tokens}"
        yield Line(f"The {len(weakest)} weakest tokens, {few}:" if len(weakest) > 1 else f"The weakest token, {few}:")
    for place, token in enumerate(weakest, 1):
        yield _heading(place, token, page)
        yield _facts(token, _before(before[: offset + token.start], score), score, page)


def _heading(place: int, token: Token, page: Page) -> Line:
    logprob = token.logprob or 0.0
    rank = "" if token.rank is None else f", rank {token.rank:,}"
    figures = f"{page.unit.figure(logprob)} {page.unit.value}, probability {probability(logprob)}{rank}"
    return Line.assemble(f"{place}. ", (shorten(token_seen(token), 60), "bold"), f" (#{token.index}): {figures}")


def _facts(token: Token, before: str, score: Score, page: Page) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    table.add_row("   after", Line(before))
    if token.top:
        table.add_row("   expected", Line("  ").join(_expected(other, token) for other in token.top[:LIKELIEST]))
    if token.entropy is not None:
        table.add_row("   the model", Line(_openness(token, token.entropy)))
    table.add_row("   without it", Line(_without(token, score, page)))
    return table


def _before(data: bytes, score: Score) -> str:
    """The end of what stood before a token, safe to show."""
    if not data:
        return spell_text(score.model.bos_token or "")
    end = data[-BEFORE:].decode("utf-8", "surrogateescape")
    if len(data) <= BEFORE:
        return spell_text(end)
    return f"…{spell_text(end.lstrip(HALVES))}"


HALVES = "".join(chr(0xDC00 + byte) for byte in range(0x80, 0xC0))
"""How bytes that continue a character are decoded, where its beginning was cut off."""


def _expected(other: Alternative, token: Token) -> Line:
    named = f"{shorten(spell_bytes(other.bytes), 24)} {probability(other.logprob)}"
    return Line(f"{named} (this one)", "bold") if other.id == token.id else Line(named)


def _openness(token: Token, entropy: float) -> str:
    """How sure the model was, from the entropy (nats) of all that it thought might come."""
    choices = math.exp(entropy)
    sure = "expected just this" if token.rank == 1 else "was sure of something else"
    if choices >= SEVERAL:
        sure = "wavered between a few" if choices < MANY else "was unsure"
        sure += ", and expected this most" if token.rank == 1 else ""
    return (
        f"{sure}: as open as {choices:.1f} equal choices"
        if choices < 10
        else f"{sure}: as open as {choices:,.0f} equal choices"
    )


SEVERAL, MANY = 3.0, 20.0
"""From how many equally likely tokens on a model is not sure of one, and of none."""


def _without(token: Token, score: Score, page: Page) -> str:
    if score.num_tokens == 1:
        return "there is no other"
    rest = (score.total_logprob or 0.0) - (token.logprob or 0.0)
    return f"the total of the others is {page.unit.figure(rest)} {page.unit.value}"
