"""Small models for the tests: random ones of several architectures, and two whose answers can be done by hand.

Each builder writes a folder as `save_pretrained` would, with a tokenizer trained here. No test needs a hub.
"""

import json
import math
import random
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

WINDOW = 256
"""Ids that the random models read at once."""

SLIDING = 16
"""How far the Gemma-like model's sliding layers look back."""

STEADY = 64
"""Ids of a text from which on the Phi-3-like model turns positions otherwise, all of them."""

SIZES: dict[str, Any] = {
    "vocab_size": 640,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": WINDOW,
}
START, END = "<s>", "<|endoftext|>"


@cache
def corpus() -> list[str]:
    """English paragraphs from the standard library's own documentation."""
    paragraphs = "\n\n".join(topics[name] for name in sorted(topics)[:40]).split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in paragraphs if len(paragraph) > 40]


def passages(seed: int, lengths: Iterable[int]) -> list[str]:
    """Cuts of the corpus, of so many characters each, from places chosen by chance: mid-word as often as not."""
    whole, chance = " ".join(corpus()), random.Random(seed)
    starts = ((chance.randrange(len(whole) - length), length) for length in lengths)
    return [whole[start : start + length] for start, length in starts]


def byte_level(*special: str) -> Tokenizer:
    """Byte pairs over bytes, as GPT-2, Llama 3 and Qwen have them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def byte_fallback(*special: str, prefix: str = "never") -> Tokenizer:
    """Byte pairs over characters, spaces written ▁, rare characters as their bytes: as Gemma has them.

    With the prefix ``always``, a ▁ is put before every text that does not begin with one, as Llama 2 has it.
    """
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trained = Tokenizer(models.BPE(unk_token=special[0], byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix, split=True)
    trained.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[*special, *fallback], show_progress=False)
    trained.train_from_iterator(corpus(), trainer)
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix, split=False)
    state = json.loads(trained.to_str())
    state["added_tokens"] = state["added_tokens"][: len(special)]  # the bytes are ordinary tokens
    return Tokenizer.from_str(json.dumps(state))


def ends_of_words(*special: str) -> Tokenizer:
    """Byte pairs over words and signs that are lower case, marked where they end, as GPT-1 has them: cat</w>."""
    tokenizer = Tokenizer(models.BPE(unk_token=special[0], end_of_word_suffix="</w>"))
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=list(special), end_of_word_suffix="</w>", show_progress=False
    )
    return _of_words_and_signs(tokenizer, trainer)


def word_pieces(*special: str) -> Tokenizer:
    """Parts of words and signs that are lower case, marked where they go on, as BERT has them: ##ing."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=special[0]))
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=list(special), show_progress=False)
    return _of_words_and_signs(tokenizer, trainer)


def _of_words_and_signs(tokenizer: Tokenizer, trainer: Any) -> Tokenizer:
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def wrap(tokenizer: Tokenizer, bos: str | None, eos: str | None) -> Any:
    """The tokenizer as transformers saves it."""
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)


def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def llama(folder: Path) -> Path:
    """Rotary positions, grouped heads, a BOS of its own."""
    config = transformers.LlamaConfig(**SIZES, initializer_range=0.2)
    return save(transformers.LlamaForCausalLM(config), wrap(byte_level(START, END), START, END), folder)


