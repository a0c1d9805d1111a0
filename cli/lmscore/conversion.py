"""A GGUF file into a transformers model and tokenizer, and those into a folder that the decoder reads.

The reading is transformers' own. This module makes it quick; what it leaves out is `unread`'s business. It knows no
catalogue, no cache and no network.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Any

from . import unread
from .errors import LmscoreError


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
        LmscoreError: the file is not a GGUF, or one of several parts; or what is not read of it cannot be restored.
    """
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise LmscoreError(f"{path} is not a GGUF file; check the download, or name a folder with safetensors")
    import gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with _each_part_read_once():
        reader: Any = gguf.GGUFReader(str(path))
        unread.check_whole(reader, path)
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
        unread.restore_cutting(tokenizer, reader, path)
        check(unread.num_weights(reader))
        model: Any
        told: Any
        model, told = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            str(path.parent),
            gguf_file=path.name,
            dtype=dtype,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
        unread.restore_network(model, reader, path)
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
