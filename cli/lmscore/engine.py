"""Ids in, log-probabilities out: the one place where a log-probability is born.

Knows no text, no files and no options, and of a network only that it reads windows and gives logits.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from .errors import LmscoreError
from .planning import Window

log = logging.getLogger(__name__)

HEAD_ROWS = 256
"""Rows that meet the vocabulary at once."""

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
    """A causal language model: `decoder.Decoder`, or `pretrained.Pretrained`."""

    vocabulary: int
    device: torch.device
    dtype: torch.dtype

    @property
    def limit(self) -> int | None: ...
    def read(self, windows: Sequence[Window], share: float = 1.0) -> Iterator[tuple[Read, Tensor]]: ...
    def logits(self, hidden: Tensor) -> Iterator[Tensor]: ...
    def settle(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Readout:
    """What the model says of one token: nats (None where nothing stands before it), and what else was asked for."""

    logprob: float | None
    rank: int | None = None
    entropy: float | None = None
    top: tuple[tuple[int, float], ...] | None = None
    among: float | None = None


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


def run(network: Network, windows: Sequence[Window], wanted: Wanted, more: More = int) -> list[list[Readout]]:
    """Read windows; for each, one readout for each token scored there. Windows that are equal are read once.

    Args:
        more: told of tokens as they are scored, those of equal windows once.

    Raises:
        LmscoreError: memory ran out, even for small batches.
    """
    distinct = list(dict.fromkeys(windows))
    found = dict(zip(distinct, _run(network, distinct, wanted, more), strict=True))
    return [found[window] for window in windows]


def _run(network: Network, windows: Sequence[Window], wanted: Wanted, more: More = int) -> list[list[Readout]]:
    found: dict[int, list[Readout]] = {}
    share = 1.0
    with torch.inference_mode(), memory_errors():
        while left := [index for index in range(len(windows)) if index not in found]:
            try:
                for read, hidden in network.read([windows[index] for index in left], share):
                    here = [left[place] for place in read.indices]
                    targets = [id for index in here for id in windows[index].scored]
                    readouts = iter(_read_out_rows(network, hidden, read.asked, targets, wanted))
                    found.update((index, list(islice(readouts, len(windows[index].scored)))) for index in here)
                    more(len(targets))
            except (MemoryError, RuntimeError) as err:
                share /= 2
                if not _out_of_memory(err) or share < SMALLEST_SHARE or len(left) == 1:
                    raise
                log.warning("out of memory: going on with batches of 1/%d of the usual size", round(1 / share))
    if len(windows) > 1:  # what is no number in one window may have spread to others that were read with it
        for index in (index for index, readouts in found.items() if not _finite(readouts)):
            found[index] = _run(network, [windows[index]], wanted)[0]
    return [found[index] for index in range(len(windows))]


def _finite(readouts: Iterable["Readout"]) -> bool:
    return all(math.isfinite(readout.logprob or 0.0) for readout in readouts)


def _read_out_rows(
    network: Network, hidden: Tensor, asked: Sequence[int], targets: Sequence[int], wanted: Wanted
) -> list[Readout]:
    """One readout for each target; a row that several are asked after meets the vocabulary once."""
    size = HEAD_ROWS if wanted == Wanted() else HEAD_ROWS // 4  # where whole rows of logits are kept, fewer of them
    rows, row_of = torch.unique(torch.tensor(asked, device=hidden.device), return_inverse=True)  # [U], [A]
    wished = torch.tensor(targets, device=hidden.device)  # [A]
    readouts: list[Any] = [None] * len(targets)
    for first in range(0, len(rows), size):
        here = ((row_of >= first) & (row_of < first + size)).nonzero().squeeze(-1)
        logits = network.logits(hidden[rows[first : first + size]])
        for place, readout in zip(
            here.tolist(), read_out(logits, row_of[here] - first, wished[here], wanted), strict=True
        ):
            readouts[place] = readout
    return readouts


def read_out(logits: Iterable[Tensor], rows: Tensor, targets: Tensor, wanted: Wanted) -> Iterator[Readout]:
    """The log-probability of each target, and what else is wanted: ``logit[target] - logsumexp(logits)``.

    Args:
        logits: [R, V] in blocks along the vocabulary, in the model's dtype; upcast here to float32 (float64 stays).
            Only where more than the log-probability is wanted do they exist all at once.
        rows: [A], the row each target is asked of.
        targets: [A], ids.
    """
    norm = logit = torch.tensor(-torch.inf, device=targets.device)
    kept = list[Tensor]()
    at = 0
    for block in logits:  # [R, part of V]
        block = block if block.dtype == torch.float64 else block.float()
        norm = torch.logaddexp(norm, _logsumexp(block))  # [R]
        inside = (targets - at).clamp(0, block.shape[-1] - 1)
        here = (targets >= at) & (targets < at + block.shape[-1])
        logit = block[rows, inside].where(here, logit)  # [A]
        if wanted != Wanted():
            kept.append(block)
        at += block.shape[-1]
    ranks: Any = [None] * len(targets)
    entropies: Any = ranks
    tops: Any = ranks
    masses: Any = ranks
    if kept:
        whole = torch.cat(kept, dim=-1)  # [R, V]
        if wanted.rank:
            pairs = zip(torch.split(rows, len(whole)), torch.split(logit, len(whole)), strict=True)
            ranks = [1 + above for row, own in pairs for above in (whole[row] > own[:, None]).sum(-1).tolist()]
        if wanted.entropy:  # -Σ p ln p over the vocabulary, where p = 0 counts 0
            entropies = torch.special.entr((whole - norm[:, None]).exp_()).sum(-1)[rows].tolist()
        if wanted.top:
            best = whole.topk(min(wanted.top, whole.shape[-1]), dim=-1)  # [R, K]
            ids, values = best.indices[rows].tolist(), (best.values - norm[:, None])[rows].tolist()
            tops = [tuple(zip(*alternatives, strict=True)) for alternatives in zip(ids, values, strict=True)]
        if wanted.among:
            masses = (_logsumexp(whole[:, _index(wanted.among, whole.device)]) - norm)[rows].tolist()
    for readout in zip((logit - norm[rows]).tolist(), ranks, entropies, tops, masses, strict=True):
        yield Readout(*readout)


@lru_cache(maxsize=1)  # the same for every row of a run
def _index(ids: frozenset[int], device: torch.device) -> Tensor:
    return torch.tensor(sorted(ids), device=device)


def _logsumexp(block: Tensor) -> Tensor:
    """Along the last dimension.

    torch's log_softmax works through a row while that is in the cache, and its logsumexp through all rows, four times.
    They differ by as much in every column; in that of the greatest logit no digits are lost.
    """
    greatest = block.amax(dim=-1)
    return (greatest - block.log_softmax(dim=-1).amax(dim=-1)).where(greatest != -torch.inf, greatest)


def _out_of_memory(err: BaseException) -> bool:
    """Whether an error says that memory ran out, whichever allocator noticed."""
    return isinstance(err, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(err)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Say in one line that memory ran out.

    Raises:
        LmscoreError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as err:  # torch.OutOfMemoryError is a RuntimeError
        if _out_of_memory(err):
            raise LmscoreError("out of memory; a smaller model, shorter texts or --dtype bfloat16 need less") from err
        raise
