"""A Llama-like decoder written out: a tree of ids in, hidden rows and logits out; what texts share is computed once.

It goes layer by layer over a whole tree, and within a layer by chunks of rows that stay in a CPU's cache; so keys and
values exist for one layer at a time, and memory does not grow with the depth of the network. Sequences stand one behind
the other, none filled up to another's length, and an id attends to those that lead to it in the tree.

Fits Llama, Mistral, Qwen2 and Qwen3 where they are plain. Whether it fits a model is asked of the configuration and of
the weights' names; `loading` holds its numbers against the original's. Knows torch and no text.

Sources: Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models"; Su et al. 2021, "RoFormer" (rotary
positions); Zhang and Sennrich 2019, "Root Mean Square Layer Normalization"; Shazeer 2020, "GLU Variants Improve
Transformer"; Ainslie et al. 2023, "GQA" (heads that share keys and values).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .accelerator import has_flash_attention, most_rows, sent
from .planning import Tree, Window, trees

ARCHITECTURES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
EMBEDDINGS = "model.embed_tokens.weight"
ROTATIONS = frozenset({"default", "linear", "llama3"})

CHUNK = 512
"""Rows that go through a layer together on a CPU: enough to multiply well, few enough to stay in its cache."""

BLOCK = 32
BLOCK_ELSEWHERE = 256
"""Rows of a block that attends together, on a CPU and on an accelerator. Each is held against the keys of all of them:
a larger block wastes more, a smaller one keeps fewer units busy."""

CHAIN = 96
"""On a CPU, rows of a block in which each leads to the next: it wastes little, and torch's kernel gains a tenth."""

MOST_MASKED = 512
"""Rows of a block that needs a mask, however many a layout allows."""

MOST_KEYS = 4096
MOST_KEYS_ELSEWHERE = 65_536
"""How many keys blocks that attend side by side may look at together, on a CPU and on an accelerator."""

MOST_BESIDE = 65_536
"""Rows of chains that attend side by side on a CUDA device, what fills them up counted: one call for each of hundreds
of documents would keep it waiting. On a CPU each attends by itself, and nothing is gathered."""

FILLING = 1.5
"""How many times their own keys blocks side by side may take once they are filled up, and how many times its rows a
chain."""

MASK_BYTES = 8 << 20
MASK_BYTES_ELSEWHERE = 256 << 20
"""Masks of one tree that are kept from layer to layer, on a CPU and on an accelerator."""

VOCABULARY_BLOCK = 2048
"""Columns of logits that exist together on a CPU; an accelerator makes them all at once."""

TREE_BYTES = 20 << 20
"""Hidden rows of one tree, in bytes, where nobody says what is free: on a CPU a bound on memory that no text raises,
up to the model's context."""

UNIT_PART = 768
"""Columns of a gated unit that are worked out, and summed up, together, in float32 on a CPU.

oneDNN adds up a whole row of products one after the other. Where one of them is a thousand times larger than the rest,
as it is at a start symbol (see FEWEST_ROWS), all that come behind it lose digits: on the default model 1.2e-4 nats at a
text's first token, and a third of that with sums of half the length.
"""

LOOKED_UP = 256
"""Rows of a mapped table that are looked up together: its pages stay in memory as long as their mapping, and sixteen of
them come with a row that stands far from the others."""

WORTH_PACKING = 2048
"""Rows, of one tree or of several, from which on it pays to lay the weights out anew: a third of a second for the
default model, which the next three thousand rows give back."""

FEWEST_ROWS = 8
"""Fewer rows than this are filled up with rows that nobody reads.

CPU libraries multiply very thin matrices with other kernels, and models amplify the difference: the hidden state of a
start symbol grows a thousandfold on its way and cancels again (Sun et al. 2024, "Massive Activations in Large Language
Models"). On the default model a lone short text would be 1.6e-4 nats off what it gets in a batch, at its first token.
"""