def wide(folder: Path) -> Path:
    """A tied head, scaled rotary frequencies, and a larger vocabulary and more units than are worked out at once."""
    rotary = {
        "rope_type": "llama3",
        "rope_theta": 10_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    sizes = SIZES | {"vocab_size": 4500, "intermediate_size": 900, "rope_parameters": rotary}
    config = transformers.LlamaConfig(
        **sizes, tie_word_embeddings=True, attention_bias=True, mlp_bias=True, initializer_range=0.2
    )
    return save(transformers.LlamaForCausalLM(config), wrap(byte_level(START, END), START, END), folder)


def gpt2(folder: Path) -> Path:
    """Learned positions, tied head, no BOS of its own: it starts after its EOS."""
    config = transformers.GPT2Config(
        vocab_size=640,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=WINDOW,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return save(transformers.GPT2LMHeadModel(config), wrap(byte_level(END), None, END), folder)


def qwen2(folder: Path) -> Path:
    """Biases on queries and keys; no BOS."""
    config = transformers.Qwen2Config(**SIZES, initializer_range=0.2)
    return save(transformers.Qwen2ForCausalLM(config), wrap(byte_level(END), None, END), folder)


def qwen3(folder: Path) -> Path:
    """Normed queries and keys; no BOS."""
    config = transformers.Qwen3Config(**SIZES, initializer_range=0.2)
    return save(transformers.Qwen3ForCausalLM(config), wrap(byte_level(END), None, END), folder)


def gemma3(folder: Path) -> Path:
    """A sliding window in every other layer, a scaled embedding, byte fallback."""
    kinds = ["sliding_attention", "full_attention"]
    config = transformers.Gemma3TextConfig(
        **SIZES, sliding_window=SLIDING, layer_types=kinds, query_pre_attn_scalar=8, initializer_range=0.2
    )
    tokenizer = wrap(byte_fallback("<unk>", "<bos>", "<eos>"), "<bos>", "<eos>")
    return save(transformers.Gemma3ForCausalLM(config), tokenizer, folder)


def phi3(folder: Path) -> Path:
    """Rotary positions that are all turned otherwise in texts longer than some."""
    rotary = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0, 8.0, 16.0, 32.0],
        "original_max_position_embeddings": STEADY,
    }
    sizes = SIZES | {"rope_parameters": rotary, "original_max_position_embeddings": STEADY, "pad_token_id": 0}
    config = transformers.Phi3Config(**sizes, initializer_range=0.2)
    return save(transformers.Phi3ForCausalLM(config), wrap(byte_level(START, END), START, END), folder)


ARCHITECTURES = {
    **{"llama": llama, "wide": wide, "gpt2": gpt2, "qwen2": qwen2, "qwen3": qwen3, "gemma3": gemma3, "phi3": phi3}
}

START_IDS = {"llama": 0, "wide": 0, "gpt2": 0, "qwen2": 0, "qwen3": 0, "gemma3": 1, "phi3": 0}
"""Where each starts: its BOS, or its EOS where it has none."""


def bigram(folder: Path, expected: Mapping[tuple[str, str], float], start: str = START, token: str = " ?[^ ]+") -> Path:
    """A model that knows one word back: ``expected[before, word]`` is log P(word | before), given to it as its logits.

    What is left of each row's probability goes to words that are not named, so that every row sums to 1. The network
    is a Llama whose only layer adds nothing: the norm of a one-hot embedding selects a row of the output head.

    Args:
        token: what is one word to it, as a regular expression.
    """
    words = [start, *dict.fromkeys(word for pair in expected for word in pair if word != start), "<rest>", "<rest2>"]
    size = len(words)
    logprobs = torch.full((size, size), -math.inf, dtype=torch.float64)
    for (before, word), logprob in expected.items():
        logprobs[words.index(before), words.index(word)] = logprob
    for row in logprobs:
        left = 1 - row.exp().sum()
        row[row.isinf()] = torch.log(left / row.isinf().sum())
    config = transformers.LlamaConfig(
        vocab_size=size,
        hidden_size=size + size % 2,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=WINDOW,
        rms_norm_eps=1e-12,
    )
    model = transformers.LlamaForCausalLM(config)
    layer = model.model.layers[0]
    with torch.no_grad():
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size, config.hidden_size))
        model.lm_head.weight.zero_()
        model.lm_head.weight[:, :size] = logprobs.T / math.sqrt(config.hidden_size)
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="<rest>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(token), "isolated")
    return save(model, wrap(tokenizer, start, None), folder)


def uniform(folder: Path) -> Path:
    """A Llama whose logits are all 0: every token has probability 1/640 everywhere."""
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    return save(model, wrap(byte_level(START, END), START, END), folder)
