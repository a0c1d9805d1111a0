"""From what a user names to a model that is ready to run, and its tokenizer.

The edge where other people's errors become one line each. Knows nothing of texts and scores.
"""

import contextlib
import json
import logging
import math
import sys
from collections.abc import Collection, Iterator, Mapping
from itertools import starmap
from pathlib import Path
from typing import Any

import torch

from . import catalogue, decoder, weights
from .accelerator import attention_of_any_shape, out_of_memory
from .conversion import quiet_transformers, read_gguf
from .engine import Network, memory_errors
from .errors import LmscoreError, first_line
from .locating import PICKLES, Choice, Located, find, only_pickle
from .planning import Window
from .records import Report, silent
from .tokenization import Tokenizer

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tekken.json")
MASKS = (".attn.bias", ".attention.bias", ".masked_bias")
"""Endings of what old checkpoints keep beside their weights, and a network makes itself."""
# Endings of classes that predict the next token; an encoder or a classifier loads without complaint otherwise.
CAUSAL_CLASSES = (
    *("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"),
    *("ModelWithLMHead", "GenerationDecoder"),  # Reformer's, and the decoder that BERT was made into
)


def load(choice: Choice, report: Report = silent) -> tuple[Network, Tokenizer, Located]:
    """Find, check and load a model.

    Returns:
        ``(network, tokenizer, located)``, the network on its device and ready to run.

    Raises:
        LmscoreError: it is not found, gated, not a causal language model, damaged, without a tokenizer, too large, or
            its weights are pickle.
    """
    device = _device(choice.device)
    located = find(choice, report)
    if choice.name in catalogue.CATALOGUE:
        return *_load_converted(choice, located.path, device), located
    if sys.flags.optimize > 1:
        raise LmscoreError("transformers needs its docstrings; leave out -OO, or unset PYTHONOPTIMIZE")
    with quiet_transformers():
        if located.path.suffix == ".gguf":
            model, tokenizer = _load_gguf(choice, located.path, device)
        else:
            config = _load_configuration(choice, located.path)
            tokenizer = _load_tokenizer(choice, located.path)
            model = _load_folder(choice, located.path, config, device)
        with memory_errors(), torch.inference_mode(), attention_of_any_shape():
            network = _network(choice.name, model)
    return network, _read_tokenizer(choice.name, tokenizer), located


def _network(name: str, model: Any) -> Network:
    """The fast decoder, if it fits a model and agrees with it on a probe; else the model as transformers runs it.

    Raises:
        LmscoreError: the model is not causal, or does not run on a text alone.
    """
    from .pretrained import Pretrained, close

    with _translated(f"{name} does not run on a text alone in {model.dtype} on {model.device.type}"):
        try:
            pretrained = Pretrained(model)
        except LmscoreError as err:
            raise LmscoreError(f"{name}: {err}") from err
    config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    state = model.state_dict()
    own = type(model).__module__.startswith("transformers.")  # and not a model's own code that took a class's name
    if not own or not decoder.fits(config, state) or model.model.rotary_emb.attention_scaling != 1:
        return pretrained
    fast = decoder.Decoder(config, state, model.model.rotary_emb.inv_freq)
    stem = [(7 * i) % min(fast.vocabulary, 97) for i in range(24)]
    probe = [(*stem, 0, 1, 0, 0), (*stem, 1, 0, 0, 0)]
    expected = model(torch.tensor(probe, device=model.device)[:, :-1]).logits.flatten(0, 1)  # [54, V]
    tree, hidden = next(fast.read([Window(ids, 1) for ids in probe]))
    found = torch.cat(list(fast.logits(hidden[list(tree.asked)])), dim=-1)  # [54, V]
    return fast if close(found, expected) else pretrained


