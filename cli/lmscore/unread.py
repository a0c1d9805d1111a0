"""What a GGUF file says and transformers' reading of it leaves out: restored, or refused, or said.

What its keys mean stands in llama.cpp (src/llama-model.cpp, src/llama-vocab.cpp). Knows a reader of such a file, and
the tokenizer and the model that were made of it.
"""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import LmscoreError

log = logging.getLogger(__name__)

# llama.cpp names the rule by which a byte-level vocabulary cuts text before merging. The first of these vocabularies
# were trained with every digit on its own; transformers does not know the names and would let "  12" keep its spaces
# apart. The others cut as GPT-2 does, and as transformers does where it does not know the name.
SINGLE_DIGIT_RULES = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
PLAIN_RULES = frozenset({"gpt-2", "mpt", "olmo", "jais"})

STRETCHES = "rope_f"
"""Begins the names of tensors that say by how much each rotary frequency is divided; they are no weights."""

WRONG = "so the numbers would be wrong; use the model's safetensors instead"


def check_whole(reader: Any, path: Path) -> None:
    """See that a file is all of a model.

    Raises:
        LmscoreError: it is one of several parts.
    """
    if (parts := _told(reader, "split.count") or 1) > 1:
        raise LmscoreError(f"{path} is one of {parts} parts of a model; merge them: llama-gguf-split --merge")


def num_weights(reader: Any) -> int:
    """How many weights a file holds."""
    return sum(int(tensor.n_elements) for tensor in reader.tensors if not tensor.name.startswith(STRETCHES))


def restore_cutting(tokenizer: Any, reader: Any, path: Path) -> None:
    """Let a tokenizer cut text before it merges as its file says.

    Raises:
        LmscoreError: by a rule that nobody here knows.
    """
    from tokenizers import pre_tokenizers

    rule = _told(reader, "tokenizer.ggml.pre")
    if _told(reader, "tokenizer.ggml.model") != "gpt2" or rule in PLAIN_RULES:
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


def restore_network(model: Any, reader: Any, path: Path) -> None:
    """Let a model be what its file says.

    Raises:
        LmscoreError: it says something else than was made of it.
    """
    if misread := next(_misread(model, reader), None):
        name, told, made = misread
        raise LmscoreError(f"{path}: its {name} is {told:g}, and transformers takes {made}, {WRONG}")
    if _told(reader, "general.architecture") not in ("gpt-oss", "gpt_oss"):  # of which transformers reads it
        _stretch(model, reader, path)
    window, limit = _of_architecture(reader, "attention.sliding_window"), _of_architecture(reader, "context_length")
    config = model.config.get_text_config()
    if isinstance(window, int) and window < (limit or 0) and getattr(config, "sliding_window", None) is None:
        log.warning("%s: its window of %d tokens is left out: each token sees all before it", path, window)
    tied = getattr(config, "tie_word_embeddings", False)  # and some files hold the table twice all the same
    again = sum(int(tensor.n_elements) for tensor in reader.tensors if tied and tensor.name == "output.weight")
    if (left_out := num_weights(reader) - again - model.num_parameters()) > 0:
        log.warning("%s: it holds %d weights for which transformers' network has no place: left out", path, left_out)


def _misread(model: Any, reader: Any) -> Iterator[tuple[str, float, Any]]:
    """Numbers that the file says, and what was made of them, where that is something else."""
    config = model.config.get_text_config()
    rotation = getattr(config, "rope_parameters", None) or {}
    kinds = [kind for kind in rotation.values() if isinstance(kind, dict)] or [rotation]  # by kind of layer, or one
    frequencies = getattr(getattr(model.base_model, "rotary_emb", None), "inv_freq", ())
    made: dict[str, list[Any]] = {
        "rope.freq_base": [kind["rope_theta"] for kind in kinds if "rope_theta" in kind],
        "rope.dimension_count": [2 * len(frequencies)] if len(frequencies) else [],
        "attn_logit_softcapping": [getattr(config, "attn_logit_softcapping", None)],
        "final_logit_softcapping": [getattr(config, "final_logit_softcapping", None)],
    }
    for name, values in made.items():
        told = _of_architecture(reader, name)
        if isinstance(told, int | float) and values and not any(_same(told, value) for value in values):
            yield name, told, values[0]
    # The largest of Gemma's second and third generation divide otherwise than the others; the file does not say it.
    largest = (_told(reader, "general.architecture"), _of_architecture(reader, "block_count"))
    if largest in (("gemma2", 46), ("gemma3", 62)):
        told, scalar = config.hidden_size / config.num_attention_heads, config.query_pre_attn_scalar
        if not _same(told, scalar):
            yield "query_pre_attn_scalar", told, scalar


def _same(one: float, other: float | None) -> bool:
    """But for what float32 rounds."""
    return other is not None and math.isclose(one, other, rel_tol=1e-5)


def _stretch(model: Any, reader: Any, path: Path) -> None:
    """Divide a model's rotary frequencies as its file says: all by one number (Chen et al. 2023, "Extending Context
    Window of Large Language Models via Positional Interpolation"), or each by its own, as Llama 3's.
    """
    import torch

    kind = _of_architecture(reader, "rope.scaling.type") or "linear"
    factor = _of_architecture(reader, "rope.scaling.factor") or _of_architecture(reader, "rope.scale_linear") or 1.0
    divisors = torch.tensor([factor if kind == "linear" else 1.0])
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
        raise LmscoreError(f"{path}: it stretches positions in a way that transformers does not read, {WRONG}")
    for held in (rotary.inv_freq, rotary.original_inv_freq):
        held.div_(divisors)


def _told(reader: Any, key: str) -> Any:
    """What a GGUF says of something; None if nothing."""
    return reader.fields[key].contents() if key in reader.fields else None


def _of_architecture(reader: Any, key: str) -> Any:
    """The same of what its architecture is called by."""
    return _told(reader, f"{_told(reader, 'general.architecture')}.{key}")
