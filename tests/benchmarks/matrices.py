"""What a work costs at least: the rows that must be read, the rows that must meet the vocabulary, the products of both.

Pure; knows no torch. Attention's own products are left out: the limit is a little lower than any scorer can reach.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .works import Request

Shape = tuple[int, int]
"""Inputs and outputs of a linear map."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Rows of a work: those that go through every layer, and those that go on through the output head."""

    rows: int
    head_rows: int


def cost(requests: Sequence[Request], start: int) -> Cost:
    """Count each id once, however many sequences begin with it and all before it.

    Sorted sequences are a tree in preorder: each is new from where it differs from the one before it.
    """
    rows = head_rows = 0
    before: list[int] = []
    for path, asked in sorted(_path(request, start) for request in requests):
        shared = next((i for i, pair in enumerate(zip(before, path, strict=False)) if pair[0] != pair[1]), None)
        shared = min(len(before), len(path)) if shared is None else shared
        rows += len(path) - shared
        head_rows += len(path) - max(asked, shared)
        before = path
    return Cost(rows, head_rows)


def _path(request: Request, start: int) -> tuple[list[int], int]:
    """The ids that are read, and the first of them that a scored token is asked after."""
    context = request.context_ids or []
    return [start, *context, *request.ids][:-1], len(context)


@dataclass(frozen=True, slots=True)
class Matrices:
    """A model's linear maps: how often each shape stands in the body, and the output head."""

    layers: int
    body: Mapping[Shape, int]
    head: Shape

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Matrices":
        """Those of a Llama-like model.

        Args:
            config: as `config.json` has it.
        """
        hidden, unit, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
        size = config.get("head_dim") or hidden // heads
        query, key = heads * size, config["num_key_value_heads"] * size
        layer: list[Shape] = [(hidden, query), (query, hidden), *[(hidden, key), (hidden, unit)] * 2, (unit, hidden)]
        layers = config["num_hidden_layers"]
        body = {shape: count * layers for shape, count in Counter(layer).items()}
        return cls(layers, body, (hidden, config["vocab_size"]))

    @property
    def shapes(self) -> list[Shape]:
        return [*self.body, self.head]

    def seconds(self, needed: Cost, rates: Mapping[Shape, float]) -> float:
        """The products of a work, each at its shape's rate (floating-point operations a second)."""
        body = sum(count * 2 * k * n / rates[k, n] for (k, n), count in self.body.items())
        k, n = self.head
        return needed.rows * body + needed.head_rows * 2 * k * n / rates[self.head]