def _load_converted(choice: Choice, folder: Path, device: torch.device) -> tuple[Network, Tokenizer]:
    """A model that `conversion` wrote: known to the last byte, so that transformers, slow to import, need not look.

    Its layers are used as they lie there, and no copy is made of them.
    """
    from tokenizers import Tokenizer as Backend

    dtype = _dtype(choice.dtype)
    path = folder / "model.safetensors"
    damaged = f"{choice.name}: its copy in the cache is damaged; remove it with `lmscore models remove {choice.name}`"
    with _translated(damaged), memory_errors():
        try:
            count = _check_weights(choice.name, folder)
        except LmscoreError as err:  # which says how other models are mended
            raise LmscoreError(f"{damaged}, and it is fetched anew") from err
    _check_memory(choice.name, count * dtype.itemsize, device)
    with _translated(damaged), memory_errors():
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        special = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        backend = Backend.from_file(str(folder / "tokenizer.json"))
        stored = weights.stored(path)
        placed, table = dict(starmap(weights.to_use, weights.by_layer(stored))), stored[decoder.EMBEDDINGS]
    as_stored = device.type == "cpu" and dtype == torch.float32
    if not as_stored:
        with _translated("cannot move the model to its device"):  # Apple's knows no float64
            placed = {name: weights.in_one_piece(weight).to(device, dtype) for name, weight in placed.items()}
    with _translated(damaged), memory_errors():
        network = decoder.Decoder(config, placed, table=table if as_stored else None)
        bos, eos = (backend.token_to_id(special[name]) for name in ("bos_token", "eos_token"))
    return network, Tokenizer(backend, bos, eos)


def _load_configuration(choice: Choice, folder: Path) -> Any:
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise LmscoreError(f"{choice.name} has no config.json, so it is not a model in transformers' layout")
    with _translated(f"{choice.name}: cannot read its configuration"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=choice.trust_remote_code, local_files_only=True)


def _load_folder(choice: Choice, folder: Path, config: Any, device: torch.device) -> Any:
    from transformers import AutoModelForCausalLM

    parameters = _check_weights(choice.name, folder)
    _check_causal(choice.name, config)
    own = getattr(config.get_text_config(), "dtype", None)
    dtype = _dtype(choice.dtype, None if device.type == "cpu" else own)
    _check_memory(choice.name, parameters * dtype.itemsize, device)
    with _translated(f"{choice.name}: cannot load its weights"):
        model: Any
        info: Any
        model, info = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=choice.trust_remote_code,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # they are told, as those that are missing
            output_loading_info=True,
        )
    _check_complete(choice.name, info)
    return _placed(model, device)


def _check_complete(name: str, told: Mapping[str, Collection[Any]]) -> None:
    """See that the network is made of its weights, and of all of them.

    Args:
        told: what transformers says of them, by kind.
    """
    if missing := sorted(told["missing_keys"]):
        raise LmscoreError(
            f"{name}: its weights lack {missing[0]} (of {len(missing)} missing), so part of it would be random; "
            "not a whole causal language model"
        )
    for key, *shapes in sorted(told["mismatched_keys"]):
        stored, configured = map(list, shapes)
        raise LmscoreError(
            f"{name}: {key} is {stored} in its weights and {configured} by its config.json; get a whole copy of both"
        )
    if unused := sorted(key for key in told["unexpected_keys"] if not key.endswith(MASKS)):
        log.warning(
            "%s: its weights hold %s (%d such in all), for which the network of its config.json has no place: left out",
            *(name, unused[0], len(unused)),
        )


def _load_gguf(choice: Choice, path: Path, device: torch.device) -> tuple[Any, Any]:
    dtype = _dtype(choice.dtype)

    def check(parameters: int) -> None:
        _check_memory(choice.name, parameters * dtype.itemsize, device)

    with _translated(f"{path}: transformers cannot read this GGUF"):
        model, tokenizer, told = read_gguf(path, dtype, check)
    _check_complete(choice.name, told)
    return _placed(model, device), tokenizer


