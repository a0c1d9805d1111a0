"""A GGUF file into a transformers model and tokenizer, and those into a folder that the decoder reads.

The reading is transformers' own. This module makes it quick, and restores what it leaves out: how
the text is cut before its byte pairs are merged. It knows no catalogue, no cache and no network.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Any

from .errors import LmscoreError

# llama.cpp names the rule by which a byte-level vocabulary cuts text before merging. These vocabularies were trained
# with every digit on its own; transformers does not know the names and would let "  12" keep its spaces apart.
SINGLE_DIGIT_RULES = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
PLAIN_RULES = frozenset({"gpt-2", "default"})
RULE_FIELDS = ("tokenizer.ggml.model", "tokenizer.ggml.pre")


def read_gguf(path: Path, dtype: Any, check: Callable[[int], None] = lambda _: None) -> tuple[Any, Any]:
    """Load a GGUF file as a dense transformers model and its tokenizer.

    Args:
        path: the file.
        dtype: the ``torch.dtype`` its blocks are unpacked into.
        check: is told how many parameters there are before they are unpacked, and may refuse them.

    Returns:
        ``(model, tokenizer)``, as transformers' Auto classes give them.

    Raises:
        ValueError, KeyError: transformers cannot read this file.
        LmscoreError: the file is not a GGUF, or its vocabulary is cut by a rule nobody here knows.
    """
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise LmscoreError(f"{path} is not a GGUF file; check the download, or name a folder with safetensors")
    import gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with _each_part_read_once():
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
        _restore_cutting_rule(tokenizer, path)
        check(sum(int(tensor.n_elements) for tensor in gguf.GGUFReader(str(path)).tensors))
        model = AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
        )
    return model, tokenizer


def convert_gguf(path: Path, folder: Path) -> None:
    """Write a GGUF file into `folder`: configuration, tokenizer, and float32 safetensors as `weights` reads them."""
    import torch
    from safetensors.torch import load_file, save_file

    from .weights import to_store

    with quiet_transformers():
        model, tokenizer = read_gguf(path, torch.float32)
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


def _restore_cutting_rule(tokenizer: Any, path: Path) -> None:
    import gguf
    from tokenizers import pre_tokenizers

    fields = gguf.GGUFReader(str(path)).fields
    model, rule = (fields[key].contents() if key in fields else None for key in RULE_FIELDS)
    if model != "gpt2" or rule is None or rule in PLAIN_RULES:
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
