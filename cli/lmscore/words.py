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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .records import Marks, Stretch, Token, Word


def grouped(tokens: Sequence[Token]) -> Iterator[tuple[Token, ...]]:
    """A text's tokens word by word. A symbol is a word of its own.

    What a token spells counts as well as what it holds of the text: some vocabularies spell blanks that no token holds.
    """
    word, full = list[Token](), False
    for token in tokens:
        if word and (token.special or (full and _are_apart(word[-1], token))):
            yield tuple(word)
            word, full = [], False
        word.append(token)
        full = full or not _is_blank(token)
    if word:
        yield tuple(word)


def stretches(text: str, tokens: Sequence[Token]) -> Iterator[Stretch]:
    """A text's words: joined, they are the text. Bytes that no token holds go to the word before them."""
    data, begin, word = text.encode(), 0, tuple[Token, ...]()

    def stretch(end: int) -> Stretch:
        return Stretch(data[begin:end].decode("utf-8", "backslashreplace"), word, begin, end)

    for following in grouped(tokens):
        if word:
            yield stretch(end := max(begin, word[-1].end, following[0].start))
            begin = end
        word = following
    if word:
        yield stretch(len(data))


@dataclass(frozen=True, slots=True)
class Openings:
    """Where words may begin, by what the model expected.

    Attributes:
        logprobs: for each token of the text, and for what follows the last, log P(a token that opens a word | all
            before), nats; None where nothing stands before it.
        within: whether the text begins within a word of its context, or may.
    """

    logprobs: Sequence[float | None]
    within: bool


def words(text: str, tokens: Sequence[Token], openings: Openings | None) -> Iterator[Word]:
    """A text's words, corrected where it is known where they may begin.

    Where a tokenizer writes other bytes than the text's, a word may have no correction: its logprob is then None.
    """
    every = list(stretches(text, tokens))
    for index, stretch in enumerate(every):
        first, logprob, correction = stretch.tokens[0], stretch.logprob, None
        if openings is not None and logprob is not None:
            before = every[index - 1].tokens[-1] if index else None
            after = every[index + 1].tokens[0] if index + 1 < len(every) else None
            correction = _correction(before, stretch.tokens, after, openings)
            logprob = None if correction is None else logprob + correction
        yield Word(
            index=index,
            word=stretch.text or first.token,
            start=min(stretch.start, first.start),
            end=stretch.end,
            first=first.index,
            num_tokens=len(stretch.tokens),
            logprob=logprob,
            correction=correction,
        )


def _correction(before: Token | None, word: Sequence[Token], after: Token | None, openings: Openings) -> float | None:
    """What is added to the sum of a word's tokens; None where they do not tell where it begins or ends."""
    open_before = openings.within if before is None else not _closes(before)
    open_behind = not _closes(word[-1])
    if (open_before and before is not None and not _opens(word[0])) or (
        open_behind and after is not None and not _opens(after)
    ):
        return None
    starting = openings.logprobs[word[0].index] if open_before and _opens(word[0]) else 0.0
    ending = openings.logprobs[word[-1].index + 1] if open_behind else 0.0
    if starting is None or ending is None:
        return None
    correction = ending - starting
    return correction if math.isfinite(correction) else None


def opens(spelling: str, special: bool) -> bool:
    """Whether a token that spells this begins a word; `special` if it is a symbol."""
    return special or spelling[:1].isspace()


def closes(spelling: str, special: bool) -> bool:
    """Whether no word goes on after a token that spells this; `special` if it is a symbol."""
    return special or spelling[-1:].isspace()


def marks(vocabulary: Iterable[str]) -> Marks:
    """What tells words apart, by what a vocabulary's tokens spell: most tellingly those of letters and a blank."""
    spelled = list(vocabulary)
    lettered = [spelling for spelling in spelled if any(map(str.isalpha, spelling))]
    at_front, at_back = (sum(spelling[place].isspace() for spelling in lettered) for place in (0, -1))
    if lettered and max(at_front, at_back) >= FEW * len(lettered):
        return "beginning" if at_front >= at_back else "end"
    return "blanks" if any(map(str.isspace, spelled)) else "none"


FEW = 0.02
"""Of a vocabulary: as many tokens may have a blank at one end by chance."""


def _opens(token: Token) -> bool:
    return opens(token.spelling, token.special)


def _closes(token: Token) -> bool:
    return closes(token.spelling, token.special)


def _are_apart(before: Token, token: Token) -> bool:
    """Whether no word goes on from one to the next, by what either spells or holds of the text.

    One does where both hold the same character: a normalizer may make several words of it.
    """
    if token.start < before.end:
        return False
    return _opens(token) or _closes(before) or opens(token.token, False) or closes(before.token, False)


def _is_blank(token: Token) -> bool:
    return not token.special and not token.token.strip()
