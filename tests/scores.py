"""Scores made by hand, for what is computed from scores alone."""

from collections.abc import Sequence
from typing import Any

from lmscore.records import Provenance, Score, Token

MODEL = Provenance("by hand", None, "float32", "cpu", 0, "<|endoftext|>", "tokenizer bos")


def scored(logprobs: Sequence[float | None], text: str | None = None, context: str | None = None) -> Score:
    """A score with these log-probabilities: one token a character, the last one holding the rest of the text."""
    text = "x" * len(logprobs) if text is None else text
    ends = [*range(1, len(logprobs)), len(text.encode())] if logprobs else []
    tokens = tuple(
        Token(i, 7, "x", text.encode()[min(i, end) : end], min(i, end), end, logprob)
        for i, (end, logprob) in enumerate(zip(ends, logprobs, strict=True))
    )
    return Score(text, context, tokens, windows=1, min_context=None, model=MODEL)


def of_pieces(*pieces: tuple[str, float | None], context: str | None = None, **fields: Any) -> Score:
    """A score of tokens given by hand: what a token spells, and its log-probability."""
    tokens, at = [], 0
    for index, (text, logprob) in enumerate(pieces):
        data = text.encode()
        tokens.append(Token(index, 120000 + index, text, data, at, at + len(data), logprob, **fields))
        at += len(data)
    return Score("".join(text for text, _ in pieces), context, tuple(tokens), 1, None, MODEL)


def cut(text: str, *places: int, logprob: float | None = -1.0) -> Score:
    """A text whose tokens end at these bytes, and at the last."""
    data = text.encode()
    ends = [*places, len(data)]
    pieces = [(start, end, data[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    tokens = [
        Token(i, i, own.decode("utf-8", "backslashreplace"), own, start, end, logprob)
        for i, (start, end, own) in enumerate(pieces)
    ]
    return Score(text, None, tokens, 1, None, MODEL)
