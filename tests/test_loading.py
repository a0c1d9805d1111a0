"""Opening a model: what may be named, and one line for each way in which it is not one that lmscore can use."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import errors
from huggingface_hub import utils as hub_utils
from safetensors.torch import load_file, save_file
from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from lmscore import LmscoreError, loading, open_scorer, unread
from lmscore.conversion import read_gguf
from lmscore.locating import Choice, Located, find

from . import gguf_model, models
from .cli import Cli

FolderOf = Callable[[str], Path]


@pytest.fixture
def folder(folder_of: FolderOf, tmp_path: Path) -> Path:
    """A copy of the random Llama, to be damaged."""
    return shutil.copytree(folder_of("llama"), tmp_path / "model")


def refused(model: object, **chosen: Any) -> str:
    """The line with which opening a model is refused."""
    with pytest.raises(LmscoreError) as caught:
        open_scorer(str(model), **chosen)
    (line,) = str(caught.value).splitlines()
    return line


def edit(path: Path, **changes: object) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_place_that_holds_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").touch()
    assert refused(tmp_path / "nowhere").startswith(f"there is no model at {tmp_path}/nowhere; give a folder")
    assert refused(tmp_path / "empty").endswith("has no config.json, so it is not a model in transformers' layout")
    assert "--model takes a folder with safetensors" in refused(tmp_path / "note.txt")
    assert refused("./nowhere").startswith("there is no model at ./nowhere")
    assert refused("weights.gguf").startswith("there is no model at weights.gguf")


def test_a_revision_of_what_has_none(folder: Path) -> None:
    for name in ("smollm2", folder):
        assert refused(name, revision="main").endswith("has no revision to choose; leave out --revision")


def test_a_missing_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert refused(folder).endswith("has no tokenizer (tokenizer.json); save the model's tokenizer beside it")


def test_a_tokenizer_that_cannot_be_read(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    assert refused(folder).startswith(f"{folder}: cannot read its tokenizer: ")


def test_a_configuration_that_cannot_be_read(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert refused(folder).startswith(f"{folder}: cannot read its configuration: ")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickle_is_refused_and_says_how_to_convert(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    for model in (folder, folder / name):
        line = refused(model)
        assert f"has only pickle weights ({name}), which can run code when opened" in line
        assert "save_pretrained(...) writes safetensors" in line


def test_pickle_beside_safetensors_is_not_opened(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert open_scorer(str(folder)).score("a").num_tokens == 1


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "holds no safetensors" in refused(folder)


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_weights_cut_short(folder: Path, kept: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    assert refused(folder).startswith(f"{weights} is damaged or cut short (")


def test_a_missing_shard(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model.safetensors", "lm_head.weight": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert refused(folder).endswith("lacks model-2.safetensors (of 2 shards); fetch it again")


def test_weights_that_lack_a_part_would_be_random(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=3)
    assert "its weights lack model.layers.2." in refused(folder)


@pytest.mark.parametrize("layers", [0, 1])
def test_weights_without_a_place_are_told(folder: Path, layers: int, caplog: pytest.LogCaptureFixture) -> None:
    edit(folder / "config.json", num_hidden_layers=layers)
    assert open_scorer(str(folder)).score("a").num_tokens == 1
    [said] = caplog.messages
    assert said.startswith(f"{folder}: its weights hold model.layers.{layers}.input_layernorm.weight (")


def test_weights_of_another_shape(folder: Path) -> None:
    edit(folder / "config.json", vocab_size=641)
    assert ": lm_head.weight is [640, 32] in its weights and [641, 32] by its config.json" in refused(folder)


@pytest.mark.parametrize("kinds", [[5], 5, "LlamaForCausalLM"])
def test_a_configuration_that_names_no_classes(folder: Path, kinds: Any) -> None:
    edit(folder / "config.json", architectures=kinds)
    assert refused(folder).endswith(f"its config.json has {kinds!r} for architectures, which is no list of names")


def test_a_configuration_with_a_name_that_nobody_knows(folder: Path) -> None:
    edit(folder / "config.json", hidden_act="nope")
    assert refused(folder) == f"{folder}: cannot load its weights: it knows nothing called 'nope'"


def test_masks_in_old_checkpoints_are_no_weights(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.attn.masked_bias"] = torch.ones(1)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert open_scorer(str(folder)).score("a").num_tokens == 1
    assert not caplog.messages


def test_a_model_with_rotary_positions_alone_has_no_limit(folder: Path) -> None:
    edit(folder / "config.json", max_position_embeddings=0)
    assert open_scorer(str(folder)).score("a " * 300).windows == 1


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("BertForMaskedLM", transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)),
        ("T5ForConditionalGeneration", transformers.T5Config(d_model=8, d_ff=8, num_layers=1, num_heads=1)),
        ("LlamaForSequenceClassification", transformers.LlamaConfig(**models.SIZES)),
    ],
)
def test_what_is_no_causal_language_model(kind: str, config: Any, folder: Path) -> None:
    config.architectures = [kind]
    config.save_pretrained(folder)
    assert refused(folder).startswith(f"{folder} is a {kind}, not a causal language model")


def test_code_of_its_own_is_not_run_unasked(folder: Path) -> None:
    (folder / "mine.py").write_text("raise SystemExit('this code has run')")
    edit(folder / "config.json", model_type="mine", auto_map={"AutoConfig": "mine.Mine"})
    assert refused(folder).endswith("read that code, then add --trust-remote-code to run it")


def test_a_vocabulary_larger_than_the_model_s(folder: Path) -> None:
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"extra{i}" for i in range(60)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(LmscoreError, match=r"the tokenizer gives id \d+, but the model knows 640"):
        open_scorer(str(folder)).score("extra59")


def test_no_memory_for_a_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000})())
    assert refused(folder, device="cpu").endswith("are free; a smaller model or --dtype bfloat16 needs less")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there(folder: Path) -> None:
    assert refused(folder, device="cuda").startswith("there is no cuda device that this torch can use; it has: ")


def test_a_folder_can_be_relative_and_named_by_the_environment(
    folder_of: FolderOf, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of("qwen3")
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("LMSCORE_MODEL", folder.name)
    shown = json.loads(cli("score", "--json", "--device", "cpu", "a").out)["model"]
    assert (shown["name"], shown["dtype"], shown["device"]) == (folder.name, "float32", "cpu")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"], indirect=True)
def test_the_precision_that_is_asked_for(architecture: str, folder_of: FolderOf, dtype: str) -> None:
    folder = str(folder_of(architecture))
    found, plain = open_scorer(folder, dtype=dtype).score("A short text"), open_scorer(folder).score("A short text")
    assert found.model.dtype == dtype
    assert found.logprobs == pytest.approx(plain.logprobs, abs=1e-4 if dtype == "float64" else 0.2)
    assert found.logprobs != plain.logprobs


def test_experts_in_float64(tmp_path: Path) -> None:
    """The product that all experts have in one in transformers knows no float64."""
    sizes = models.SIZES | {"num_local_experts": 4, "num_experts_per_tok": 2}
    model = transformers.MixtralForCausalLM(transformers.MixtralConfig(**sizes, initializer_range=0.2))
    tokenizer = models.wrap(models.byte_level(models.START, models.END), models.START, models.END)
    folder = str(models.save(model, tokenizer, tmp_path))
    found, plain = open_scorer(folder, dtype="float64").score("A short text"), open_scorer(folder).score("A short text")
    assert found.logprobs == pytest.approx(plain.logprobs, abs=1e-4)


def test_threads(folder: Path) -> None:
    before = torch.get_num_threads()
    try:
        open_scorer(str(folder), threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("own", "expected"), [(None, "1"), ("3", "3")])
def test_the_tokenizers_threads_are_those_of_the_command(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, own: str | None, expected: str
) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", own or "undone when the test ends")
    if own is None:
        monkeypatch.delenv("RAYON_NUM_THREADS")
    assert cli("score", "a", "--threads", "1").code == 0
    assert os.environ["RAYON_NUM_THREADS"] == expected


HUB = {
    "gated": (errors.GatedRepoError, "accept its terms on its hub page, then run `hf auth login` or set HF_TOKEN"),
    "revision": (errors.RevisionNotFoundError, "who/what has no revision v2; see its history on the hub"),
    "repository": (errors.RepositoryNotFoundError, "the hub knows none of that name (a private one needs HF_TOKEN)"),
    "offline": (errors.LocalEntryNotFoundError, "is not on this disk and the hub cannot be reached (offline?)"),
    "hub": (errors.HfHubHTTPError, "cannot fetch who/what@v2 from the hub: it said so"),
    "connection": (RuntimeError, "cannot fetch who/what@v2 from the hub: it said so"),
    "disk": (OSError, "cannot fetch who/what@v2 from the hub: it said so"),
}


@pytest.mark.parametrize(("kind", "said"), HUB.values(), ids=HUB.keys())
def test_what_the_hub_says_is_one_line(monkeypatch: pytest.MonkeyPatch, kind: type[Exception], said: str) -> None:
    def refuse(*_: object, **__: object) -> str:
        err = kind.__new__(kind)  # the hub's own errors want a response from it
        err.args = ("it said so\nat length",)
        raise err

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    assert said in refused("who/what", revision="v2")


def test_the_hub_is_asked_for_what_is_safe_and_for_code_only_if_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []

    def snapshot(name: str, **wanted: Any) -> str:
        asked.append({"name": name, **wanted})
        return str(tmp_path / "abc123")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find(Choice("who/what", "main")) == Located(tmp_path / "abc123", "abc123")
    find(Choice("who/what", trust_remote_code=True))
    assert [(one["name"], one["revision"], "*.py" in one["allow_patterns"]) for one in asked] == [
        ("who/what", "main", False),
        ("who/what", None, True),
    ]
    assert not any(pattern.endswith((".bin", ".pt")) for one in asked for pattern in one["allow_patterns"])


def test_the_hub_is_as_quiet_as_it_is_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    talk: Any = hub_utils
    seen: list[tuple[bool | None, int]] = []

    def snapshot(*_: object, **__: object) -> str:
        seen.append((talk.are_progress_bars_disabled(), talk.logging.get_verbosity()))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    before = talk.are_progress_bars_disabled(), talk.logging.get_verbosity()
    find(Choice("who/what"))
    find(Choice("who/what"), lambda what, done=0, total=None: None)
    assert seen == [(True, logging.ERROR), before]
    assert (talk.are_progress_bars_disabled(), talk.logging.get_verbosity()) == before


def test_offline_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    said = refused("who/what")
    assert "is not on this disk and the hub cannot be reached (offline?)" in said and "did you mean" not in said
    assert refused("smolm2").endswith("; did you mean smollm2?")


@pytest.mark.parametrize("name", ["no model", "-x-", "smolm2 "])
def test_what_can_be_no_hub_id(name: str) -> None:
    assert "not in the catalogue (smollm2), not a folder, not a hub id" in refused(name)


def test_a_gguf_file_by_its_path(tmp_path: Path) -> None:
    path = gguf_model.write(tmp_path / "tiny.gguf")
    assert open_scorer(str(path)).score("A short text").num_tokens > 3
    assert open_scorer(str(path), dtype="bfloat16").score("A").model.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("kept", "said"),
    [(0, "is not a GGUF file; check the download"), (4, "cannot read this GGUF"), (9000, "cannot read this GGUF")],
)
def test_a_gguf_file_cut_short(tmp_path: Path, kept: int, said: str) -> None:
    path = gguf_model.write(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:kept])
    assert said in refused(path)
    assert str(path) in refused(path)


def test_a_gguf_file_whose_tokens_would_be_wrong(tmp_path: Path) -> None:
    path = gguf_model.write(tmp_path / "tiny.gguf", rule="a-rule-of-tomorrow")
    assert "cuts text by the rule 'a-rule-of-tomorrow', which transformers does not know" in refused(path)


@pytest.mark.parametrize("rule", [None, "default"])
def test_a_gguf_file_that_does_not_say_how_it_cuts_text(
    tmp_path: Path, rule: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = gguf_model.write(tmp_path / "tiny.gguf", rule)
    open_scorer(str(path))
    assert f"{path} does not say how its text is cut: as GPT-2's, which may be wrong" in caplog.text


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}


def stretched_by_factors(file: Any, tensors: gguf_model.Tensors) -> None:
    """As llama.cpp keeps Llama 3's: what each frequency is divided by."""
    sizes: dict[str, Any] = {"hidden_size": gguf_model.HIDDEN, "num_attention_heads": gguf_model.HEADS}
    config = transformers.LlamaConfig(**sizes, rope_parameters=LLAMA3)
    stretched, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    tensors["rope_freqs.weight"] = (plain / stretched).numpy()


