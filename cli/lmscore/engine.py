"""Ids in, log-probabilities out: the one place where a log-probability is born.

Knows no text, no files and no options, and of a network only that it reads windows and gives logits.
"""

import logging
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from .accelerator import Arriving, Columns, attention_of_any_shape, fetched, most_rows, out_of_memory, sent
from .errors import LmscoreError
from .planning import Window

log = logging.getLogger(__name__)

HEAD_ROWS = 256
HEAD_ROWS_ELSEWHERE = 2048
"""Rows that meet the vocabulary at once, on a CPU, and at most on an accelerator."""

LOGIT_BYTES = 12
"""What a logit takes there: as it comes, in float32, and in its logsumexp."""

SMALLEST_SHARE = 1 / 64
"""Batches are halved when memory runs out, but not below this part of their usual size."""


More = Callable[[int], object]
"""Told how many more tokens are scored."""


class Read(Protocol):
    """Windows that were read together.

    Attributes:
        indices: their places in the sequence that was to be read.
        asked: for each token that is scored, window after window, the hidden row it is asked after.
    """

    @property
    def indices(self) -> Sequence[int]: ...
    @property
    def asked(self) -> Sequence[int]: ...


class Network(Protocol):
    """A causal language model: `decoder.Decoder`, or `pretrained.Pretrained`.

    Attributes:
        steady: how many ids it reads with every position turned as in a shorter text.
        share: of the usual size, how large what it reads together may be: less once memory has run out.
    """

    share: float
    vocabulary: int
    steady: float
    device: torch.device
    dtype: torch.dtype

    @property
    def limit(self) -> int | None: ...
    def read(self, windows: Sequence[Window]) -> Iterator[tuple[Read, Tensor]]: ...
    def logits(self, hidden: Tensor) -> Iterator[Tensor]: ...
    def settle(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Readout:
    """What the model says of tokens in a row, a column for each thing that is wanted; the others are None.

    Attributes:
        logprobs: nats.
        ranks, entropies, tops, among: as `Wanted` asks for them; of the likeliest tokens, ids and log-probabilities.
    """

    logprobs: Sequence[float]
    ranks: Sequence[int] | None = None
    entropies: Sequence[float] | None = None
    tops: Sequence[tuple[tuple[int, float], ...]] | None = None
    among: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read out beside the log-probability.

    Attributes:
        among: the log-probability that the next token is one of these; none, if they are none.
    """

    rank: bool = False
    entropy: bool = False
    top: int = 0
    among: frozenset[int] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether all logits of a row must be there at once."""
        return self.rank or self.entropy or self.top > 0


def run(network: Network, windows: Sequence[Window], wanted: Wanted, more: More = int) -> list[Readout]:
    """Read windows; for each, a readout of the tokens scored there. As `begin`, and wait for it."""
    return begin(network, windows, wanted, more)()


def begin(network: Network, windows: Sequence[Window], wanted: Wanted, more: More = int) -> Callable[[], list[Readout]]:
    """Begin to read windows: a CUDA device goes on with it by itself, any other is through when this returns.

    Windows that are equal are read once.

    Args:
        more: told of tokens as they are sent to be scored, those of equal windows once.

    Returns:
        What waits for the readouts, one for each window.

    Raises:
        LmscoreError: memory ran out, even for small batches.
    """
    distinct = list(dict.fromkeys(windows))
    begun = list[tuple[list[int], Arriving]]()
    with torch.inference_mode(), attention_of_any_shape(), memory_errors():
        left = list(range(len(distinct)))
        while left:
            try:
                for read, hidden in network.read([distinct[index] for index in left]):
                    here = [left[place] for place in read.indices]
                    targets = array("q", chain.from_iterable(distinct[index].scored for index in here))
                    begun.append((here, fetched(_read_out_rows(network, hidden, read.asked, targets, wanted))))
                    more(len(targets))
                break
            except (MemoryError, RuntimeError) as err:
                share = network.share / 2
                if not out_of_memory(err) or share < SMALLEST_SHARE or len(left) == 1:
                    raise
                network.share = share
                log.warning("out of memory: going on with batches of 1/%d of the usual size", round(1 / share))
            done = {index for here, _ in begun for index in here}
            left = [index for index in left if index not in done]

    def wait() -> list[Readout]:
        found = dict[Window, Readout]()
        with memory_errors():
            for here, arriving in begun:
                read = [distinct[index] for index in here]
                found.update(zip(read, _readouts(arriving(), [len(window.scored) for window in read]), strict=True))
        if len(distinct) > 1:  # what is no number in one window may have spread to others that were read with it
            strange = [w for w, readout in found.items() if not all(map(math.isfinite, readout.logprobs))]
            found.update((window, run(network, [window], wanted)[0]) for window in strange)
        return [found[window] for window in windows]

    return wait


def _readouts(columns: Columns, lengths: Iterable[int]) -> Iterator[Readout]:
    """Cut columns into readouts of so many tokens each."""
    held: dict[str, list[Any]] = {name: column.tolist() for name, column in columns.items()}
    if "top_ids" in held:
        likeliest = zip(held.pop("top_ids"), held.pop("top_logprobs"), strict=True)
        held["tops"] = [tuple(zip(*alternatives, strict=True)) for alternatives in likeliest]
    first = 0
    for length in lengths:
        yield Readout(**{name: column[first : first + length] for name, column in held.items()})
        first += length


def _read_out_rows(
    network: Network, hidden: Tensor, asked: Sequence[int], targets: Sequence[int], wanted: Wanted
) -> Columns:
    """What is wanted of each target; a row that several are asked after meets the vocabulary once."""
    device = hidden.device
    size = max(_head_rows(network.vocabulary, device) // (4 if wanted.whole else 1), 1)
    # Worked out on the CPU: an accelerator would have to be waited for.
    rows, row_of = torch.unique(torch.asarray(asked, dtype=torch.int64), return_inverse=True)  # [U], [A]
    row_of, order = row_of.sort()  # so that those asked after the same rows stand together
    bounds = torch.searchsorted(row_of, torch.arange(0, len(rows) + size, size)).tolist()
    rows, row_of, order = sent(rows, device), sent(row_of % size, device), sent(order, device)
    wished = sent(targets, device)[order]  # [A]
    parts = list[Columns]()
    for first, (begins, ends) in zip(range(0, len(rows), size), pairwise(bounds), strict=True):
        logits = network.logits(hidden.index_select(0, rows[first : first + size]))
        parts.append(read_out(logits, row_of[begins:ends], wished[begins:ends], wanted))
    back = order.argsort()  # where each target stands in that order
    return {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}


@lru_cache
def _head_rows(vocabulary: int, device: torch.device) -> int:
    """Rows that meet the vocabulary at once: decided once, since sums differ with what is read together."""
    if device.type == "cpu":
        return HEAD_ROWS
    return min(most_rows(LOGIT_BYTES * vocabulary, device) or HEAD_ROWS_ELSEWHERE, HEAD_ROWS_ELSEWHERE)


def read_out(logits: Iterable[Tensor], rows: Tensor, targets: Tensor, wanted: Wanted) -> Columns:
    """The log-probability of each target, and what else is wanted: ``logit[target] - logsumexp(logits)``.

    Args:
        logits: [R, V] in blocks along the vocabulary, in the model's dtype; upcast here to float32 (float64 stays).
            Only where ranks, entropies or the likeliest are wanted do they exist all at once.
        rows: [A], the row each target is asked of.
        targets: [A], ids.

    Returns:
        ``logprobs``, [A]; and as wanted ``ranks``, ``entropies`` and ``among``, [A], ``top_ids`` and ``top_logprobs``,
        [A, K].
    """
    norm = logit = mass = torch.full((), -torch.inf, device=targets.device)
    kept = list[Tensor]()
    at = 0
    for block in logits:  # [R, part of V]
        block = block if block.dtype == torch.float64 else block.float()
        norm = torch.logaddexp(norm, _logsumexp(block))  # [R]
        inside = (targets - at).clamp(0, block.shape[-1] - 1)
        here = (targets >= at) & (targets < at + block.shape[-1])
        logit = block[rows, inside].where(here, logit)  # [A]
        if wanted.among and len(places := _within(wanted.among, at, at + block.shape[-1], block.device)):
            mass = torch.logaddexp(mass, _logsumexp(block[:, places]))  # [R]
        if wanted.whole:
            kept.append(block)
        at += block.shape[-1]
    told = {"logprobs": logit - norm[rows]}
    if wanted.among:
        told["among"] = (mass - norm)[rows]
    if kept:
        whole = torch.cat(kept, dim=-1)  # [R, V]
        if wanted.rank:
            pairs = zip(torch.split(rows, len(whole)), torch.split(logit, len(whole)), strict=True)
            told["ranks"] = 1 + torch.cat([(whole[row] > own[:, None]).sum(-1) for row, own in pairs])
        if wanted.entropy:  # -Σ p ln p over the vocabulary, where p = 0 counts 0
            told["entropies"] = torch.special.entr((whole - norm[:, None]).exp_()).sum(-1)[rows]
        if wanted.top:
            best = whole.topk(min(wanted.top, whole.shape[-1]), dim=-1)  # [R, K]
            told["top_ids"], told["top_logprobs"] = best.indices[rows], (best.values - norm[:, None])[rows]
    return told


@lru_cache(maxsize=256)  # the same for every row of a run: one for each block
def _within(ids: frozenset[int], first: int, end: int, device: torch.device) -> Tensor:
    """Those of some ids that stand in a block of the vocabulary: their places there."""
    return torch.tensor(sorted(id - first for id in ids if first <= id < end), dtype=torch.long, device=device)


def _logsumexp(block: Tensor) -> Tensor:
    """Along the last dimension.

    torch's log_softmax works through a row while that is in the cache, and its logsumexp through all rows, four times.
    They differ by as much in every column; in that of the greatest logit no digits are lost.
    """
    greatest = block.amax(dim=-1)
    return (greatest - block.log_softmax(dim=-1).amax(dim=-1)).where(greatest != -torch.inf, greatest)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Say in one line that memory ran out.

    Raises:
        LmscoreError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as err:  # torch.OutOfMemoryError is a RuntimeError
        if out_of_memory(err):
            raise LmscoreError("out of memory; a smaller model, shorter texts or --dtype bfloat16 need less") from err
        raise
