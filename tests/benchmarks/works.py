"""What is scored: texts cut from the standard library's documentation, by a fixed seed, as text and as ids.

Knows no contestant. The parent process runs this, so it imports no torch: a child's peak memory counts from what its
parent held when it was started.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pydoc_data.topics import topics

from tokenizers import Tokenizer

SEED = 7


@dataclass(frozen=True, slots=True)
class Request:
    """A text to score after a context, and the ids of both; the start symbol is in neither."""

    text: str
    ids: list[int]
    context: str | None = None
    context_ids: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """Texts that are scored together.

    Attributes:
        ranked: whether they are candidates after one context.
        sample: how many of them the peers score, where all would take them many minutes; None for all.
        peers: whether others than lmscore take part.
    """

    name: str
    what: str
    requests: list[Request]
    ranked: bool = False
    sample: int | None = None
    peers: bool = True


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the works are. All but counts of texts are tokens.

    Attributes:
        sampled: whether the peers score but some of many candidates.
    """

    lines: int = 400
    candidates: int = 64
    many_candidates: int = 1000
    branches: int = 4
    context: int = 338
    long_context: int = 2000
    docs: int = 12
    doc: int = 950
    long: int = 8000
    growth: tuple[int, ...] = (1000, 10_000)
    sampled: bool = True


SMOKE = Sizes(6, 6, 12, 2, 40, 120, 2, 90, 200, (100, 300))
ACCELERATOR = Sizes(lines=2500, candidates=512, docs=192, sampled=False)
NAMES = ("lines", "rank", "rank-1000", "rank-tree", "rank-long", "docs", "long", "growth")


def build(name: str, sizes: Sizes, tokenizer: Tokenizer) -> list[Work]:
    """The works of a name: one, or for growth one a size."""
    cut = _Cutter(tokenizer)
    if name == "growth":
        return [
            Work(f"growth-{size}", f"lines of {size:,} tokens in all", cut.lines_of(size), peers=False)
            for size in sizes.growth
        ]
    if name == "lines":
        requests = [cut.request(text) for text in _sentences(sizes.lines)]
        return [Work(name, f"{len(requests)} sentences", requests)]
    if name == "docs":
        docs = [cut.passage(sizes.doc, SEED + i) for i in range(sizes.docs)]
        return [Work(name, f"{sizes.docs} documents", [cut.request(doc) for doc in docs])]
    if name == "long":
        return [Work(name, "one long text", [cut.request(cut.passage(sizes.long, SEED))])]
    context = cut.passage(sizes.long_context if name == "rank-long" else sizes.context, SEED)
    if name == "rank-tree":
        candidates, sample = list(_branching(sizes.branches)), 32
    elif name == "rank-1000":
        candidates, sample = list(_phrases(sizes.many_candidates)), 32
    else:
        candidates, sample = list(_phrases(sizes.candidates)), 8
    requests = [cut.request(candidate, context) for candidate in candidates]
    what = f"{len(candidates)} candidates{' that branch' * (name == 'rank-tree')} after one context"
    some = sizes.sampled and name != "rank" and sample < len(requests)
    return [Work(name, what, requests, True, sample if some else None)]


class _Cutter:
    """Texts of a wanted number of tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._whole = " ".join(_paragraphs())
        self._words = self._whole.split()

    def request(self, text: str, context: str | None = None) -> Request:
        ids = self._ids((context or "") + text)
        if context is None:
            return Request(text, ids)
        before = self._ids(context)
        assert ids[: len(before)] == before, "a candidate's first token straddles the boundary"
        return Request(text, ids[len(before) :], context, before)

    def passage(self, tokens: int, seed: int) -> str:
        """About so many tokens, and no more, from a word chosen by chance on; it ends with a word."""
        chance = random.Random(seed)
        first = chance.randrange(max(len(self._words) - 2 * tokens, 1))
        text = " ".join(self._words[first : first + tokens])
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        if len(encoding.ids) > tokens:
            text = text[: encoding.offsets[tokens][0]].rpartition(" ")[0]
        return text

    def lines_of(self, tokens: int) -> list[Request]:
        """Runs of words of a sentence's length that begin at different words, so that they share little."""
        chance, requests, count = random.Random(SEED), list[Request](), 0
        starts = iter(chance.sample(range(len(self._words) - 40), k=min(tokens, len(self._words) - 40)))
        while count < tokens:
            first = next(starts)
            requests.append(self.request(" ".join(self._words[first : first + chance.randrange(8, 32)])))
            count += len(requests[-1].ids)
        return requests

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


@cache
def _paragraphs() -> list[str]:
    text = "\n\n".join(topics[name] for name in sorted(topics))
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if len(paragraph.split()) > 8]


def _sentences(count: int) -> list[str]:
    found = [s for paragraph in _paragraphs() for s in re.split(r"(?<=[.!?]) +", paragraph) if 40 < len(s) < 400]
    distinct = list(dict.fromkeys(found))
    random.Random(SEED).shuffle(distinct)
    return distinct[:count]


def _phrases(count: int) -> Iterator[str]:
    """Words that mean nothing together: as many tokens as a candidate of an n-best list."""
    chance = random.Random(SEED)
    words = _plain_words()
    return (" " + " ".join(chance.choice(words) for _ in range(chance.randrange(5, 13))) for _ in range(count))


def _branching(branches: int) -> Iterator[str]:
    """Every path through four forks of two-word phrases, in an order chosen by chance."""
    chance = random.Random(SEED)
    words = _plain_words()
    forks = [[f" {chance.choice(words)} {chance.choice(words)}" for _ in range(branches)] for _ in range(4)]
    paths = ["".join(path) for path in product(*forks)]
    chance.shuffle(paths)
    return iter(paths)


def _plain_words() -> Sequence[str]:
    return [word for paragraph in _paragraphs() for word in paragraph.split() if word.isalpha()]