def stretched_by_one(file: Any, tensors: gguf_model.Tensors) -> None:
    file.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    file.add_rope_scaling_factor(4.0)


@pytest.mark.parametrize(("change", "parameters"), [(stretched_by_factors, LLAMA3), (stretched_by_one, LINEAR)])
def test_a_gguf_file_s_positions_are_stretched_as_it_says(
    tmp_path: Path, change: Callable[..., None], parameters: dict[str, Any]
) -> None:
    """As transformers stretches those of the same weights in a folder, by its configuration."""
    plain = open_scorer(str(gguf_model.write(tmp_path / "plain.gguf")))
    opened = open_scorer(str(gguf_model.write(tmp_path / "stretched.gguf", change=change)))
    model, tokenizer, _ = read_gguf(tmp_path / "plain.gguf", torch.float32)
    model.config.rope_parameters = parameters
    truth = open_scorer(str(models.save(model, tokenizer, tmp_path / "folder")))
    text = models.passages(3, [200])[0]
    expected = truth.score(text).logprobs
    assert opened.score(text).logprobs == pytest.approx(expected, abs=1e-5)
    assert plain.score(text).logprobs != pytest.approx(expected, abs=1e-2)


def lacking(file: Any, tensors: gguf_model.Tensors) -> None:
    del tensors["blk.1.ffn_up.weight"]


