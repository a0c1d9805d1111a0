"""Tokens to words: which tokens make up each, where a tokenizer's tokens say so.

Pure; knows no tokenizer and no model. A word is what stands between two blanks, along with the blanks before it, as far
as tokens let it be cut so.
"""

from collections.abc import Iterator, Sequence

from .records import Token


def grouped(tokens: Sequence[Token]) -> Iterator[tuple[Token, ...]]:
    """A text's tokens word by word. An end symbol, which holds no bytes, is a word of its own."""
    word, full = list[Token](), False
    for token in tokens:
        if full and (begins(token.bytes) or ends(word[-1].bytes) or not token.bytes):
            yield tuple(word)
            word, full = [], False
        word.append(token)
        full = full or not is_blank(token.bytes)
    if word:
        yield tuple(word)


def begins(data: bytes) -> bool:
    """Whether a token that spells this begins a word."""
    return data.decode("utf-8", "replace")[:1].isspace()


def ends(data: bytes) -> bool:
    """Whether a token that spells this ends one."""
    return data.decode("utf-8", "replace")[-1:].isspace()


def is_blank(data: bytes) -> bool:
    """Whether a token that spells this holds nothing of a word."""
    return not data.decode("utf-8", "replace").strip()
