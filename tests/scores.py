"""Scores made by hand, for what is computed from scores alone."""

from collections.abc import Sequence

from lmscore.records import Provenance, Score, Token

MODEL = Provenance("by hand", None, "float32", "cpu", 0, "<s>", "tokenizer bos")


def scored(logprobs: Sequence[float | None], text: str | None = None, context: str | None = None) -> Score:
    """A score with these log-probabilities: one token a character, the last one holding the rest of the text."""
    text = "x" * len(logprobs) if text is None else text
    ends = [*range(1, len(logprobs)), len(text.encode())] if logprobs else []
    tokens = tuple(
        Token(i, 7, "x", text.encode()[min(i, end) : end], min(i, end), end, logprob)
        for i, (end, logprob) in enumerate(zip(ends, logprobs, strict=True))
    )
    return Score(text, context, tokens, windows=1, min_context=None, model=MODEL)
