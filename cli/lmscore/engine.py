"""Ids in, log-probabilities out: the forward pass, and the one place where a log-probability is born.

Knows no text, no files and no options. Sequences of unequal length are padded on the right and read without an
attention mask: a causal model does not look there, and lengths, never ids, say where a sequence ends.
"""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from .errors import LmscoreError
from .planning import Batch


@dataclass(frozen=True, slots=True)
class Network:
    """A causal language model, opened and checked.

    Attributes:
        body: reads ids [B, T] after what a cache holds, and adds to it (None: reads from the beginning, keeps
            nothing); gives hidden states [B, T, H].
        head: hidden rows [N, H] -> logits [N, V].
        new_cache: makes an empty cache.
        vocabulary: V.
        limit: how many ids it reads at once; None where it has no limit.
        budget: padded tokens to read at once.
    """

    body: Callable[[Tensor, Any], Tensor]
    head: Callable[[Tensor], Tensor]
    new_cache: Callable[[], Any]
    vocabulary: int
    limit: int | None
    budget: int
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Readout:
    """What the model says of one token: nats (None where nothing stands before it), and what else was asked for."""

    logprob: float | None
    rank: int | None
    entropy: float | None
    top: tuple[tuple[int, float], ...] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read out beside the log-probability."""

    rank: bool = False
    entropy: bool = False
    top: int = 0


def read_out(logits: Tensor, targets: Tensor, wanted: Wanted) -> Iterator[Readout]:
    """The log-probability of each target, and what else is wanted: ``logit[target] - logsumexp(logits)``.

    Args:
        logits: [N, V], in the model's dtype; upcast here to float32 (float64 stays).
        targets: [N], ids.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()  # [N, V]
    norm = logits.logsumexp(dim=-1)  # [N]
    chosen = logits.gather(-1, targets[:, None]).squeeze(-1)  # [N]
    count = len(targets)
    ranks: list[Any] = [None] * count
    entropies: list[Any] = [None] * count
    tops: list[Any] = [None] * count
    if wanted.rank:
        ranks = (1 + (logits > chosen[:, None]).sum(-1)).tolist()
    if wanted.entropy:  # -Σ p ln p over the vocabulary, where p = 0 counts 0
        entropies = torch.special.entr((logits - norm[:, None]).exp()).sum(-1).tolist()
    if wanted.top:
        best = logits.topk(min(wanted.top, logits.shape[-1]), dim=-1)  # [N, K]
        values = (best.values - norm[:, None]).tolist()
        tops = [tuple(zip(*row, strict=True)) for row in zip(best.indices.tolist(), values, strict=True)]
    for row in zip((chosen - norm).tolist(), ranks, entropies, tops, strict=True):
        yield Readout(*row)


def run(network: Network, batches: Iterable[Batch], wanted: Wanted) -> Iterator[tuple[int, list[Readout]]]:
    """Read batches; for each window, its index and one readout for each token scored there.

    Raises:
        LmscoreError: memory ran out.
    """
    stem: tuple[int, ...] = ()
    cache = None
    for batch in batches:
        with torch.inference_mode(), memory_errors():
            if batch.stem != stem:
                stem, cache = batch.stem, _read_stem(network, batch.stem)
            readouts = _read(network, batch, cache, wanted)
        for index, window in zip(batch.indices, batch.windows, strict=True):
            yield index, list(islice(readouts, len(window.scored)))


