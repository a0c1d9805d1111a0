"""A Llama-like decoder written out: a tree of ids in, hidden rows and logits out; what texts share is computed once.

It goes layer by layer over a whole tree, and within a layer by chunks of rows that stay in a CPU's cache; so keys and
values exist for one layer at a time, and memory does not grow with the depth of the network. Sequences stand one behind
the other, none filled up to another's length, and an id attends to those that lead to it in the tree.

Fits Llama, Mistral, Qwen2 and Qwen3 where they are plain. Whether it fits a model is asked of the configuration and of
the weights' names; `loading` holds its numbers against the original's. Knows no text, and leaves to `linear` and
`attention` which of torch's operators are quick where.

Sources: Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models"; Su et al. 2021, "RoFormer" (rotary
positions); Zhang and Sennrich 2019, "Root Mean Square Layer Normalization"; Shazeer 2020, "GLU Variants Improve
Transformer".
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .accelerator import most_rows, sent
from .attention import BLOCK, Attention, laid_out
from .linear import FEWEST_ROWS, Linear
from .planning import Tree, Window, trees
from .weights import UNIT_PART, Stored, mapped

ARCHITECTURES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
EMBEDDINGS = "model.embed_tokens.weight"
ROTATIONS = frozenset({"default", "linear", "llama3"})

VOCABULARY_BLOCK = 2048
"""Columns of logits that exist together on a CPU; an accelerator makes them all at once."""

TREE_BYTES = 20 << 20
"""Hidden rows of one tree, in bytes, where nobody says what is free: on a CPU a bound on memory that no text raises,
up to the model's context."""

WORTH_PACKING = 2048
"""Rows, of one tree or of several, from which on it pays to lay out anew what does not lie transposed: a third of a
second for a model of 135 million weights, which the next three thousand rows give back. (Where MKL multiplies,
nothing is.)"""


