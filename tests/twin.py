"""The slow twin: the plainest scorer that can be written, to hold the fast one against.

One text at a time, in float64, straight from transformers: a whole forward pass, and at each place the target's logit
less the logsumexp of all. No batch, no cache, no shared prefix, and no code of lmscore's.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer


@dataclass(frozen=True)
class Expected:
    """A token, and the log-probabilities of the whole vocabulary at its place ([V]; None where nothing stands before).

    ``behind`` counts the text's tokens that were read before it; ``cut``, whether others were out of sight.
    """

    id: int
    row: Tensor | None
    behind: int
    cut: bool

    @property
    def logprob(self) -> float | None:
        return None if self.row is None else float(self.row[self.id])

    @property
    def entropy(self) -> float:
        assert self.row is not None
        return float(-(self.row.exp() * self.row).nan_to_num().sum())

    def rank_range(self, tolerance: float) -> range:
        """The ranks it may have, if logits may be off by this much."""
        assert self.row is not None
        least, most = ((self.row > self.row[self.id] + by).sum().item() for by in (tolerance, -tolerance))
        return range(1 + int(least), 1 + int(most))

    def top(self, count: int) -> list[float]:
        assert self.row is not None
        return self.row.sort(descending=True).values[:count].tolist()


class Twin:
    """A model in float64, with the tokenizer that transformers gives for it."""

    def __init__(self, folder: Path, start: int | None) -> None:
        model: Any = AutoModelForCausalLM
        self._model: Any = model.from_pretrained(folder, dtype=torch.float64).eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._start = [] if start is None else [start]
        self._limit: int = self._model.config.max_position_embeddings
        self.eos: int = self._tokenizer.eos_token_id

    def score(
        self, text: str, context: str | None = None, eos: bool = False, stride: int | None = None
    ) -> list[Expected]:
        """What each token of a text must get, after the start symbol and the context."""
        ids, first = self.tokens(text, context)
        ids += [self.eos] * eos

        @cache
        def read(begin: int, end: int) -> Tensor:
            """The log-probabilities after each id of a window that opens with the start symbol: [T, V]."""
            window = torch.tensor([self._start + ids[begin:end]])
            with torch.inference_mode():
                logits = self._model(window).logits[0]
            return torch.as_tensor(logits - logits.logsumexp(-1, keepdim=True))

        expected = []
        for i in range(first, len(ids)):
            begin, end = self._window(i, first, len(ids), stride)
            before = len(self._start) + i - begin
            row = read(begin, end)[before - 1] if before else None
            expected.append(Expected(ids[i], row, i - begin, begin > 0))
        return expected

    def tokens(self, text: str, context: str | None) -> tuple[list[int], int]:
        """The ids of context and text joined, and how many of them hold no character of the text."""
        before = context or ""
        encoded = self._tokenizer(
            before + text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        return encoded["input_ids"], sum(end <= len(before) for _, end in encoded["offset_mapping"]) if before else 0

    def _window(self, i: int, first: int, length: int, stride: int | None) -> tuple[int, int]:
        """Which tokens are read for token i.

        A window holds as many as the model reads and one more, its last, which is only predicted. The first one begins
        where the context does if it has room for a token behind that, else it reaches a stride past the context; each
        further one a stride further, though the text may end before.
        """
        size = self._limit - len(self._start) + 1
        if length <= size:
            return 0, length - 1
        stride = min(stride or self._limit // 2, self._limit)
        reach = size if first < size else first + stride
        while reach <= i:
            reach += stride
        return max(reach - size, 0), min(reach, length) - 1
