"""A GGUF file into a transformers model and tokenizer, and those into a folder that the decoder reads.

The reading is transformers' own. This module makes it quick, and restores what it leaves out: how text is cut before
its byte pairs are merged, and how positions are stretched. What it cannot restore it refuses, or says. It knows no
catalogue, no cache and no network.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Any

from .errors import LmscoreError

log = logging.getLogger(__name__)

# llama.cpp names the rule by which a byte-level vocabulary cuts text before merging. These vocabularies were trained
# with every digit on its own; transformers does not know the names and would let "  12" keep its spaces apart.
SINGLE_DIGIT_RULES = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})


def read_gguf(
    path: Path, dtype: Any, check: Callable[[int], None] = lambda _: None
) -> tuple[Any, Any, Mapping[str, Any]]:
    """Load a GGUF file as a dense transformers model and its tokenizer.

    Args:
        path: the file.
        dtype: the ``torch.dtype`` its blocks are unpacked into.
        check: is told how many parameters there are before they are unpacked, and may refuse them.

    Returns:
        ``(model, tokenizer, told)``, as transformers' Auto classes give them; `told` is what they say of the weights.

    Raises:
        ValueError, KeyError: transformers cannot read this file.
        LmscoreError: the file is not a GGUF, or one of several parts; or its vocabulary is cut by a rule that nobody
            here knows, or its positions are stretched by one.
    """
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise LmscoreError(f"{path} is not a GGUF file; check the download, or name a folder with safetensors")
    import gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with _each_part_read_once():
        reader: Any = gguf.GGUFReader(str(path))
        if (parts := _told(reader, "split.count") or 1) > 1:
            raise LmscoreError(f"{path} is one of {parts} parts of a model; merge them: llama-gguf-split --merge")
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
        _restore_cutting_rule(tokenizer, reader, path)
        held = sum(int(tensor.n_elements) for tensor in reader.tensors if not tensor.name.startswith(STRETCHES))
        check(held)
        model: Any
        told: Any
        model, told = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            str(path.parent),
            gguf_file=path.name,
            dtype=dtype,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
        _restore_stretch(model, reader, path)
    if (left_out := held - model.num_parameters()) > 0:
        log.warning("%s: it holds %d weights for which transformers' network has no place: left out", path, left_out)
    return model, tokenizer, told


def convert_gguf(path: Path, folder: Path) -> None:
    """Write a GGUF file into `folder`: configuration, tokenizer, and float32 safetensors as `weights` reads them."""
    import torch
    from safetensors.torch import load_file, save_file

    from .weights import to_store

    with quiet_transformers():
        model, tokenizer, _ = read_gguf(path, torch.float32)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    saved, fresh = folder / "model.safetensors", folder / "fresh.safetensors"
    save_file(dict(starmap(to_store, load_file(saved).items())), fresh, {"format": "pt"})
    fresh.replace(saved)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and advice from transformers: lmscore says itself what matters."""
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    talk: Any = logging
    reading: Any = modeling_gguf_pytorch_utils
    verbosity, bars, tqdm = talk.get_verbosity(), talk.is_progress_bar_enabled(), getattr(reading, "tqdm", None)
    talk.set_verbosity(talk.CRITICAL)  # its errors are raised as well
    talk.disable_progress_bar()
    if tqdm is not None:
        reading.tqdm = talk.tqdm  # this module asks nobody whether a bar is wanted
    try:
        yield
    finally:
        talk.set_verbosity(verbosity)
        if bars:
            talk.enable_progress_bar()
        if tqdm is not None:
            reading.tqdm = tqdm


@contextmanager
def _each_part_read_once() -> Iterator[None]:
    """Let transformers parse the file once instead of three times, and without a slow memmap slice for each string.

    Only speed hangs on this: where a later transformers no longer asks gguf for these names, nothing changes.
    """
    import gguf
    import numpy as np

    class PlainArrayReader(gguf.GGUFReader):
        @property
        def data(self) -> Any:
            return self._array

        @data.setter
        def data(self, mapped: Any) -> None:
            self._array = mapped.view(np.ndarray)  # a memmap copies its attributes into each of a million slices

    names: Any = gguf
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    names.GGUFReader = functools.cache(PlainArrayReader)
    names.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)
    try:
        yield
    finally:
        names.GGUFReader, names.get_tensor_name_map = before


def _told(reader: Any, key: str) -> Any:
    """What a GGUF says of something; None if nothing."""
    return reader.fields[key].contents() if key in reader.fields else None


def _restore_cutting_rule(tokenizer: Any, reader: Any, path: Path) -> None:
    from tokenizers import pre_tokenizers

    rule = _told(reader, "tokenizer.ggml.pre")
    if _told(reader, "tokenizer.ggml.model") != "gpt2" or rule == "gpt-2":
        return
    if rule is None or rule == "default":
        if _told(reader, "general.architecture") != "gpt2":
            log.warning("%s does not say how its text is cut: as GPT-2's, which may be wrong; newer files say it", path)
        return
    backend = tokenizer.backend_tokenizer
    if rule in SINGLE_DIGIT_RULES:
        digits = pre_tokenizers.Digits(individual_digits=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
    elif isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        # transformers puts a Sequence here for each rule it knows, and a bare ByteLevel for one it does not.
        raise LmscoreError(
            f"{path}: its vocabulary cuts text by the rule {rule!r}, which transformers does not know, so the tokens "
            "would be wrong; use the model's safetensors instead"
        )


STRETCHES = "rope_f"
"""Begins the names of tensors that say by how much each rotary frequency is divided."""


def _restore_stretch(model: Any, reader: Any, path: Path) -> None:
    """Divide a model's rotary frequencies as its file says: all by one number (Chen et al. 2023, "Extending Context
    Window of Large Language Models via Positional Interpolation"), or each by its own, as Llama 3's.

    Raises:
        LmscoreError: they are stretched in another way, or the model keeps them elsewhere.
    """
    import torch

    architecture = _told(reader, "general.architecture")
    if architecture in ("gpt-oss", "gpt_oss"):  # of which transformers reads it
        return
    kind = _told(reader, f"{architecture}.rope.scaling.type") or "none"
    factor = float(_told(reader, f"{architecture}.rope.scaling.factor") or 1.0) if kind == "linear" else 1.0
    divisors = torch.tensor([factor])
    others = kind not in ("none", "linear")
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight":
            divisors = divisors * torch.tensor(tensor.data.tolist())
        elif tensor.name.startswith(STRETCHES):
            others = True
    if not others and bool((divisors == 1).all()):
        return
    rotary = getattr(model.base_model, "rotary_emb", None)
    frequencies = getattr(rotary, "inv_freq", None)
    if others or rotary is None or frequencies is None or len(divisors) not in (1, len(frequencies)):
        raise LmscoreError(
            f"{path}: it stretches positions in a way that transformers does not read, so the numbers would be wrong; "
            "use the model's safetensors instead"
        )
    for held in (rotary.inv_freq, rotary.original_inv_freq):
        held.div_(divisors)