def of_several_parts(file: Any, tensors: gguf_model.Tensors) -> None:
    file.add_uint16("split.count", 3)


def stretched_otherwise(file: Any, tensors: gguf_model.Tensors) -> None:
    file.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    file.add_rope_scaling_factor(4.0)


def stretched_by_length(file: Any, tensors: gguf_model.Tensors) -> None:
    tensors["rope_factors_long.weight"] = 2 * np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lacking, "its weights lack model.layers.1.mlp.up_proj.weight (of 1 missing), so part of it would be random"),
        (of_several_parts, "is one of 3 parts of a model; merge them"),
        (stretched_otherwise, "it stretches positions in a way that transformers does not read"),
        (stretched_by_length, "it stretches positions in a way that transformers does not read"),
    ],
)
def test_a_gguf_file_whose_numbers_would_be_wrong(tmp_path: Path, change: Callable[..., None], said: str) -> None:
    assert said in refused(gguf_model.write(tmp_path / "tiny.gguf", change=change))


def test_a_gguf_file_with_weights_that_have_no_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def more(file: Any, tensors: gguf_model.Tensors) -> None:
        tensors["blk.0.attn_q.bias"] = np.ones(gguf_model.HIDDEN, np.float32)

    open_scorer(str(gguf_model.write(tmp_path / "whole.gguf")))
    assert "left out" not in caplog.text
    open_scorer(str(gguf_model.write(tmp_path / "tiny.gguf", change=more)))
    assert "it holds 32 weights for which transformers' network has no place: left out" in caplog.text