def fits(config: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether a model of this configuration, with weights of these names, is one that this decoder knows."""
    return (
        (config.get("architectures") or [""])[0] in ARCHITECTURES
        and config.get("hidden_act") == "silu"
        and (config.get("rope_parameters") or {}).get("rope_type") in ROTATIONS
        and config.get("sliding_window") is None
        and config.get("quantization_config") is None
        and min(config["num_hidden_layers"], config["max_position_embeddings"]) > 0
        and set(names) <= _known_names(config["num_hidden_layers"])
    )


def _known_names(layers: int) -> set[str]:
    projections = [f"self_attn.{part}_proj" for part in "qkvo"] + [
        f"mlp.{part}_proj" for part in ("gate", "up", "down")
    ]
    inner = [f"{projection}.{kind}" for projection in projections for kind in ("weight", "bias")]
    norms = ("input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm")
    inner += [f"{norm}.weight" for norm in norms]
    outer = {EMBEDDINGS, "model.norm.weight", "lm_head.weight"}
    return outer | {f"model.layers.{i}.{name}" for i in range(layers) for name in inner}


class Decoder:
    """A decoder with its weights.

    Attributes:
        vocabulary: V.
        limit: how many ids it reads at once.
        share: of the memory that a tree usually may take.
    """

    steady = math.inf
    share = 1.0

    def __init__(
        self,
        config: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        frequencies: Tensor | None = None,
        table: Stored | None = None,
    ) -> None:
        """Take the weights as they are; they are not copied until it pays to pack them.

        Args:
            config: as `config.json` has it, with ``rope_parameters``.
            weights: by the names that transformers gives them; those of a gated unit may come in parts.
            frequencies: [D / 2], radians by which a position turns each pair; None computes the plain ones.
            table: the embeddings [V, H] where they are to stay in their file, and be looked up there.
        """
        embeddings = weights[EMBEDDINGS]  # [V, H]
        self._table = table or embeddings
        self.vocabulary: int = embeddings.shape[0]
        self.limit: int = config["max_position_embeddings"]
        self.device, self.dtype = embeddings.device, embeddings.dtype
        heads: int = config["num_attention_heads"]
        self._head_size: int = config.get("head_dim") or config["hidden_size"] // heads
        self._epsilon: float = config["rms_norm_eps"]
        self._frequencies = self._plain_frequencies(config) if frequencies is None else frequencies
        self._layers = [
            _Layer(weights, f"model.layers.{i}.", self._head_size, self._epsilon)
            for i in range(config["num_hidden_layers"])
        ]
        self._norm = weights["model.norm.weight"]
        columns = VOCABULARY_BLOCK if self.device.type == "cpu" else self.vocabulary
        head = weights.get("lm_head.weight", self._table)  # [V, H]
        self._head = [Linear.of(_rows(head, first, columns)) for first in range(0, self.vocabulary, columns)]
        self._rows_read = 0
        self._packed = False

    @cached_property
    def _most_ids(self) -> int:
        """How many ids a tree may have: decided once, since sums differ with what is read together."""
        rows = most_rows(self._layers[0].bytes_a_row, self.device)
        return TREE_BYTES // (len(self._norm) * self.dtype.itemsize) if rows is None else rows

    def read(self, windows: Sequence[Window]) -> Iterator[tuple[Tree, Tensor]]:
        """Read windows as trees.

        Yields:
            A tree of windows, and a hidden row for each of its ids: [N, H].
        """
        for tree in trees(windows, int(self.share * self._most_ids)):
            yield tree, self._hidden(tree)

    def logits(self, hidden: Tensor) -> Iterator[Tensor]:
        """What hidden rows [R, H] expect next, a block of the vocabulary at a time: [R, part of V]."""
        count = len(hidden)
        if self.device.type == "cpu":
            hidden = F.pad(hidden, (0, 0, 0, _full(count) - count))
        normed = _normed(hidden, self._norm, self._epsilon)  # [R and perhaps some more, H]
        return (block(normed)[:count] for block in self._head)

    def _hidden(self, tree: Tree) -> Tensor:
        count = _full(len(tree.ids))
        tree = tree.filled(count)
        self._rows_read += count
        if self._rows_read >= WORTH_PACKING:
            self.settle()
        rotation = self._rotation(sent(tree.depths, self.device))
        layout = laid_out(count, self.device, self.dtype)
        attention = Attention(tree, layout, self.device, self.dtype)
        hidden = self._embedded(tree.ids)  # [N, H]
        keys, values = self._layers[0].room(hidden)
        for layer in self._layers:
            for chunk in layout.chunks(count):
                layer(hidden, chunk, rotation, keys, values, attention)
        return hidden

    def _embedded(self, ids: Sequence[int]) -> Tensor:
        """The embeddings of N ids: [N, H]."""
        places = sent(ids, self.device)
        if isinstance(self._table, Tensor):
            return F.embedding(places, self._table)
        distinct, places = torch.unique(places, return_inverse=True)
        return self._table.rows(distinct.tolist()).index_select(0, places)

    def _plain_frequencies(self, config: Mapping[str, Any]) -> Tensor:
        theta: float = config["rope_parameters"]["rope_theta"]
        exponents = torch.arange(0, self._head_size, 2, device=self.device).float() / self._head_size
        return 1.0 / theta**exponents

    def _rotation(self, depths: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of each position's angles, as `_rotated` takes them; worked out in float32."""
        angles = (depths[:, None].float() * self._frequencies.float())[:, None]  # [N, 1, D / 2]
        cosine, sine = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        return torch.cat((cosine, cosine), dim=-1), sine

    def settle(self) -> None:
        """Pack the weights, on a CPU, if that has not been done."""
        if self._packed or self.device.type != "cpu":
            return
        room = self._norm.new_empty(len(self._norm) * UNIT_PART, dtype=self.dtype)
        for at in range(len(self._head)):  # one by one: each may be mapped by itself, and goes as it is packed
            self._head[at] = self._head[at].packed(room)
        for layer in self._layers:
            layer.pack(room)
        self._packed = True


def _rows(table: Tensor | Stored, first: int, count: int) -> Tensor:
    """Rows `first` to `first + count`; of one that lies in a file, mapped by themselves, to go as they are packed."""
    return mapped([table.part(first, count)])[0] if isinstance(table, Stored) else table[first : first + count]


def _full(count: int) -> int:
    """Rows, and as many more as make it one of a few sizes.

    oneDNN keeps what it makes for each size that it meets, up to a thousand: a quarter of a gigabyte.
    """
    step = FEWEST_ROWS if count <= BLOCK else BLOCK
    return -(-count // step) * step


class _Layer:
    """One layer: attention, then a gated linear unit, each added to what it was given."""

    def __init__(self, weights: Mapping[str, Tensor], prefix: str, head_size: int, epsilon: float) -> None:
        def linear(name: str) -> Linear:
            return Linear.of(weights[f"{prefix}{name}.weight"], weights.get(f"{prefix}{name}.bias"))

        def parts(name: str) -> list[Linear]:
            weight = weights[f"{prefix}{name}.weight"]
            if weight.dim() == 3:
                bias = weights.get(f"{prefix}{name}.bias")
                return list(map(Linear.of, weight, [None] * len(weight) if bias is None else bias.chunk(len(weight))))
            exact = weight.device.type == "cpu" and weight.dtype == torch.float32
            part = UNIT_PART if exact else len(weight)
            whole = linear(name)
            return [whole.rows(at, part) for at in range(0, whole.width, part)]

        def norm(name: str) -> Tensor | None:
            weight = weights.get(f"{prefix}{name}.weight")
            return None if weight is None else weight.clone()  # small, and would keep a file mapped

        self._head_size, self._epsilon = head_size, epsilon
        self._before_attention, self._before_unit = norm("input_layernorm"), norm("post_attention_layernorm")
        self._query_norm, self._key_norm = norm("self_attn.q_norm"), norm("self_attn.k_norm")
        self._query, self._key, self._value, self._out = (linear(f"self_attn.{part}_proj") for part in "qkvo")
        gates, ups, down = parts("mlp.gate_proj"), parts("mlp.up_proj"), linear("mlp.down_proj")
        widths = [gate.width for gate in gates]
        downs = [down.columns(end - width, width) for end, width in zip(accumulate(widths), widths, strict=True)]
        self._unit = list(zip(gates, ups, downs, strict=True))

    def pack(self, room: Tensor) -> None:
        self._query, self._key = self._query.packed(room), self._key.packed(room)
        self._value, self._out = self._value.packed(room), self._out.packed(room)
        self._unit = [(gate.packed(room), up.packed(room), down.packed(room)) for gate, up, down in self._unit]

    @property
    def bytes_a_row(self) -> int:
        """About what a row takes on its way through, where all rows go together: a dozen states, three gated units."""
        gates = sum(gate.width for gate, _, _ in self._unit)
        return (12 * self._out.width + 3 * gates) * self._out.weight.element_size()

    def room(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Where the keys and values of hidden rows [N, H] will stand: [N, heads that share them, D]."""
        shape = (len(hidden), self._key.width // self._head_size, self._head_size)
        return hidden.new_empty(shape), hidden.new_empty(shape)

    def __call__(
        self,
        hidden: Tensor,
        chunk: slice,
        rotation: tuple[Tensor, Tensor],
        keys: Tensor,
        values: Tensor,
        attention: Attention,
    ) -> None:
        """Take the rows of a chunk one layer further, in place; all that lead to them must have been here before.

        Args:
            hidden: [N, H].
            rotation: cosine and sine, [N, 1, D] and [N, 1, D / 2].
            keys, values: [N, heads that share them, D], filled up to the chunk.
        """
        rows = hidden[chunk]  # [C, H]
        cosine, sine = rotation[0][chunk], rotation[1][chunk]
        normed = _normed(rows, self._before_attention, self._epsilon)  # [C, H]
        query = self._heads(self._query(normed), self._query_norm)  # [C, heads, D]
        key = self._heads(self._key(normed), self._key_norm)
        query = _rotated(query, cosine, sine)
        keys[chunk] = _rotated(key, cosine, sine)
        values[chunk] = self._value(normed).view(len(rows), -1, self._head_size)
        mixed = attention(chunk, query, keys, values)  # [C, heads · D]
        rows = self._out.plus(mixed, rows)
        normed = _normed(rows, self._before_unit, self._epsilon)
        for gate, up, down in self._unit:
            rows = down.plus(up.times(normed, gate.silu(normed)), rows)
        hidden[chunk] = rows

    def _heads(self, rows: Tensor, norm: Tensor | None) -> Tensor:
        return _normed(rows.view(len(rows), -1, self._head_size), norm, self._epsilon)


def _normed(rows: Tensor, weight: Tensor | None, epsilon: float) -> Tensor:
    """Rows divided by their root mean square; as they are, where a model has no norm here."""
    return rows if weight is None else F.rms_norm(rows, weight.shape, weight, epsilon)


def _rotated(rows: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions: pairs (i, i + D/2) of each head turned by their angle.

    Args:
        rows: [C, heads, D].
        cosine: [C, 1, D], the same in both halves.
        sine: [C, 1, D / 2].
    """
    half = rows.shape[-1] // 2
    rotated = rows * cosine
    rotated[..., :half].addcmul_(rows[..., half:], sine, value=-1)
    rotated[..., half:].addcmul_(rows[..., :half], sine)
    return rotated
