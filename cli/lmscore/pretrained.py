"""Any causal language model, as transformers runs it: batches of ids in, hidden rows and logits out.

For the models that `decoder` does not fit: right, not fast. Windows are filled up on the right and read without an
attention mask: a causal model does not look there, and lengths, never ids, say where a window ends.
"""

import copy
import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicIndexedLayer, DynamicLayer, DynamicSlidingWindowLayer

from .accelerator import most_rows, out_of_memory, sent
from .errors import LmscoreError, one_line
from .linear import FEWEST_ROWS
from .planning import Batch, Window, batches

BUDGET = 1024
MOST_BUDGET = 65_536
"""Padded tokens of a batch: on a CPU, and at most on an accelerator."""

STATES = 48
"""How many states a token takes on its way through a layer: a dozen of its own, a unit's three, each some times as
wide, and as much again where a model is not frugal."""

USUAL_SIZE = 4096
"""A state's, where the configuration does not tell it; nearly every one does."""


class Pretrained:
    """A transformers model, checked: it looks back only, and its body and head may be run apart if they agree with it.

    Attributes:
        vocabulary: V.
        limit: how many ids it reads at once; None where it has no limit.
        share: of the usual size of a batch, how large one may be.
    """

    share = 1.0

    def __init__(self, model: Any) -> None:
        """Check a model on a probe.

        Raises:
            LmscoreError: the model looks ahead, so what it gives is no conditional probability.
            Exception: whatever the model raises, if it wants more than ids.
        """
        self._model = model
        self.device, self.dtype = model.device, model.dtype
        probe = torch.tensor([[0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 0, 0]], device=model.device)
        with torch.inference_mode():
            logits = model(probe, use_cache=False).logits  # [2, 6, V]
            if not close(logits[0, :-1], logits[1, :-1]):
                raise LmscoreError("this is not a causal language model: a later token changes what it expects earlier")
            self._parts = _parts(model, probe, logits)
        self.vocabulary: int = logits.shape[-1]
        self.limit = _limit(model)
        self.steady = _steady_length(model.config.get_text_config())

    @cached_property
    def _budget(self) -> int:
        """How many padded tokens a batch may have: decided once, since sums differ with what is read together."""
        config = self._model.config.get_text_config()
        states = STATES * (getattr(config, "hidden_size", None) or USUAL_SIZE)
        whole = isinstance(self._parts, _Whole)  # whose hidden rows are logits
        tokens = most_rows(states * self.dtype.itemsize + 8 * whole * self.vocabulary, self.device)
        return BUDGET // (8 if whole else 1) if tokens is None else min(tokens, MOST_BUDGET)

    def read(self, windows: Sequence[Window]) -> Iterator[tuple[Batch, Tensor]]:
        """Read windows in batches.

        Yields:
            A batch, and a hidden row for each place in it: [B · T, H].
        """
        for places, is_steady in self._rotated_alike(windows):
            shares_stem = is_steady and len(places) > 1 and self._shares_stems
            stem, cache = tuple[int, ...](), None
            for batch in batches([windows[place] for place in places], int(self.share * self._budget), shares_stem):
                if batch.stem != stem:
                    stem, cache = batch.stem, self._after(batch.stem)
                hidden = self._hidden(batch, cache).flatten(0, 1)
                yield replace(batch, indices=tuple(places[at] for at in batch.indices)), hidden

    def _rotated_alike(self, windows: Sequence[Window]) -> Iterator[tuple[list[int], bool]]:
        """The places of windows that may be read together, since their positions are turned alike; and whether those of
        what they begin with are, too.
        """
        are_long = [len(window.ids) - 1 > self.steady for window in windows]
        if short := [place for place, is_long in enumerate(are_long) if not is_long]:
            yield short, True
        if long := [place for place, is_long in enumerate(are_long) if is_long]:
            yield long, False

    def logits(self, hidden: Tensor) -> Iterator[Tensor]:
        """What hidden rows [R, H] expect next, in one block: [R, V]."""
        yield self._parts.head(hidden)

    def settle(self) -> None:
        """Nothing is put off here."""

    def _hidden(self, batch: Batch, cache: Any) -> Tensor:
        """[B, T, H], and perhaps rows below that nobody reads."""
        skip, lengths = len(batch.stem), batch.lengths
        height, width = len(lengths), max(lengths)
        if cache is None:
            height = max(height, -(-FEWEST_ROWS // width))
        else:  # which may be long, and each row keeps a copy of it
            room = min(self.limit or math.inf, self.steady) - skip
            width = max(width, int(min(-(-FEWEST_ROWS // height), room)))
            cache = copy.deepcopy(cache)  # reading on would lengthen it
            cache.batch_repeat_interleave(height)
        ids = torch.zeros(height, width, dtype=torch.long)
        for row, window in enumerate(batch.windows):
            ids[row, : lengths[row]] = torch.tensor(window.ids[skip:-1])
        return self._body(ids, cache, skip)[:, : max(lengths)]

    def _body(self, ids: Tensor, cache: Any, skip: int = 0) -> Tensor:
        """What the model makes of ids [B, T], after so many that are in the cache.

        Raises:
            LmscoreError: it fails, and nobody knew how much it reads.
        """
        try:
            return self._parts.body(sent(ids, self.device), cache)
        except (IndexError, RuntimeError, ValueError) as err:
            if self.limit is not None or out_of_memory(err):
                raise
            told = f"the model cannot read {skip + ids.shape[1]} tokens ({one_line(err)})"
            raise LmscoreError(f"{told}, and its config.json names no limit that is known here; cut texts") from err

    def _after(self, stem: tuple[int, ...]) -> Any:
        """The cache after a stem; None where there is none."""
        if not stem:
            return None
        cache = _keeping_all(self._model.config)
        self._body(torch.tensor([stem]), cache)
        return cache

    @cached_property
    def _shares_stems(self) -> bool:
        """Whether the model can read a stem once and go on from it for several windows: seen on a probe."""
        probe = torch.tensor([[0, 1, 1, 0, 1, 0], [0, 1, 1, 0, 0, 1]], device=self.device)
        plain = self._parts.body(probe, None)
        try:
            cache = self._after((0, 1, 1, 0))
            cache.batch_repeat_interleave(2)
            shared = self._parts.body(probe[:, 4:], cache)
        except (*UNABLE, LmscoreError):
            return False  # a state that is no cache of keys and values
        return shared.shape == plain[:, 4:].shape and close(shared, plain[:, 4:])


def _keeping_all(config: Any) -> Any:
    """A cache that drops no key: which of them are out of a layer's sight, the model says itself as it attends.

    By their configuration alone some would lose what they look at: a Llama may have a window there that it never uses.
    """
    cache: Any = DynamicCache(config=config)
    full: Any = DynamicLayer
    cache.layers = [full() if type(layer) is DynamicSlidingWindowLayer else layer for layer in cache.layers]
    if any(isinstance(layer, DynamicSlidingWindowLayer | DynamicIndexedLayer) for layer in cache.layers):
        raise NotImplementedError("a layer with a window and a state, or one that chooses among its keys")
    return cache


UNABLE = (AssertionError, AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What models raise that are asked for something they do not do."""


def _parts(model: Any, probe: Tensor, logits: Tensor) -> "_Split | _Whole":
    """Body and head apart, if a model has both, and they give for a probe [2, T] the logits [2, T, V] that it gives."""
    try:
        parts = _Split(model)
        if close(parts.head(parts.body(probe, None)), logits):
            return parts
    except UNABLE:
        pass
    return _Whole(model)


class _Split:
    """Body and output head apart, so that only the rows that are scored meet the vocabulary."""

    def __init__(self, model: Any) -> None:
        self._body = model.base_model
        self._output = model.get_output_embeddings()
        self._cache_argument = _cache_argument(self._body)
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


LIMITS = ("max_position_embeddings", "max_seq_len", "max_target_positions")
"""What configurations call it."""


def _limit(model: Any) -> int | None:
    """How many ids a model reads at once: as many as it has positions.

    RoBERTa and its kin keep the first of them, up to that of padding.
    """
    config = model.config.get_text_config()
    limit = next((told for name in LIMITS if isinstance(told := getattr(config, name, None), int) and told > 0), None)
    if limit is None:
        return None
    tables = (part for name, part in model.named_modules() if name.endswith("position_embeddings"))
    kept = (part.padding_idx for part in tables if getattr(part, "num_embeddings", None) == limit)
    return limit - max((1 + padding for padding in kept if padding is not None), default=0)


def _steady_length(config: Any) -> float:
    """How many ids a model reads with every position turned as in a shorter text.

    LongRoPE turns all of them otherwise once a text is longer than those that the model was first trained on (Ding et
    al. 2024, "LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens"). transformers goes by the longest text
    that is read together, and leaves as they are the keys that it keeps.
    """
    told = getattr(config, "rope_parameters", None) or {}
    kinds = list(told.values()) if told and all(isinstance(kind, dict) for kind in told.values()) else [told]
    lengths = [kind.get("original_max_position_embeddings") for kind in kinds if kind.get("rope_type") == "longrope"]
    return min(filter(None, lengths), default=math.inf)


def _cache_argument(module: Any) -> str:
    """What a module's forward calls its cache: transformers renames `past_key_values`, model by model."""
    return "cache" if "cache" in inspect.signature(module.forward).parameters else "past_key_values"


def close(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding, which adds up on its way through the layers: held against how far logits spread.

    Values that are no numbers are not this check's business: scoring names them.
    """
    rounding = max(torch.finfo(one.dtype).eps, 1e-9)  # in float64 some models do some of it in float32
    tolerance = min(1000 * rounding, 0.05)
    numbers = one.isfinite() & other.isfinite()
    off, spread = (one - other)[numbers].float(), other[numbers].float()
    alike = torch.equal(one.isfinite(), other.isfinite())
    return alike and (not len(off) or bool(off.square().mean().sqrt() <= tolerance * spread.std(correction=0) + 1e-9))