LLAMA_KEYS: Any = GGUF_CONFIG_MAPPING["llama"]
"""What transformers reads of such a file, and what its configuration calls it."""


def with_a_number(key: str, value: float) -> Callable[..., None]:
    def change(file: Any, tensors: gguf_model.Tensors) -> None:
        (file.add_float32 if isinstance(value, float) else file.add_uint32)(f"llama.{key}", value)

    return change


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("rope.dimension_count", 4, "its rope.dimension_count is 4, and transformers takes 8"),
        ("final_logit_softcapping", 3.0, "its final_logit_softcapping is 3, and transformers takes None"),
    ],
)
def test_a_gguf_file_that_says_what_transformers_does_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: float, said: str
) -> None:
    monkeypatch.setitem(LLAMA_KEYS, "rope.dimension_count", None)
    assert said in refused(gguf_model.write(tmp_path / "tiny.gguf", change=with_a_number(key, value)))


def test_a_gguf_file_whose_frequencies_transformers_does_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is with StarCoder2 and StableLM."""
    monkeypatch.setitem(LLAMA_KEYS, "rope.freq_base", None)
    path = gguf_model.write(tmp_path / "tiny.gguf", change=with_a_number("rope.scaling.factor", 1.0))
    assert open_scorer(str(path)).score("a").num_tokens == 1  # 10000 is what it takes
    told = with_a_number("rope.freq_base", 5e5)
    monkeypatch.setattr(gguf.GGUFWriter, "add_rope_freq_base", lambda *_: None)
    said = refused(gguf_model.write(tmp_path / "other.gguf", change=told))
    assert "its rope.freq_base is 500000, and transformers takes 10000.0" in said


def test_a_gguf_file_whose_window_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_scorer(str(gguf_model.write(tmp_path / "tiny.gguf", change=with_a_number("attention.sliding_window", 16))))
    assert "its window of 16 tokens is left out: each token sees all before it" in caplog.text


@pytest.mark.parametrize("key", ["rope.scaling.factor", "rope.scale_linear"])
def test_a_gguf_file_that_stretches_positions_without_saying_how(tmp_path: Path, key: str) -> None:
    """By one number, as llama.cpp takes it."""
    ways = (stretched_by_one, with_a_number(key, 4.0))
    scorers = [open_scorer(str(gguf_model.write(tmp_path / f"{at}.gguf", change=way))) for at, way in enumerate(ways)]
    text = models.passages(3, [200])[0]
    one, other = (scorer.score(text).logprobs for scorer in scorers)
    assert one == pytest.approx(other, abs=1e-6)


def test_a_gguf_file_that_holds_a_tied_head_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of Falcon and Bloom do; of a Llama such a head is one of its own."""

    def twice(file: Any, tensors: gguf_model.Tensors) -> None:
        tensors["output.weight"] = tensors["token_embd.weight"]

    model, _, _ = read_gguf(gguf_model.write(tmp_path / "tiny.gguf", change=twice), torch.float32)
    assert not model.config.tie_word_embeddings
    reader = gguf.GGUFReader(tmp_path / "tiny.gguf")
    unread.restore_network(model, reader, tmp_path)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    unread.restore_network(model, reader, tmp_path)
    assert "left out" not in caplog.text


def test_weights_that_lie_there_in_two_layouts_count_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[int]()
    monkeypatch.setattr(loading, "_check_memory", lambda name, needed, device: told.append(needed))
    open_scorer(str(folder))
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    open_scorer(str(folder))
    assert told[0] == told[1]


def test_a_tokenizer_whose_bytes_nobody_knows(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").touch()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    assert refused(folder).endswith(
        "its tokenizer has no tokenizer.json (a fast tokenizer); without it no token's bytes are known"
    )