def fits(config: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether a model of this configuration, with weights of these names, is one that this decoder knows."""
    return (
        (config.get("architectures") or [""])[0] in ARCHITECTURES
        and config.get("hidden_act") == "silu"
        and (config.get("rope_parameters") or {}).get("rope_type") in ROTATIONS
        and (config.get("sliding_window") is None or config.get("use_sliding_window") is False)
        and config.get("quantization_config") is None
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
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        frequencies: Tensor | None = None,
        table: Callable[[], Tensor] | None = None,
    ) -> None:
        """Take the weights as they are; they are not copied until it pays to pack them.

        Args:
            config: as `config.json` has it, with ``rope_parameters``.
            weights: by the names that transformers gives them.
            frequencies: [D / 2], radians by which a position turns each pair; None computes the plain ones.
            table: gives the embeddings [V, H], mapped anew whenever it is asked; None takes them from the weights.
        """
        embeddings = weights[EMBEDDINGS]  # [V, H]
        self._table = table or (lambda: embeddings)
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
        head = weights.get("lm_head.weight")  # [V, H]; None where it is the embeddings
        firsts = range(0, self.vocabulary, columns)
        self._head = [
            _linear((self._table() if head is None else head)[first : first + columns], None) for first in firsts
        ]
        self._rows_read = 0
        self._packed = False

    @cached_property
    def _most_ids(self) -> int:
        """How many ids a tree may have: decided once, since sums differ with what is read together."""
        rows = most_rows(self._layers[0].bytes_a_row, self.device)
        return TREE_BYTES // (len(self._norm) * self.dtype.itemsize) if rows is None else rows

    def read(self, windows: Sequence[Window], share: float = 1.0) -> Iterator[tuple[Tree, Tensor]]:
        """Read windows as trees.

        Args:
            share: of the memory that a tree may take.

        Yields:
            A tree of windows, and a hidden row for each of its ids: [N, H].
        """
        for tree in trees(windows, int(share * self._most_ids)):
            yield tree, self._hidden(tree)

    def logits(self, hidden: Tensor) -> Iterator[Tensor]:
        """What hidden rows [R, H] expect next, a block of the vocabulary at a time: [R, VOCABULARY_BLOCK]."""
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
        layout = _layout(count, self.device, self.dtype)
        attention = _Attention(tree, layout, self.device, self.dtype)
        hidden = self._embedded(tree.ids)  # [N, H]
        keys, values = self._layers[0].room(hidden)
        for layer in self._layers:
            for chunk in layout.chunks(count):
                layer(hidden, chunk, rotation, keys, values, attention)
        return hidden

    def _embedded(self, ids: Sequence[int]) -> Tensor:
        """The embeddings of N ids: [N, H]."""
        places = sent(ids, self.device)
        if self.device.type != "cpu":
            return F.embedding(places, self._table())
        distinct, places = torch.unique(places, return_inverse=True)  # in order: those looked up together stand close
        return torch.cat([F.embedding(some, self._table()) for some in distinct.split(LOOKED_UP)])[places]

    def _plain_frequencies(self, config: Mapping[str, Any]) -> Tensor:
        theta: float = config["rope_parameters"]["rope_theta"]
        exponents = torch.arange(0, self._head_size, 2, device=self.device).float() / self._head_size
        return 1.0 / theta**exponents

    def _rotation(self, depths: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of each position's angles, as `_turned` takes them; worked out in float32."""
        angles = (depths[:, None].float() * self._frequencies.float())[:, None]  # [N, 1, D / 2]
        cosine, sine = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        return torch.cat((cosine, cosine), dim=-1), sine

    def settle(self) -> None:
        """Pack the weights, if that has not been done."""
        if self._packed:
            return
        room = self._norm.new_empty(len(self._norm) * UNIT_PART)
        for at in range(len(self._head)):  # one by one: each may be mapped by itself, and goes as it is packed
            self._head[at] = self._head[at].packed(room)
        for layer in self._layers:
            layer.pack(room)
        self._packed = True


def _full(count: int) -> int:
    """Rows, and as many more as make it one of a few sizes.

    oneDNN keeps what it makes for each size that it meets, up to a thousand: a quarter of a gigabyte.
    """
    step = FEWEST_ROWS if count <= BLOCK else BLOCK
    return -(-count // step) * step


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the rows of a tree go through a layer.

    Attributes:
        rows: of a chunk.
        block: rows of a block that attends together.
        chain: rows of one in which each leads to the next.
        keys: how many keys blocks that attend side by side may look at together.
        masks: bytes of masks that are kept.
        beside: rows of chains that attend side by side; 0 where each does so alone.
    """

    rows: int
    block: int
    chain: int
    keys: int
    masks: int
    beside: int

    def chunks(self, count: int) -> list[slice]:
        """So many rows, a chunk after another."""
        return [slice(first, min(first + self.rows, count)) for first in range(0, count, self.rows)]


def _layout(count: int, device: torch.device, dtype: torch.dtype) -> _Layout:
    if device.type != "cpu":
        # Where torch has no kernel of one pass, attention takes memory for each pair of rows.
        beside = MOST_BESIDE if device.type == "cuda" and dtype != torch.float64 else 0
        return _Layout(
            count, BLOCK_ELSEWHERE, count, keys=MOST_KEYS_ELSEWHERE, masks=MASK_BYTES_ELSEWHERE, beside=beside
        )
    chunks = -(-count // CHUNK)
    rows = -(-count // chunks // BLOCK) * BLOCK  # of a size: a last one of a few rows would be slow, and less exact
    return _Layout(rows, BLOCK, CHAIN, keys=MOST_KEYS, masks=MASK_BYTES, beside=0)


class _Layer:
    """One layer: attention, then a gated linear unit, each added to what it was given."""

    def __init__(self, weights: Mapping[str, Tensor], prefix: str, head_size: int, epsilon: float) -> None:
        def linear(name: str) -> _Linear:
            return _linear(weights[f"{prefix}{name}.weight"], weights.get(f"{prefix}{name}.bias"))

        def norm(name: str) -> Tensor | None:
            weight = weights.get(f"{prefix}{name}.weight")
            return None if weight is None else weight.clone()  # small, and would keep a file mapped

        self._head_size, self._epsilon = head_size, epsilon
        self._before_attention, self._before_unit = norm("input_layernorm"), norm("post_attention_layernorm")
        self._query_norm, self._key_norm = norm("self_attn.q_norm"), norm("self_attn.k_norm")
        self._query, self._key, self._value, self._out = (linear(f"self_attn.{part}_proj") for part in "qkvo")
        gate, up, down = (linear(f"mlp.{part}_proj") for part in ("gate", "up", "down"))
        exact = gate.weight.device.type == "cpu" and gate.weight.dtype == torch.float32
        part = UNIT_PART if exact else gate.width
        parts = range(0, gate.width, part)
        self._unit = [(gate.rows(at, part), up.rows(at, part), down.columns(at, part)) for at in parts]

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
        attention: "_Attention",
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
        query = _turned(query, cosine, sine)
        keys[chunk] = _turned(key, cosine, sine)
        values[chunk] = self._value(normed).view(len(rows), -1, self._head_size)
        mixed = attention(chunk, query, keys, values)  # [C, heads · D]
        rows = self._out.plus(mixed, rows)
        normed = _normed(rows, self._before_unit, self._epsilon)
        for gate, up, down in self._unit:
            rows = down.plus(up.times(normed, gate.silu(normed)), rows)
        hidden[chunk] = rows

    def _heads(self, rows: Tensor, norm: Tensor | None) -> Tensor:
        return _normed(rows.view(len(rows), -1, self._head_size), norm, self._epsilon)


@dataclass(frozen=True, slots=True)
class _Chain:
    """Rows that lead one to the next, behind a path in one piece: each may look at all of it, and at those before it.

    Attributes:
        rows: the rows, B.
        keys: the path and the rows, K.
    """

    rows: slice
    keys: slice

    @property
    def is_whole(self) -> bool:
        """Whether nothing stands before them."""
        return self.rows == self.keys


@dataclass(frozen=True, slots=True)
class _Chains:
    """Chains of a chunk with nothing before them, side by side: each row may look at those before it.

    Attributes:
        rows: the rows of each, counted from the chunk's first, and filled up behind its end, where none looks: [G, B].
    """

    rows: Tensor


@dataclass(frozen=True, slots=True)
class _Group:
    """Blocks of rows that attend side by side, each to the path to its first row, and within itself.

    Attributes:
        rows: the rows, G · B.
        keys: for each block what its rows may look at, filled up with 0: [G, K].
    """

    rows: slice
    keys: Tensor


_Part = _Chain | _Chains | _Group


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the rows of a chunk attend, C of them.

    Attributes:
        order: where each stands among what the parts give, [C]; None where that is in order.
    """

    parts: Sequence[_Part]
    order: Tensor | None = None


class _Attention:
    """Each id of a tree attends to those that lead to it, and to itself."""

    def __init__(self, tree: Tree, layout: _Layout, device: torch.device, dtype: torch.dtype) -> None:
        """Plan it."""
        self._ends = sent(tree.ends, device)
        self._plans = {
            chunk.start: _plan(tree, chunk.start, chunk.stop, layout, device) for chunk in layout.chunks(len(tree.ids))
        }
        # What the last rows of a chain see of it. Each chain's mask is a corner of this.
        most = min(max(layout.block, layout.chain), MOST_MASKED)
        self._chain = torch.zeros(most, max(tree.depths) + 1 + most, dtype=dtype, device=device)
        self._chain[:, -most:] = torch.full((most, most), -torch.inf, dtype=dtype, device=device).triu(1)
        self._masks: dict[int, Tensor] = {}
        self._room = layout.masks

    def __call__(self, chunk: slice, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Mix the values of what each row may attend to.

        Args:
            chunk: the rows of the tree that `query` is.
            query: [C, heads, D].
            keys, values: [N, heads that share them, D].

        Returns:
            [C, heads · D].
        """
        plan = self._plans[chunk.start]
        found = [self._part(part, chunk, query, keys, values) for part in plan.parts]
        mixed = torch.cat(found) if len(found) > 1 else found[0]
        return (mixed if plan.order is None else mixed[plan.order]).flatten(1)

    def _part(self, part: _Part, chunk: slice, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Mix the values for one part's rows, those that fill it up included: [R, heads, D]."""
        if isinstance(part, _Chains):
            asking, held, told = (rows[part.rows] for rows in (query, keys[chunk], values[chunk]))  # [G, B, ...]
            return _mixed(asking, held, told, None).flatten(0, 1)
        asking = query[part.rows.start - chunk.start : part.rows.stop - chunk.start]
        if isinstance(part, _Group):
            asking = asking.view(len(part.keys), -1, *query.shape[1:])  # [G, B, heads, D]
            return _mixed(asking, keys[part.keys], values[part.keys], self._mask(part)).flatten(0, 1)
        mask = None  # of a chain that is all there, torch's fastest kernels need none
        if not part.is_whole:
            mask = self._chain[part.rows.start - part.rows.stop :, part.keys.start - part.keys.stop :]  # [B, K]
        return _mixed(asking[None], keys[None, part.keys], values[None, part.keys], mask)[0]

    def _mask(self, group: _Group) -> Tensor:
        """0 where a row may attend, else -inf: [G, 1, B, K]. Kept for the next layer, as far as there is room."""
        if (kept := self._masks.get(group.rows.start)) is not None:
            return kept
        rows = torch.arange(group.rows.start, group.rows.stop, device=self._ends.device)
        rows = rows.view(len(group.keys), 1, -1, 1)  # [G, 1, B, 1]
        keys = group.keys[:, None, None, :]  # [G, 1, 1, K]
        sees = (keys <= rows) & (rows < self._ends[keys])  # [G, 1, B, K]
        # Where a block's keys are filled up, the first id stands once more: one that is seen already, or by nobody.
        sees[..., 1:] &= keys[..., 1:] > 0
        mask = torch.zeros(sees.shape, dtype=self._chain.dtype, device=sees.device).masked_fill_(~sees, -torch.inf)
        if mask.nbytes <= self._room:
            self._room -= mask.nbytes
            self._masks[group.rows.start] = mask
        return mask


def _plan(tree: Tree, first: int, end: int, layout: _Layout, device: torch.device) -> _Plan:
    """Plan how rows `first` to `end` attend, whole chains of like length side by side where the layout has that."""
    rest, whole = list[_Chain | _Group](), list[range]()
    for part in _parts(tree, first, end, layout, device):
        if layout.beside and isinstance(part, _Chain) and part.is_whole:
            whole.append(range(part.rows.start - first, part.rows.stop - first))
        else:
            rest.append(part)
    if not whole:
        return _Plan(rest)
    parts, nobody = list[_Part](rest), end - first
    given = [torch.arange(part.rows.start - first, part.rows.stop - first) for part in rest]
    for chains in _alike(whole, layout.beside):
        starts = torch.tensor([[chain.start] for chain in chains])  # [G, 1]
        stops = torch.tensor([[chain.stop] for chain in chains])
        rows = starts + torch.arange(len(chains[0]))  # [G, B]
        given.append(rows.where(rows < stops, nobody).flatten())
        parts.append(_Chains(sent(rows.where(rows < stops, starts), device)))
    return _Plan(parts, sent(torch.cat(given).argsort()[:nobody], device))


def _alike(chains: Sequence[range], most: int) -> Iterator[list[range]]:
    """Chains of like length, longest first: of `most` rows once all are filled up to the longest of them, or one."""
    left = sorted(chains, key=len, reverse=True)
    while left:
        width = len(left[0])
        taken = [chain for chain in left[: max(most // width, 1)] if FILLING * len(chain) >= width]
        left = left[len(taken) :]
        yield taken


def _parts(tree: Tree, first: int, end: int, layout: _Layout, device: torch.device) -> Iterator[_Chain | _Group]:
    """Cut rows `first` to `end` into blocks, and put those that look back at about as much side by side.

    A block in which each row leads to the next goes on to a chain's rows, and at most MOST_MASKED if anything stands
    before it.
    """
    waiting: list[list[int]] = []
    begin = first

    def group(stop: int) -> Iterator[_Group]:
        if waiting:
            width = max(map(len, waiting))
            filled = [keys + [0] * (width - len(keys)) for keys in waiting]
            yield _Group(slice(begin, stop), sent(filled, device))

    stop = first
    while stop < end:
        start, stop = stop, min(stop + layout.block, end)
        path = tree.path(start)
        leads_on = tree.depths[stop - 1] - len(path) == stop - 1 - start  # no row is more than one deeper
        if leads_on and (not path or path[0] + len(path) == start):  # the path stands in one piece, right before
            last = min(start + (min(layout.chain, MOST_MASKED) if path else layout.chain), end)
            while stop < last and tree.parents[stop] == stop - 1:
                stop += 1
            yield from group(start)
            yield _Chain(slice(start, stop), slice(start - len(path), stop))
            waiting, begin = [], stop
            continue
        keys = [*path, *range(start, stop)]
        blocks = [*waiting, keys]
        width = max(map(len, blocks))
        most = min(layout.keys, FILLING * sum(map(len, blocks)))
        if stop - start < layout.block or width * len(blocks) > most:
            yield from group(start)
            waiting, begin, blocks = [], start, [keys]
        waiting = blocks
    yield from group(end)


def _mixed(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention; without a mask, row i looks at key i and those before it.

    Args:
        query: [G, B, heads, D].
        keys, values: [G, K, heads that share them, D].
    """
    sharing = query.shape[2] // keys.shape[2]
    shares = query.device.type == "cpu" or (mask is None and has_flash_attention(query.device, query.dtype))
    if sharing > 1 and not shares:  # which elsewhere only flash attention takes, and it takes no mask
        keys, values, sharing = keys.repeat_interleave(sharing, 2), values.repeat_interleave(sharing, 2), 1
    mixed = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        keys.transpose(1, 2),
        values.transpose(1, 2),
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=sharing > 1,
    )
    return mixed.transpose(1, 2)


def _linear(weight: Tensor, bias: Tensor | None) -> "_Linear":
    """A linear map through the operators that are quickest for weights as they stand."""
    fuses = weight.device.type == "cpu" and weight.dtype in FUSED and weight.is_contiguous()
    return _Fused(weight, bias) if fuses else _Linear(weight, bias)


class _Linear:
    """``x Wᵀ + b``, and what often comes right after it."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias
        self.width: int = weight.shape[0]

    def __call__(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.weight, self.bias)

    def rows(self, first: int, count: int) -> "_Linear":
        """The map to `count` of the outputs."""
        end = first + count
        return _linear(self.weight[first:end], None if self.bias is None else self.bias[first:end])

    def columns(self, first: int, count: int) -> "_Linear":
        """The map from `count` of the inputs; of all parts, the first has the bias."""
        return _linear(self.weight[:, first : first + count], None if first else self.bias)

    def silu(self, rows: Tensor) -> Tensor:
        return F.silu(self(rows), inplace=True)

    def times(self, rows: Tensor, other: Tensor) -> Tensor:
        return self(rows).mul_(other)

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        """The sum, perhaps in the place of `other`: use only what is returned."""
        if self.bias is not None or other.device.type == "cpu":  # see UNIT_PART: the other may be far larger
            return other.add_(self(rows))
        return other.addmm_(rows, self.weight.T)

    def packed(self, room: Tensor) -> "_Linear":
        """The same, with its weights laid out anew as oneDNN reads them, where that can be had.

        Args:
            room: where weights that do not stand in one piece are gathered first: one for all of a model's, since an
                allocator cannot well use again what each would leave behind.
        """
        weight = self.weight
        if weight.device.type != "cpu" or weight.dtype not in FUSED or weight.is_mkldnn:
            return self
        if not weight.is_contiguous():
            weight = room[: weight.numel()].view(weight.shape).copy_(weight)
        return _Fused(ONEDNN._reorder_linear_weight(weight, CHUNK), self.bias)


ONEDNN: Any = torch.ops.mkldnn


class _Fused(_Linear):
    """A linear map through the operators that torch's own compiler uses, with the next step fused into them.

    Its weights stand in one piece, or packed. (With a part of others' columns the operators take a thousand times as
    long.)
    """

    def __call__(self, rows: Tensor) -> Tensor:
        return self._then(rows, "none")

    def silu(self, rows: Tensor) -> Tensor:
        return self._then(rows, "swish")

    def times(self, rows: Tensor, other: Tensor) -> Tensor:
        product: Tensor = ONEDNN._linear_pointwise(rows, other, self.weight, self.bias, "mul")
        return product

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        total: Tensor = ONEDNN._linear_pointwise(rows, other, self.weight, self.bias, "add")
        return total

    def _then(self, rows: Tensor, step: str) -> Tensor:
        result: Tensor = ONEDNN._linear_pointwise(rows, self.weight, self.bias, step, [], "")
        return result


def _fuses(dtype: torch.dtype) -> bool:
    """Whether this torch and this processor have the operators, and they compute what they should."""
    try:
        weight, bias, rows = torch.eye(8, dtype=dtype), torch.ones(8, dtype=dtype), torch.arange(64.0).view(8, 8)
        plain, rows = _Linear(weight, bias), rows.to(dtype)
        ways = [_Fused(weight, bias), _Fused(ONEDNN._reorder_linear_weight(weight, CHUNK), bias)]
        steps: list[Callable[[_Linear], Tensor]] = [
            lambda linear: linear(rows),
            lambda linear: linear.silu(rows),
            lambda linear: linear.times(rows, rows),
            lambda linear: linear.plus(rows, rows.clone()),
        ]
        rounding = max(1e-5, 2 * torch.finfo(dtype).eps)
        return all(torch.allclose(step(plain), step(way), rtol=rounding) for step in steps for way in ways)
    except (AttributeError, RuntimeError, TypeError):  # they are not torch's public interface: another torch may differ
        return False


FUSED = frozenset(filter(_fuses, (torch.float32, torch.bfloat16)))


def _normed(rows: Tensor, weight: Tensor | None, epsilon: float) -> Tensor:
    """Rows divided by their root mean square; as they are, where a model has no norm here."""
    return rows if weight is None else F.rms_norm(rows, weight.shape, weight, epsilon)


def _turned(rows: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions: pairs (i, i + D/2) of each head turned by their angle.

    Args:
        rows: [C, heads, D].
        cosine: [C, 1, D], the same in both halves.
        sine: [C, 1, D / 2].
    """
    half = rows.shape[-1] // 2
    turned = rows * cosine
    turned[..., :half].addcmul_(rows[..., half:], sine, value=-1)
    turned[..., half:].addcmul_(rows[..., :half], sine)
    return turned