def _load_tokenizer(choice: Choice, folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise LmscoreError(f"{choice.name} has no tokenizer (tokenizer.json); save the model's tokenizer beside it")
    with _translated(f"{choice.name}: cannot read its tokenizer"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=choice.trust_remote_code, local_files_only=True)


def _read_tokenizer(name: str, tokenizer: Any) -> Tokenizer:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise LmscoreError(
            f"{name}: its tokenizer has no tokenizer.json (a fast tokenizer); without it no token's bytes are known"
        )
    return Tokenizer(backend, tokenizer.bos_token_id, tokenizer.eos_token_id)


def _check_weights(name: str, folder: Path) -> int:
    """The number of parameters in a folder's safetensors, whose headers must agree with their sizes: of those that its
    index names, else of `model.safetensors`, else of all; beside them may lie the same weights in another layout.
    """
    from safetensors import SafetensorError, safe_open

    files = {path.name: path for path in sorted(folder.glob("*.safetensors"))}
    if not files:
        pickled = [path.name for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
        if pickled:
            raise only_pickle(name, pickled[0])
        raise LmscoreError(
            f"{name} holds no safetensors; if its weights are pickle (.bin), which can run code when opened, convert "
            "them where you trust them: save_pretrained() writes safetensors"
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        with _translated(f"{index} cannot be read"):
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if lacking := sorted(shards - files.keys()):
            raise LmscoreError(f"{name} lacks {lacking[0]} (of {len(shards)} shards); fetch it again")
        files = {shard: files[shard] for shard in shards}
    elif "model.safetensors" in files:
        files = {"model.safetensors": files["model.safetensors"]}
    count = 0
    for path in files.values():
        try:
            with safe_open(path, framework="pt") as tensors:
                count += sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as err:
            raise LmscoreError(f"{path} is damaged or cut short ({first_line(err)}); fetch it again") from err
    return count


def _check_causal(name: str, config: Any) -> None:
    classes = config.architectures or []
    if not isinstance(classes, list) or not all(isinstance(kind, str) for kind in classes):
        raise LmscoreError(f"{name}: its config.json has {classes!r} for architectures, which is no list of names")
    if getattr(config, "is_encoder_decoder", False) or (
        classes and not any(architecture.endswith(CAUSAL_CLASSES) for architecture in classes)
    ):
        kind = classes[0] if classes else config.model_type
        raise LmscoreError(
            f"{name} is a {kind}, not a causal language model; lmscore scores with models that predict the next token"
        )


def _check_memory(name: str, needed: int, device: torch.device) -> None:
    import psutil

    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    if needed > free:
        raise LmscoreError(
            f"{name} needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
            "a smaller model or --dtype bfloat16 needs less"
        )


def _device(wanted: str) -> torch.device:
    """``auto`` takes CUDA, then Apple's MPS, then the CPU."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(kind for kind, present in there.items() if present))
    if not there.get(wanted.partition(":")[0], False):
        present = ", ".join(kind for kind, present in there.items() if present)
        raise LmscoreError(f"there is no {wanted} device that this torch can use; it has: {present}")
    return torch.device(wanted)


def _dtype(wanted: str, own: Any = None) -> torch.dtype:
    """The dtype that was asked for; ``auto`` is the checkpoint's own where that is to be kept, else float32."""
    if wanted != "auto" and wanted not in DTYPES:
        raise LmscoreError(f"there is no dtype {wanted!r}; choose one of auto, {', '.join(DTYPES)}")
    return DTYPES.get(wanted, own if isinstance(own, torch.dtype) else torch.float32)


def _placed(model: Any, device: torch.device) -> Any:
    from transformers import PreTrainedModel

    if model.dtype == torch.float64 and isinstance(model, PreTrainedModel):
        model.set_experts_implementation("eager")  # the product that all experts have in one knows no float64
    with _translated("cannot move the model to its device"):
        return model.to(device).eval()


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """What a library says when it cannot load something, as one line; the cause stays attached."""
    try:
        yield
    except LmscoreError:
        raise
    except Exception as err:  # transformers and tokenizers raise every kind here, bare Exception included
        said = str(err)
        if "trust_remote_code" in said:
            raise LmscoreError(
                f"{what}: it brings Python code of its own; read that code, then add --trust-remote-code to run it"
            ) from err
        if out_of_memory(err):
            raise LmscoreError(f"{what}: out of memory; a smaller model or --dtype bfloat16 needs less") from err
        raise LmscoreError(f"{what}: {first_line(err)}") from err
