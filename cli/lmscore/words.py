"""Tokens to words: which tokens make up each, and how probable that makes it.

Pure; knows no tokenizer and no network. A word is what stands between two blanks, along with the blanks before it, as
far as tokens let it be cut so.

Most tokenizers mark where a word begins (`` cat``), and so leave open where one ends: the tokens of *cat* are also how
*cats* and *catch* begin. That a word is over shows in the next token alone, so its probability is

    P(word | before) = P(tokens | before) · P(a word begins | before, tokens) / P(a word begins | before)

where a text's end counts as the beginning of one (Pimentel and Meister 2024, "How to Compute the Probability of a
Word"; Oh and Schuler 2024, "Leading Whitespaces of Language Models' Subword Vocabulary Pose a Confound for Calculating
Word Probabilities"). So corrected, the probabilities of all words that may stand at a place add up to 1. Where a token
says that a word ends with it, or nothing stands before the text, there is nothing open, and nothing is added.
"""

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .records import Marks, Token, Word, joint_logprob


def grouped(tokens: Sequence[Token]) -> Iterator[tuple[Token, ...]]:
    """A text's tokens word by word. An end symbol, which holds no bytes, is a word of its own."""
    word, full = list[Token](), False
    for token in tokens:
        if full and (begins(token.bytes) or ends(word[-1].bytes) or not token.bytes):
            yield tuple(word)
            word, full = [], False
        word.append(token)
        full = full or not _is_blank(token.bytes) or not token.bytes
    if word:
        yield tuple(word)


@dataclass(frozen=True, slots=True)
class Openings:
    """Where words may begin, by what the model expected.

    Attributes:
        ids: the tokens that begin a word, symbols included.
        logprobs: for each token of the text, and for what follows the last, log P(a token of `ids` | all before), nats;
            None where nothing stands before it.
        within: whether the text begins within a word of its context, or may.
    """

    ids: Container[int]
    logprobs: Sequence[float | None]
    within: bool


def words(text: str, tokens: Sequence[Token], openings: Openings | None) -> Iterator[Word]:
    """A text's words, corrected where it is known where they may begin.

    Where a tokenizer writes other bytes than the text's, a word may have no correction: its logprob is then None.
    """
    data = text.encode()
    groups = list(grouped(tokens))
    for index, group in enumerate(groups):
        logprob, correction = joint_logprob(group), None
        if openings is not None and logprob is not None:
            before = groups[index - 1][-1] if index else None
            after = groups[index + 1][0] if index + 1 < len(groups) else None
            correction = _correction(before, group, after, openings)
            logprob = None if correction is None else logprob + correction
        yield Word(
            index=index,
            word=data[max(group[0].start, 0) : group[-1].end].decode("utf-8", "backslashreplace") or group[-1].token,
            start=group[0].start,
            end=group[-1].end,
            first=group[0].index,
            num_tokens=len(group),
            logprob=logprob,
            correction=correction,
        )


def _correction(before: Token | None, group: Sequence[Token], after: Token | None, openings: Openings) -> float | None:
    """What is added to the sum of a word's tokens; None where they do not tell where it begins or ends."""
    first, last = group[0], group[-1]
    starting, ending = 0.0, 0.0
    if first.id in openings.ids:
        if (before is not None and not ends(before.bytes)) or (before is None and openings.within):
            starting = _there(openings.logprobs[first.index])
    elif before is not None and not ends(before.bytes):
        return None
    full = next((at for at, token in enumerate(group) if not _is_blank(token.bytes)), len(group))
    if any(token.id in openings.ids for token in group[full + 1 :]):
        return None
    if full < len(group) and not ends(last.bytes):
        if after is not None and after.id not in openings.ids:
            return None
        ending = _there(openings.logprobs[last.index + 1])
    correction = ending - starting
    return correction if math.isfinite(correction) else None


def _there(logprob: float | None) -> float:
    return math.nan if logprob is None else logprob


def begins(data: bytes) -> bool:
    """Whether a token that spells this begins a word."""
    return _spelled(data)[:1].isspace()


def ends(data: bytes) -> bool:
    """Whether a token that spells this ends one."""
    return _spelled(data)[-1:].isspace()


def marks(vocabulary: Iterable[bytes]) -> Marks:
    """What tokens tell of words, by what a vocabulary's spell: those of letters and of a blank at one end."""
    spelled = [_spelled(data) for data in vocabulary]
    lettered = [text for text in spelled if any(map(str.isalpha, text))]
    at_front, at_back = (sum(text[place].isspace() for text in lettered) for place in (0, -1))
    if max(at_front, at_back) < FEW * len(lettered) or not lettered:
        return "none"
    return "beginning" if at_front >= at_back else "end"


FEW = 0.02
"""Of a vocabulary: as many tokens may have a blank at one end by chance."""


def _is_blank(data: bytes) -> bool:
    return not _spelled(data).strip()


def _spelled(data: bytes) -> str:
    return data.decode("utf-8", "replace")
