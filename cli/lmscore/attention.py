"""Attention over a tree of ids: which rows attend together, and to what; each to those that lead to it, and to itself.

Rows are cut into blocks. One in which each row leads to the next needs no mask, or a corner of one that all share;
others stand side by side, each behind a path of its own, and under a mask. A long path that many rows see is looked at
apart, by all of them together, and needs none. Knows torch and trees, no weights.

Sources: Vaswani et al. 2017, "Attention Is All You Need"; Ainslie et al. 2023, "GQA" (heads that share keys and
values).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .accelerator import has_flash_attention, sent
from .linear import CHUNK, holds
from .planning import Tree

BLOCK = 32
BLOCK_ELSEWHERE = 256
"""Rows of a block that attends together, on a CPU and on an accelerator. Each is held against the keys of all of them:
a larger block wastes more, a smaller one keeps fewer units busy."""

CHAIN = 96
"""On a CPU, rows of a block in which each leads to the next: it wastes little, and torch's kernel gains a tenth."""

LONG_PATH = 256
"""On a CPU, a path of so many ids is looked at apart by the rows behind it, without a mask: torch's kernel is then up
to half as fast again."""

MOST_MASKED = 512
"""Rows of a block that needs a mask, however many a layout allows."""

MOST_KEYS = 4096
MOST_KEYS_ELSEWHERE = 65_536
"""How many keys blocks that attend side by side may look at together, on a CPU and on an accelerator."""

MOST_BESIDE = 65_536
"""Rows of chains that attend side by side on a CUDA device, what fills them up counted: one call for each of hundreds
of documents would keep it waiting. On a CPU each attends by itself, and nothing is gathered."""

FILLING = 1.5
"""Blocks side by side may take this many times their own keys once they are filled up, a chain this many times its
rows."""

MASK_STEP = 8
"""A mask has a multiple of so many columns: else torch copies it, filled up, for CUDA kernels, in each layer again."""

MASK_BYTES = 8 << 20
MASK_BYTES_ELSEWHERE = 256 << 20
"""Masks of one tree that are kept from layer to layer, on a CPU and on an accelerator."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a tree go through a layer.

    Attributes:
        rows: of a chunk.
        block: rows of a block that attends together.
        chain: rows of one in which each leads to the next.
        apart: how many ids a path has that is looked at apart by the rows behind it; None where none is.
        keys: how many keys blocks that attend side by side may look at together.
        masks: bytes of masks that are kept.
        beside: rows of chains that attend side by side; 0 where each does so alone.
    """

    rows: int
    block: int
    chain: int
    apart: int | None
    keys: int
    masks: int
    beside: int

    def chunks(self, count: int) -> list[slice]:
        """So many rows, a chunk after another."""
        return [slice(first, min(first + self.rows, count)) for first in range(0, count, self.rows)]