def _read(network: Network, batch: Batch, cache: Any, wanted: Wanted) -> Iterator[Readout]:
    """One readout for each scored token of a batch, window after window."""
    skip = len(batch.stem)
    lengths = [len(window.ids) - 1 - skip for window in batch.windows]
    height = max(len(lengths), -(-FEWEST_ROWS // max(lengths)))
    ids = torch.zeros(height, max(lengths), dtype=torch.long)  # [B, T]
    for row, window in enumerate(batch.windows):
        ids[row, : lengths[row]] = torch.tensor(window.ids[skip:-1])
    if cache is not None:
        cache = copy.deepcopy(cache)  # reading on would lengthen it
        cache.batch_repeat_interleave(height)
    hidden = network.body(ids.to(network.device), cache)  # [B, T, H]
    # Each scored token is expected at the row before it.
    before = [
        (row, t) for row, window in enumerate(batch.windows) for t in range(window.first - 1 - skip, lengths[row])
    ]
    hidden = hidden[torch.tensor(before, device=network.device).unbind(-1)]  # [N, H]
    targets = torch.tensor([id for window in batch.windows for id in window.scored], device=network.device)  # [N]
    chunks = zip(torch.split(hidden, HEAD_ROWS), torch.split(targets, HEAD_ROWS), strict=True)
    return iter([readout for rows, ids in chunks for readout in read_out(network.head(rows), ids, wanted)])


FEWEST_ROWS = 8
"""Matrices with fewer rows than this are filled up with rows that nobody reads.

CPU libraries multiply very thin matrices with other kernels, and models amplify the difference: the hidden state of a
start symbol grows a thousandfold on its way and cancels again (Sun et al. 2024, "Massive Activations in Large Language
Models"). On the default model a lone short text would be 1.6e-4 nats off what it gets in a batch, at its first token.
"""

HEAD_ROWS = 128
"""Rows that go through the output head at once, so that [N, V] stays small whatever the text."""


def _read_stem(network: Network, stem: tuple[int, ...]) -> Any:
    """The cache after a stem; None where there is none."""
    if not stem:
        return None
    cache = network.new_cache()
    network.body(torch.tensor([stem], device=network.device), cache)
    return cache


@contextmanager
def memory_errors() -> Iterator[None]:
    """Say in one line that memory ran out, whichever allocator noticed.

    Raises:
        LmscoreError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as err:  # torch.OutOfMemoryError is a RuntimeError
        if isinstance(err, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(err):
            raise LmscoreError("out of memory; a smaller model, shorter texts or --dtype bfloat16 need less") from err
        raise


def open_network(model: Any) -> Network:
    """Take a transformers causal language model apart into body and head, and check that it may be.

    The body and its output head must give the logits that the whole model gives, or the whole model is run; and a
    later token must not change an earlier prediction. Both are seen on a probe rather than believed.

    Raises:
        LmscoreError: the model looks ahead, so what it gives is no conditional probability.
    """
    probe = torch.tensor([[0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 0, 0]], device=model.device)
    with torch.inference_mode(), memory_errors():
        logits = model(probe, use_cache=False).logits  # [2, 6, V]
        if not _close(logits[0, :-1], logits[1, :-1]):
            raise LmscoreError("this is not a causal language model: a later token changes what it expects earlier")
        split = _Split(model)
        whole = model.get_output_embeddings() is None or not _close(split.head(split.body(probe, None)), logits)
    parts = _Whole(model) if whole else split
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    on_cpu = model.device.type == "cpu"
    return Network(
        body=parts.body,
        head=parts.head,
        new_cache=lambda: DynamicCache(config=model.config),
        vocabulary=logits.shape[-1],
        limit=limit if isinstance(limit, int) and limit > 0 else None,
        budget=(1024 if on_cpu else 16384) // (8 if whole else 1),
        device=model.device,
        dtype=model.dtype,
    )


def shares_stems(network: Network) -> bool:
    """Whether the model can read a stem once and go on from it for several windows: seen on a probe."""
    probe = torch.tensor([[0, 1, 1, 0, 1, 0], [0, 1, 1, 0, 0, 1]], device=network.device)
    with torch.inference_mode():
        plain = network.body(probe, None)
        try:
            cache = copy.deepcopy(_read_stem(network, (0, 1, 1, 0)))
            cache.batch_repeat_interleave(2)
            shared = network.body(probe[:, 4:], cache)
        except (AttributeError, NotImplementedError, TypeError, ValueError, RuntimeError, IndexError):
            return False  # a state that is no cache of keys and values: right, not fast
        return shared.shape == plain[:, 4:].shape and _close(shared, plain[:, 4:])


def _cache_argument(module: Any) -> str:
    """What a module's forward calls its cache: transformers renames `past_key_values`, model by model."""
    return "cache" if "cache" in inspect.signature(module.forward).parameters else "past_key_values"


class _Split:
    """Body and output head apart, so that only the rows that are scored meet the vocabulary."""

    def __init__(self, model: Any) -> None:
        self._body = model.base_model
        self._cache_argument = _cache_argument(self._body)
        self._output = model.get_output_embeddings()
        config = model.config.get_text_config()
        # What some families do to their logits: Cohere multiplies, Granite divides, Gemma 2 caps.
        self._scale = (getattr(config, "logit_scale", None) or 1) / (getattr(config, "logits_scaling", None) or 1)
        self._cap = getattr(config, "final_logit_softcapping", None)

    def body(self, ids: Tensor, cache: Any) -> Tensor:
        held = {self._cache_argument: cache, "use_cache": cache is not None}
        hidden: Tensor = self._body(input_ids=ids, **held).last_hidden_state
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._output(hidden) * self._scale
        return logits if self._cap is None else (logits / self._cap).tanh() * self._cap


class _Whole:
    """The model in one piece, where it does something to its logits that `_Split` does not know."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._cache_argument = _cache_argument(model)

    def body(self, ids: Tensor, cache: Any) -> Tensor:
        held = {self._cache_argument: cache, "use_cache": cache is not None}
        logits: Tensor = self._model(input_ids=ids, **held).logits
        return logits

    def head(self, logits: Tensor) -> Tensor:
        return logits


def _close(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding. Values that are no numbers are not this check's business: scoring names them."""
    largest = other[other.isfinite()].abs().max().item() if other.isfinite().any() else 1.0
    tolerance = 100 * torch.finfo(one.dtype).eps * max(largest, 1.0)
    return torch.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True)