def laid_out(count: int, device: torch.device, dtype: torch.dtype) -> Layout:
    """How so many rows go through a layer on a device."""
    if device.type != "cpu":
        # Where torch has no kernel of one pass, attention takes memory for each pair of rows.
        beside = MOST_BESIDE if device.type == "cuda" and dtype != torch.float64 else 0
        return Layout(
            count, BLOCK_ELSEWHERE, count, None, keys=MOST_KEYS_ELSEWHERE, masks=MASK_BYTES_ELSEWHERE, beside=beside
        )
    chunks = -(-count // CHUNK)
    rows = -(-count // chunks // BLOCK) * BLOCK  # of a size: a last one of a few rows would be slow, and less exact
    apart = LONG_PATH if dtype in APART else None
    return Layout(rows, BLOCK, CHAIN, apart, keys=MOST_KEYS, masks=MASK_BYTES, beside=0)


@dataclass(frozen=True, slots=True)
class _Chain:
    """Rows that lead one to the next, behind a path in one piece: each may look at all of it, and at those before it.

    Here as in a group, what is looked at apart does not belong to a path.

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


@dataclass(frozen=True, slots=True)
class _Behind:
    """Rows behind a long path, which each of them sees whole: it is looked at apart from what comes after it.

    Attributes:
        path: the path, K; in one piece, or ids: [K].
        rows: the rows.
        parts: how they attend to what comes after it.
    """

    path: slice | Tensor
    rows: slice
    parts: Sequence[_Chain | _Group]


_InOrder = _Chain | _Group | _Behind
_Part = _InOrder | _Chains


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the rows of a chunk attend, C of them.

    Attributes:
        order: where each stands among what the parts give, [C]; None where that is in order.
    """

    parts: Sequence[_Part]
    order: Tensor | None = None


class Attention:
    """Each id of a tree attends to those that lead to it, and to itself."""

    def __init__(self, tree: Tree, layout: Layout, device: torch.device, dtype: torch.dtype) -> None:
        """Plan it."""
        self._ends = sent(tree.ends, device)
        planner = _Planner(tree, layout, device)
        self._plans = {chunk.start: planner.plan(chunk.start, chunk.stop) for chunk in layout.chunks(len(tree.ids))}
        # What the last rows of a chain see of it. Each chain's mask is a corner of this.
        most = min(max(layout.block, layout.chain), MOST_MASKED)
        longest = max((part.keys.stop - part.keys.start for part in self._masked_chains()), default=most)
        self._chain = torch.zeros(most, max(longest, most), dtype=dtype, device=device)
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
        return (mixed if plan.order is None else _gathered(mixed, plan.order)).flatten(1)

    def _part(self, part: _Part, chunk: slice, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Mix the values for one part's rows, those that fill it up included: [R, heads, D]."""
        if isinstance(part, _Chains):
            asking, held, told = (_gathered(rows, part.rows) for rows in (query, keys[chunk], values[chunk]))
            return _mixed(asking, held, told, None).flatten(0, 1)
        if isinstance(part, _Behind):
            return self._behind(part, chunk, query, keys, values)
        return _mixed(*self._looking(part, chunk, query, keys, values)).flatten(0, 1)

    def _behind(self, behind: _Behind, chunk: slice, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        asking = _asking(query, behind.rows, chunk)
        far = _looking_far(asking, _gathered(keys, behind.path), _gathered(values, behind.path))
        looking = [self._looking(part, chunk, query, keys, values) for part in behind.parts]
        found = [_with_norm(asked, held, told, mask, causal=mask is None) for asked, held, told, mask in looking]
        mixed, norms = (torch.cat([some.flatten(0, 1) for some in column]) for column in zip(*found, strict=True))
        return _together(far, (mixed, norms))

    def _looking(
        self, part: _Chain | _Group, chunk: slice, query: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """A part's rows, keys and values, and its mask, as `_mixed` takes them."""
        asking = _asking(query, part.rows, chunk)
        if isinstance(part, _Group):
            asking = asking.view(len(part.keys), -1, *query.shape[1:])  # [G, B, heads, D]
            return asking, _gathered(keys, part.keys), _gathered(values, part.keys), self._mask(part)
        mask = None  # of a chain that is all there, torch's fastest kernels need none
        if not part.is_whole:
            mask = self._chain[part.rows.start - part.rows.stop :, part.keys.start - part.keys.stop :]  # [B, K]
            if mask.is_cuda:
                mask = mask.clone()  # torch's kernel wants it to begin at a multiple of 16 bytes, and does not look
        return asking[None], keys[None, part.keys], values[None, part.keys], mask

    def _masked_chains(self) -> Iterator[_Chain]:
        for plan in self._plans.values():
            for part in plan.parts:
                for block in part.parts if isinstance(part, _Behind) else [part]:
                    if isinstance(block, _Chain) and not block.is_whole:
                        yield block

    def _mask(self, group: _Group) -> Tensor:
        """0 where a row may attend, else -inf: [G, 1, B, K]. Kept for the next layer, as far as there is room."""
        if (kept := self._masks.get(group.rows.start)) is not None:
            return kept
        rows = torch.arange(group.rows.start, group.rows.stop, device=self._ends.device)
        rows = rows.view(len(group.keys), 1, -1, 1)  # [G, 1, B, 1]
        keys = group.keys[:, None, None, :]  # [G, 1, 1, K]
        sees = (keys <= rows) & (rows < self._ends[keys])  # [G, 1, B, K]
        # Where a block's keys are filled up, the first id stands once more: one that is seen already, elsewhere or by
        # nobody.
        sees[..., 1:] &= keys[..., 1:] > 0
        mask = torch.zeros(sees.shape, dtype=self._chain.dtype, device=sees.device).masked_fill_(~sees, -torch.inf)
        if mask.nbytes <= self._room:
            self._room -= mask.nbytes
            self._masks[group.rows.start] = mask
        return mask


@dataclass(frozen=True, slots=True)
class _Planner:
    """Plans how the rows of a tree attend."""

    tree: Tree
    layout: Layout
    device: torch.device

    def plan(self, first: int, end: int) -> _Plan:
        """Plan how rows `first` to `end` attend, whole chains of like length side by side where the layout has that.

        A chain that is the only one is left as it is.
        """
        in_order = list(self._in_order(first, end))
        rest, whole = list[_InOrder](), list[range]()
        for part in in_order:
            if isinstance(part, _Chain) and part.is_whole:
                whole.append(range(part.rows.start - first, part.rows.stop - first))
            else:
                rest.append(part)
        if not self.layout.beside or len(whole) < 2:
            return _Plan(in_order)
        parts, nobody = list[_Part](rest), end - first
        given = [torch.arange(part.rows.start - first, part.rows.stop - first) for part in rest]
        for chains in _alike(whole, self.layout.beside):
            starts = torch.tensor([[chain.start] for chain in chains])  # [G, 1]
            stops = torch.tensor([[chain.stop] for chain in chains])
            rows = starts + torch.arange(len(chains[0]))  # [G, B]
            given.append(rows.where(rows < stops, nobody).flatten())
            parts.append(_Chains(sent(rows.where(rows < stops, starts), self.device)))
        return _Plan(parts, sent(torch.cat(given).argsort()[:nobody], self.device))

    def _in_order(self, first: int, end: int) -> Iterator[_InOrder]:
        """Cut rows `first` to `end` into parts; a long path that many of them see is looked at apart."""
        tree, layout = self.tree, self.layout
        start = row = first
        while layout.apart is not None and row < end:
            if tree.depths[row] >= layout.apart and (row == first or tree.parents[row] != row - 1):
                path, stop = self._long_path(row, end, layout.apart)
                yield from self._parts(start, row)
                in_one_piece = path[-1] - path[0] == len(path) - 1
                keys = slice(path[0], path[-1] + 1) if in_one_piece else sent(path, self.device)
                yield _Behind(keys, slice(row, stop), list(self._parts(row, stop, len(path))))
                start = row = stop
            else:
                row += 1
        yield from self._parts(start, end)

    def _long_path(self, row: int, end: int, least: int) -> tuple[list[int], int]:
        """The first `least` or more of the ids that lead to a row; and where the rows end that see all of them, or
        `end`.

        The fewer ids, the more rows may see them: as many as make the most of both.
        """
        path = self.tree.path(row)
        stops = [min(self.tree.ends[id], end) for id in path]
        count = max(range(least, len(path) + 1), key=lambda count: count * (stops[count - 1] - row))
        return path[:count], stops[count - 1]

    def _parts(self, first: int, end: int, seen: int = 0) -> Iterator[_Chain | _Group]:
        """Cut rows `first` to `end` into blocks, and put those that look back at about as much side by side.

        A block in which each row leads to the next goes on to a chain's rows, and at most MOST_MASKED if anything
        stands before it.

        Args:
            seen: how many ids, the first of all that lead to these rows, are not to be looked at.
        """
        tree, layout = self.tree, self.layout
        waiting: list[list[int]] = []
        begin = first

        def group(stop: int) -> Iterator[_Group]:
            if waiting:
                width = -(-max(map(len, waiting)) // MASK_STEP) * MASK_STEP
                filled = [keys + [0] * (width - len(keys)) for keys in waiting]
                yield _Group(slice(begin, stop), sent(filled, self.device))

        stop = first
        while stop < end:
            start, stop = stop, min(stop + layout.block, end)
            path = tree.path(start, seen)
            leads_on = tree.depths[stop - 1] - tree.depths[start] == stop - 1 - start  # no row is more than one deeper
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


def _alike(chains: Sequence[range], most: int) -> Iterator[list[range]]:
    """Chains of like length, longest first: of `most` rows once all are filled up to the longest of them, or one."""
    left = sorted(chains, key=len, reverse=True)
    while left:
        width = len(left[0])
        taken = [chain for chain in left[: max(most // width, 1)] if FILLING * len(chain) >= width]
        left = left[len(taken) :]
        yield taken


def _gathered(rows: Tensor, places: slice | Tensor) -> Tensor:
    """Rows [N, ...] at some places [...]: `rows[places]`, which for a tensor takes five times as long on a CPU."""
    if isinstance(places, slice):
        return rows[places]
    return rows.index_select(0, places.flatten()).view(*places.shape, *rows.shape[1:])


def _asking(query: Tensor, rows: slice, chunk: slice) -> Tensor:
    """Those of a chunk's queries [C, heads, D] that some rows of the tree ask."""
    return query[rows.start - chunk.start : rows.stop - chunk.start]


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


def _with_norm(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool) -> tuple[Tensor, Tensor]:
    """`_mixed`, and the logsumexp of what the values were weighed by, in float32 or more: [G, B, heads]."""
    mixed, norm = ATEN._scaled_dot_product_flash_attention_for_cpu(
        query.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), is_causal=causal, attn_mask=mask
    )
    return mixed.transpose(1, 2), norm.transpose(1, 2)


def _looking_far(query: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """What rows make of a path that all of them see whole, and the norms: [B, heads, D] and [B, heads].

    Args:
        query: [B, heads, D].
        keys, values: [K, heads that share them, D].
    """
    count, heads, size = query.shape
    shared = keys.shape[1]
    # Heads that share keys become rows: of these, the kernel is the quicker, the more there are.
    rows = query.view(count, shared, -1, size).transpose(1, 2).reshape(1, -1, shared, size)
    mixed, norm = _with_norm(rows, keys[None], values[None], None, causal=False)  # [1, B · heads / shared, shared, D]
    mixed = mixed.reshape(count, -1, shared, size).transpose(1, 2).reshape(count, heads, size)
    return mixed, norm.reshape(count, -1, shared).transpose(1, 2).reshape(count, heads)


def _together(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """One softmax over what was looked at in two parts, each given with its norms.

    Source: Milakov and Gimelshein 2018, "Online normalizer calculation for softmax".
    """
    (mixed, norm), (others, others_norm) = one, other
    weight = (norm - others_norm).sigmoid()[..., None]  # mostly near 1, where bfloat16 has few numbers
    return others.to(norm.dtype).lerp(mixed.to(norm.dtype), weight).to(mixed.dtype)


def _looks_apart(dtype: torch.dtype) -> bool:
    """Whether this torch has the operator, and it gives what it should: for a chain, and for blocks side by side."""
    query = torch.arange(192.0).sin().to(dtype).view(2, 3, 4, 8)
    keys, values = torch.arange(320.0).cos().to(dtype).view(2, 2, 5, 2, 8)
    keys[1, :2], values[1, :2] = keys[0, :2], values[0, :2]  # the path
    mask = torch.full((2, 1, 3, 5), -torch.inf, dtype=dtype).triu(3)
    expected = _mixed(query, keys, values, mask).flatten(0, 1)
    far = _looking_far(query.flatten(0, 1), keys[0, :2], values[0, :2])
    rounding = max(1e-5, 2 * torch.finfo(dtype).eps)
    for own, causal in ((mask[..., 2:], False), (None, True)):
        mixed, norm = _with_norm(query, keys[:, 2:], values[:, 2:], own, causal)
        if not torch.allclose(_together(far, (mixed.flatten(0, 1), norm.flatten(0, 1))), expected, atol=rounding):
            return False
    return True


ATEN: Any = torch.ops.aten
APART = frozenset(dtype for dtype in (torch.float32, torch.float64, torch.bfloat16) if holds(_looks_apart, dtype))
