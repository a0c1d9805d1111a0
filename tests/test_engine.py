"""The engine by itself: a log-probability from known logits, and memory that runs out."""

import contextlib
import itertools
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from transformers.cache_utils import DYNAMIC_LAYER_TYPE_MAPPING

from lmscore import (
    LmscoreError,
    Score,
    Text,
    accelerator,
    attention,
    decoder,
    engine,
    linear,
    open_scorer,
    pretrained,
    scorer,
    weights,
)
from lmscore.decoder import Decoder
from lmscore.engine import Wanted, read_out
from lmscore.planning import Tree, Window, trees
from lmscore.pretrained import Pretrained
from lmscore.records import Measure
from lmscore.scorer import Scorer

from . import models
from .twin import Twin

BACKENDS: Any = torch.backends
LAYERS: Any = DYNAMIC_LAYER_TYPE_MAPPING
NEEDS_ONEDNN = pytest.mark.skipif(not BACKENDS.mkldnn.is_available(), reason="this torch has no oneDNN")
FULL = Wanted(rank=True, entropy=True, top=3, among=frozenset({1, 2}))
LOGITS = torch.tensor([[0.0, math.log(2), math.log(5), -math.inf]])


class Counting:
    """A network that expects each id to be followed by the next one, e times as likely as any other."""

    vocabulary = 10
    limit = None
    steady = math.inf
    share = 1.0
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, capacity: int = 10_000) -> None:
        self.capacity = capacity
        self.sizes: list[int] = []

    def read(self, windows: Sequence[Window]) -> Iterator[tuple[Tree, Tensor]]:
        for tree in trees(windows, int(self.share * 64)):
            self.sizes.append(len(tree.ids))
            if len(tree.ids) > self.capacity:
                raise MemoryError
            yield tree, torch.tensor(tree.ids)

    def settle(self) -> None:
        pass

    def logits(self, hidden: Tensor) -> Iterator[Tensor]:
        yield torch.nn.functional.one_hot((hidden + 1) % 10, 10).float()


@pytest.mark.parametrize("cuts", [[4], [1, 3], [2, 2], [1, 1, 1, 1]])
def test_logits_in_blocks_give_what_they_give_whole(cuts: list[int]) -> None:
    found = read_out(torch.split(LOGITS, cuts, dim=-1), torch.tensor([0, 0]), torch.tensor([1, 3]), FULL)
    assert found["logprobs"].tolist() == pytest.approx([math.log(2 / 8), -math.inf])
    assert found["ranks"].tolist() == [2, 4]
    assert found["entropies"].tolist() == pytest.approx([-sum(p * math.log(p) for p in (1 / 8, 2 / 8, 5 / 8))] * 2)
    assert found["top_ids"].tolist() == [[2, 1, 0]] * 2
    assert found["top_logprobs"][:, 0].tolist() == pytest.approx([math.log(5 / 8)] * 2)
    assert found["among"].tolist() == pytest.approx([math.log(7 / 8)] * 2)


def test_half_precision_is_widened_before_it_is_summed() -> None:
    logits = torch.zeros(1, 40_000, dtype=torch.bfloat16)
    found = read_out([logits], torch.tensor([0]), torch.tensor([7]), Wanted())
    assert found["logprobs"].tolist() == pytest.approx([-math.log(40_000)], abs=1e-5)


def test_a_tie_shares_the_better_rank() -> None:
    found = read_out([torch.tensor([[1.0, 3.0, 3.0, 3.0]])], torch.tensor([0]), torch.tensor([3]), FULL)
    assert found["ranks"].tolist() == [1]


def test_batches_are_halved_when_memory_runs_out_and_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    network = Counting(capacity=20)
    planned = [Window((i, *[(i + j) % 10 for j in range(9)]), 1) for i in range(10)]
    with caplog.at_level(logging.WARNING):
        found = engine.run(network, planned, Wanted())
    assert [len(readout.logprobs) for readout in found] == [9] * 10
    likely, unlikely = (1 - math.log(math.e + 9), -math.log(math.e + 9))
    for window, readout in zip(planned, found, strict=True):
        expected = [likely if id == (before + 1) % 10 else unlikely for before, id in pairwise(window.ids)]
        assert readout.logprobs == pytest.approx(expected)
    assert max(network.sizes) > 20
    assert "1/4 of the usual size" in caplog.text
    caplog.clear()
    network.sizes.clear()
    engine.run(network, planned, Wanted())
    assert (caplog.text, max(network.sizes) <= 20) == ("", True)  # what did not fit is not tried again


def test_memory_that_is_too_small_for_anything_is_one_line() -> None:
    with pytest.raises(LmscoreError, match="out of memory"):
        engine.run(Counting(capacity=3), [Window((1, 2, 3, 4, 5), 1)], Wanted())


def test_all_is_told_of_once(scorer_of: Callable[[str], Scorer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each block that is read together, and not before it is through; texts that are equal are read once."""
    monkeypatch.setattr("lmscore.scorer.MOST_HELD", 60)
    texts = [*models.passages(8, [60, 200, 9, 120]) * 2, "a"]
    told: list[tuple[int, int]] = []
    scores = list(scorer_of("llama").scores(texts, tick=lambda done, total: told.append((done, total))))
    assert sum(total for done, total in told if done == total) == sum(score.num_tokens for score in scores)
    assert all(before <= after or after == 0 for (before, _), (after, _) in pairwise(told))


def test_which_models_the_decoder_takes(architecture: str, scorer_of: Callable[[str], Scorer]) -> None:
    """By what a model is, not by its speed: were one to fall back, it would be right and nobody would notice."""
    kind = Pretrained if architecture in ("gpt2", "gemma3", "phi3") else Decoder
    assert isinstance(scorer_of(architecture)._network, kind)


def test_a_value_that_is_no_number_stays_with_the_text_it_belongs_to(
    folder_of: Callable[[str], Any], tmp_path: Path
) -> None:
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder_of("llama"))
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder_of("llama"))
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer("Q").input_ids[-1]] = math.nan
    opened = open_scorer(str(models.save(model, tokenizer, tmp_path)))
    scores = opened.scores([Text("An apple", origin="text 1"), Text("A Q and", origin="text 2"), Text("A pear")])
    assert math.isfinite(next(scores).total_logprob or math.nan)
    with pytest.raises(LmscoreError, match=r"text 2: .* token \d"):
        next(scores)


@pytest.fixture
def llama(folder_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Scorer:
    """A scorer of its own, whose network may be changed; on a CPU, whatever else there is, and by oneDNN."""
    monkeypatch.setattr(linear, "FUSED", linear.FUSIBLE)
    return open_scorer(str(folder_of("llama")), device="cpu")


def test_packed_weights_give_what_plain_ones_give(llama: Scorer, scorer_of: Callable[[str], Scorer]) -> None:
    text = "Whatever is packed is packed once, and nobody can tell."
    plain = scorer_of("llama").score(text)
    assert isinstance(llama._network, Decoder)
    llama._network.settle()
    assert llama.score(text).logprobs == pytest.approx(plain.logprobs, abs=1e-5)


def test_what_an_accelerator_has_free_bounds_a_tree(llama: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    network = llama._network
    assert isinstance(network, Decoder)
    row = network._layers[0].bytes_a_row
    monkeypatch.setattr(accelerator, "_free_bytes", lambda _: 50 * row / accelerator.SHARE_OF_FREE)
    vars(network).pop("_most_ids", None)  # it was opened on a CPU
    windows = [Window((0, *range(10 * i, 10 * i + 10)), 1) for i in range(20)]
    sizes = [len(tree.ids) for tree, _ in network.read(windows)]
    assert 20 < max(sizes) <= 32
    network.share = 0.5
    assert sum(len(tree.asked) for tree, _ in network.read(windows)) == 200


def test_what_an_accelerator_has_free_bounds_a_batch(
    folder_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model that is run by transformers, body and head apart and in one piece."""
    windows = [Window((0, *range(10 * i, 10 * i + 10)), 1) for i in range(20)]
    sizes = []
    monkeypatch.setattr(accelerator, "_free_bytes", lambda _: 3 << 20)
    for parts in (pretrained._Split, pretrained._Whole):
        network = open_scorer(str(folder_of("gpt2")))._network
        assert isinstance(network, Pretrained)
        network._parts = parts(network._model)
        sizes.append([len(batch.indices) for batch, _ in network.read(windows)])
        assert sum(sizes[-1]) == 20
    assert max(sizes[1]) < max(sizes[0]) < 20


@NEEDS_ONEDNN
def test_products_come_in_few_sizes(llama: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size costs memory for good, in oneDNN: a corpus must not meet a new one with every batch."""
    sizes = set()
    real = linear._Fused._then

    def noted(self: linear._Fused, rows: Tensor, step: str) -> Tensor:
        sizes.add(len(rows))
        return real(self, rows, step)

    monkeypatch.setattr(linear._Fused, "_then", noted)
    for length in range(1, 700, 19):
        list(llama.scores([Text("ab" * length), Text("cd " * length)]))
    assert 4 < len(sizes) <= 4 + linear.CHUNK // attention.BLOCK


@NEEDS_ONEDNN
def test_a_part_of_columns_meets_onednn_only_once_it_is_packed(
    folder_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """oneDNN multiplies by such weights as they stand, and takes a thousand times as long: no other test would tell."""
    monkeypatch.setattr(decoder, "UNIT_PART", 16)
    monkeypatch.setattr(linear, "FUSED", linear.FUSIBLE)
    network = open_scorer(str(folder_of("llama")), device="cpu")._network
    assert isinstance(network, Decoder)
    (gate, up, down), *others = network._layers[0]._unit
    assert others
    assert [type(part) for part in (gate, up, down)] == [linear._Fused, linear._Fused, linear.Linear]
    network.settle()
    assert all(isinstance(part, linear._Fused) for part in network._layers[0]._unit[0])


def test_without_the_operators_nothing_is_packed(
    folder_of: Callable[[str], Any], llama: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(["and again"] * 60)
    before = llama.score(text)
    monkeypatch.setattr("lmscore.linear.FUSED", frozenset())
    monkeypatch.setattr("lmscore.linear.ONEDNN", None)
    opened = open_scorer(str(folder_of("llama")), device="cpu")
    plain = opened.score(text)
    assert plain.logprobs == pytest.approx(before.logprobs, abs=1e-5)
    assert isinstance(opened._network, Decoder)
    opened._network.settle()
    assert opened.score(text).logprobs == plain.logprobs


def test_operators_that_are_missing_or_compute_something_else_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*given: Any) -> torch.Tensor:
        rows: torch.Tensor = real._linear_pointwise(*given)
        return rows + 0.01

    real = linear.ONEDNN
    for operators in (SimpleNamespace(), SimpleNamespace(**{**operators_of(real), "_linear_pointwise": wrong})):
        monkeypatch.setattr(linear, "ONEDNN", operators)
        assert not linear.holds(linear._fuses, torch.float32)


@pytest.mark.parametrize("causal", [False, True])
def test_nor_is_one_of_attention(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*given: Any, **named: Any) -> tuple[Tensor, Tensor]:
        mixed, norm = real(*given, **named)
        return mixed, 1.1 * norm if named["is_causal"] == causal else norm

    real = attention.ATEN._scaled_dot_product_flash_attention_for_cpu
    for operators in (SimpleNamespace(), SimpleNamespace(_scaled_dot_product_flash_attention_for_cpu=wrong)):
        monkeypatch.setattr(attention, "ATEN", operators)
        assert not linear.holds(attention._looks_apart, torch.float32)


def test_a_long_path_is_looked_at_apart_where_the_operator_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def apart() -> int | None:
        return attention.laid_out(4000, torch.device("cpu"), torch.float32).apart

    assert apart() == attention.LONG_PATH
    monkeypatch.setattr(attention, "APART", frozenset())
    assert apart() is None


@NEEDS_ONEDNN
def test_this_torch_fuses_and_packs() -> None:
    """Were its operators to change, all would go on, and slowly: this says so."""
    assert torch.float32 in linear.FUSIBLE
    assert torch.float32 in attention.APART


@pytest.mark.parametrize(
    ("processor", "mkl", "by_mkl"),
    [
        ("Intel Xeon", True, True),
        ("Intel Xeon", False, False),
        ("AMD EPYC", True, False),
        ("", True, False),
        (None, True, False),
    ],
)
def test_intels_processors_multiply_by_intels_library(
    processor: str | None, mkl: bool, by_mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    if processor is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda: {"cpu_name": processor} if processor else {}, raising=False
        )
    assert linear._by_mkl() == ({torch.float32} if by_mkl else set())


def test_packing_that_runs_out_of_memory_is_taken_up_again(llama: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [Text("Whatever is packed is packed once."), Text("And nobody can tell.")]
    plain = [score.logprobs for score in llama.scores(texts)]
    real, calls = linear.ONEDNN, 0

    def reorder(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real._reorder_linear_weight(*given)

    monkeypatch.setattr(linear, "ONEDNN", SimpleNamespace(**{**operators_of(real), "_reorder_linear_weight": reorder}))
    monkeypatch.setattr(decoder, "WORTH_PACKING", 1)
    for before, score in zip(plain, llama.scores(texts), strict=True):
        assert score.logprobs == pytest.approx(before, abs=1e-5)
    assert isinstance(llama._network, Decoder)
    assert llama._network._packed


@pytest.mark.parametrize("architecture", ["llama", "wide", "qwen3"], indirect=True)
def test_weights_that_lie_transposed_are_the_same_and_are_not_packed(
    architecture: str, folder_of: Callable[[str], Path], scorer_of: Callable[[str], Scorer]
) -> None:
    folder = folder_of(architecture)
    config = json.loads((folder / "config.json").read_text())
    given = load_file(folder / "model.safetensors")
    lying = dict(itertools.starmap(weights.to_store, given.items()))
    assert sum(name.endswith(weights.TRANSPOSED) for name in lying) == 7 * config["num_hidden_layers"]
    used = dict(itertools.starmap(weights.to_use, lying.items()))
    assert all(weights.in_one_piece(used[name]).equal(weight) for name, weight in given.items())
    plain = scorer_of(architecture)._network
    assert isinstance(plain, Decoder)
    network = Decoder(config, used, plain._frequencies)
    windows = [Window(tuple(range(start, start + 40)), 1) for start in (1, 50)]
    expected = [readout.logprobs for readout in engine.run(plain, windows, Wanted())]
    for _ in range(2):
        for found, other in zip(engine.run(network, windows, Wanted()), expected, strict=True):
            assert found.logprobs == pytest.approx(other, abs=1e-4)
        network.settle()
    assert network._layers[0]._out.weight.data_ptr() == used["model.layers.0.self_attn.o_proj.weight"].data_ptr()


def operators_of(operators: Any) -> dict[str, Any]:
    return {name: getattr(operators, name) for name in ("_reorder_linear_weight", "_linear_pointwise")}


def test_what_is_sent_ahead_loses_nothing(scorer_of: Callable[[str], Scorer], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on an accelerator: each block is waited for once the next has been sent."""
    [long] = models.passages(41, [900])  # of several windows
    texts = [Text(text) for text in ["The cat", long, "sat", " ", "and", "purred"] * 3]
    monkeypatch.setattr(scorer, "FIRST_LOOK_AHEAD", 1)
    plain = [score.logprobs for score in scorer_of("llama").scores(texts)]
    events, real_begin, real_later = list[str](), engine.begin, scorer._later

    def begin(*given: Any) -> Callable[[], list[engine.Readout]]:
        wait = real_begin(*given)
        events.append("begun")

        def waited() -> list[engine.Readout]:
            events.append("waited for")
            return wait()

        return waited

    monkeypatch.setattr(engine, "begin", begin)
    monkeypatch.setattr(scorer, "_later", lambda items, _: real_later(items, 1))
    monkeypatch.setattr(scorer, "MOST_HELD", 8)
    monkeypatch.setattr(scorer, "MOST_HELD_OF_ONE", 600)
    found = list[tuple[float, ...]]()
    with pytest.raises(LmscoreError, match="the last"):
        found.extend(score.logprobs for score in scorer_of("llama").scores([*texts, Text("", origin="the last")]))
    assert len(found) == len(plain)
    for own, before in zip(found, plain, strict=True):
        assert own == pytest.approx(before, abs=1e-5)
    runs = len(events) // 2
    assert runs > 10
    assert events == ["begun", *["begun", "waited for"] * (runs - 1), "waited for"]


def test_a_broken_source_is_said_after_what_came_before_it(scorer_of: Callable[[str], Scorer]) -> None:
    def source() -> Iterator[Text]:
        yield from map(Text, ["one", "two", "three"])
        raise LmscoreError("the file ends here")

    found = list[Score]()
    with pytest.raises(LmscoreError, match="the file ends here"):
        found.extend(scorer_of("llama").scores(source()))
    assert [score.text for score in found] == ["one", "two", "three"]


def test_a_model_whose_body_is_not_to_be_had_is_run_whole(
    folder_of: Callable[[str], Path], twin_of: Callable[[str], Twin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.GPT2LMHeadModel, "base_model_prefix", "nothing")  # then it is its own
    gpt2 = open_scorer(str(folder_of("gpt2")))
    assert isinstance(gpt2._network, Pretrained) and isinstance(gpt2._network._parts, pretrained._Whole)
    expected = [token.logprob for token in twin_of("gpt2").score("The cat sat")]
    assert gpt2.score("The cat sat").logprobs == pytest.approx(expected, abs=1e-4)


def test_a_model_of_others_that_runs_out_of_memory_is_given_smaller_batches(
    folder_of: Callable[[str], Path],
    scorer_of: Callable[[str], Scorer],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    opened = open_scorer(str(folder_of("gpt2")))
    assert isinstance(opened._network, Pretrained)
    opened._network.limit = None  # whatever else fails is then said in one line
    body, texts = opened._network._parts.body, models.passages(4, [60] * 8)
    expected = [score.total_logprob for score in scorer_of("gpt2").scores(texts)]

    def full(ids: Tensor, cache: Any) -> Tensor:
        if ids.numel() > 256:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return body(ids, cache)

    monkeypatch.setattr(type(opened._network._parts), "body", lambda _, ids, cache: full(ids, cache))
    assert [score.total_logprob for score in opened.scores(texts)] == pytest.approx(expected, abs=1e-3)
    assert "out of memory: going on with batches of 1/2 of the usual size" in caplog.messages


def test_a_model_that_fails_within_its_limit_keeps_its_traceback(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_scorer(str(folder_of("gpt2")))
    assert isinstance(opened._network, Pretrained)

    def broken(*_: Any) -> Tensor:
        raise RuntimeError("device-side assert")

    monkeypatch.setattr(type(opened._network._parts), "body", broken)
    with pytest.raises(RuntimeError, match="device-side assert"):
        opened.score("a")


@pytest.mark.parametrize("kind", ["indexed_attention", "hybrid_sliding"])
def test_a_model_whose_layers_choose_among_keys_reads_each_text_whole(kind: str) -> None:
    config = transformers.LlamaConfig(**models.SIZES)
    kept = SimpleNamespace(layers=[LAYERS[kind].__new__(LAYERS[kind])])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(NotImplementedError):
        patch.setattr(pretrained, "DynamicCache", lambda config: kept)
        pretrained._keeping_all(config)


def test_what_a_model_computes_in_float32_may_differ_so_much_in_float64() -> None:
    logits = torch.randn(5, 9, dtype=torch.float64)
    assert pretrained.close(logits, logits + 1e-8 * torch.randn(5, 9))
    assert not pretrained.close(logits, logits + 1e-5 * torch.randn(5, 9))


def test_a_model_that_wants_more_than_a_text_is_refused_in_one_line(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Any, input_ids: Tensor, use_cache: bool) -> Any:
        raise ValueError("Input language unknown.\nSet one.")

    monkeypatch.setattr(transformers.GPT2LMHeadModel, "forward", forward)
    with pytest.raises(LmscoreError, match=r"does not run on a text alone in torch.float32 on cpu: Input language"):
        open_scorer(str(folder_of("gpt2")))


def test_positions_that_are_kept_for_padding_are_not_read(tmp_path: Path) -> None:
    sizes = {**models.SIZES, "num_key_value_heads": None, "pad_token_id": 1, "is_decoder": True}
    model = transformers.CamembertForCausalLM(transformers.CamembertConfig(**sizes))
    folder = models.save(model, models.wrap(models.byte_level(models.START, models.END), models.START, None), tmp_path)
    [long] = models.passages(5, [1500])
    score = open_scorer(str(folder)).score(long)
    assert score.windows > 1 and score.num_unscored == 0
    assert score.min_context is not None and score.min_context <= (models.WINDOW - 2) // 2


def test_a_window_that_a_model_has_and_does_not_use_hides_nothing(
    folder_of: Callable[[str], Path], tmp_path: Path, twin_of: Callable[[str], Twin]
) -> None:
    """As in a Llama whose config.json says more than it does: what texts begin with is kept whole."""
    folder = shutil.copytree(folder_of("llama"), tmp_path / "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "sliding_window": 8}))
    opened = open_scorer(str(folder))
    assert isinstance(opened._network, Pretrained) and opened._network._shares_stems
    [context] = models.passages(12, [150])
    for candidate in opened.rank([" one", " and another", " two"], context).candidates:
        expected = [token.logprob for token in twin_of("llama").score(candidate.score.text, context)]
        assert candidate.score.logprobs == pytest.approx(expected, abs=1e-4)


def test_a_window_that_a_mistral_has_is_used_whatever_else_its_configuration_says(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """As transformers does: it knows no switch there."""
    folder = shutil.copytree(folder_of("llama"), tmp_path / "mistral")
    told = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "use_sliding_window": False}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **told, "sliding_window": 8}))
    [text] = models.passages(12, [150])
    expected = [token.logprob for token in Twin(folder, models.START_IDS["llama"]).score(text)]
    assert open_scorer(str(folder)).score(text).logprobs == pytest.approx(expected, abs=1e-4)


def test_code_of_a_model_s_own_is_run_whatever_it_calls_itself(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.LlamaForCausalLM, "__module__", "transformers_modules.who.modeling_llama")
    assert isinstance(open_scorer(str(folder_of("llama")))._network, Pretrained)


def test_a_long_context_is_kept_no_more_often_than_it_is_looked_at(
    folder_of: Callable[[str], Path], twin_of: Callable[[str], Twin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows are filled up with others, to be multiplied as many are; a cache is not copied for those."""
    opened = open_scorer(str(folder_of("gpt2")))
    network = opened._network
    assert isinstance(network, Pretrained)
    monkeypatch.setattr(pretrained, "BUDGET", 1)
    body, seen = type(network._parts).body, list[tuple[int, ...]]()

    def told(self: Any, ids: Tensor, cache: Any) -> Tensor:
        if cache is not None and cache.get_seq_length():
            seen.append(tuple(ids.shape))
        return body(self, ids, cache)

    [context] = models.passages(12, [60])
    assert network._shares_stems
    monkeypatch.setattr(type(network._parts), "body", told)
    for candidate in opened.rank([" one", " and", " x"], context).candidates:
        expected = [token.logprob for token in twin_of("gpt2").score(candidate.score.text, context)]
        assert candidate.score.logprobs == pytest.approx(expected, abs=1e-4)
    assert len(seen) == 3 and all(rows == 1 and rows * width >= 8 for rows, width in seen)


@pytest.mark.parametrize("told", [True, False])
def test_a_limit_by_another_name(tmp_path: Path, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    config = transformers.MptConfig(d_model=32, n_heads=2, n_layers=1, max_seq_len=96, vocab_size=640)
    model = transformers.MptForCausalLM(config)
    folder = models.save(model, models.wrap(models.byte_level(models.START, models.END), models.START, None), tmp_path)
    [long] = models.passages(5, [900])
    if told:
        assert open_scorer(str(folder)).score(long).windows > 1
    else:
        monkeypatch.setattr(pretrained, "LIMITS", ())
        opened, said = open_scorer(str(folder)), r"^the model cannot read \d+ tokens \(.*no limit that is known here"
        with pytest.raises(LmscoreError, match=said):
            opened.score(long)
        with pytest.raises(LmscoreError, match=said):
            opened.rank([" one", " two"], long)


def test_positions_that_depend_on_a_text_s_length_are_those_of_the_text_alone(
    scorer_of: Callable[[str], Scorer], twin_of: Callable[[str], Twin]
) -> None:
    """LongRoPE: neither a longer text beside it nor a beginning that is read once may turn them otherwise."""
    context, *texts = models.passages(12, [100, 3, 60, 5, 90, 300])
    alone = [scorer_of("phi3").score(text, context).logprobs for text in texts]
    lengths = [len(twin_of("phi3").tokens(text, context)[0]) for text in texts]
    assert min(lengths) < models.STEADY < max(lengths)
    ranking = scorer_of("phi3").rank(texts, context)
    for candidate in ranking.candidates:
        text = texts[candidate.index]
        expected = [token.logprob for token in twin_of("phi3").score(text, context)]
        assert alone[candidate.index] == pytest.approx(expected, abs=1e-4)
        assert candidate.score.logprobs == pytest.approx(expected, abs=1e-4)


def test_a_stream_is_read_a_little_ahead_only(llama: Scorer) -> None:
    def source() -> Iterator[Text]:
        for i in range(10_000):
            read.append(Text(f"The {i}th line of a slow stream."))
            yield read[-1]

    read = list[Text]()
    scores = llama.scores(source())
    tokens = next(scores).num_tokens * len(read)  # or some more: later lines have longer numbers
    assert 0.9 * scorer.FIRST_LOOK_AHEAD < tokens < 1.5 * scorer.FIRST_LOOK_AHEAD


@pytest.mark.parametrize("by", ["sum", "pmi"])
def test_what_contexts_begin_with_is_hardly_read_again(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, by: Measure
) -> None:
    """As where the same examples stand before each of many questions."""
    [examples, *questions] = models.passages(9, [320, *[20] * 80])
    answers = ((" yes", 0), (" no", 1))
    groups = [[Text(answer, examples + question, index=at) for answer, at in answers] for question in questions]
    read = list[Tree]()
    hidden = Decoder._hidden

    def counted(self: Decoder, tree: Tree) -> Tensor:
        read.append(tree)
        return hidden(self, tree)

    llama = open_scorer(str(folder_of("llama")))
    monkeypatch.setattr(Decoder, "_hidden", counted)
    assert len(list(llama.rankings(groups, by))) == 80
    assert len(read) <= 2  # each of them begins anew


@pytest.mark.parametrize("context", [None, "After a line."])
def test_what_begins_alike_is_read_a_little_ahead_only_at_first(llama: Scorer, context: str | None) -> None:
    def source() -> Iterator[Text]:
        for _ in range(10_000):
            read.append(Text("The same line of a slow stream.", context))
            yield read[-1]

    read = list[Text]()
    next(llama.scores(source()))
    assert len(read) < 100


def test_a_group_s_context_keeps_no_others_together(llama: Scorer) -> None:
    """Texts that come after it without one are a stream like any other."""

    def most_ahead(texts: list[Text]) -> int:
        def source() -> Iterator[Text]:
            for text in texts:
                read.append(text)
                yield text

        read = list[Text]()
        return max(len(read) - given for given, _ in enumerate(llama.scores(source())))

    [context] = models.passages(4, [300])
    lines = [Text(f"The {i}th line of a slow stream.") for i in range(1_000)]
    assert most_ahead([Text(" yes", context), Text(" no", context), *lines]) < 1.1 * most_ahead(lines)


def test_progress_is_never_a_part_of_nothing(scorer_of: Callable[[str], Scorer]) -> None:
    """Not even where the first text is none."""
    heard = list[tuple[int, int]]()
    for texts in ([], [Text("", origin="the first")], [Text("a"), Text("b")]):
        with contextlib.suppress(LmscoreError):
            list(scorer_of("llama").scores(texts, tick=lambda done, total: heard.append((done, total))))
    assert heard and all(total > 0 and done <= total for done, total in heard)


def attended(tree: Tree, layout: attention.Layout, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    attend = attention.Attention(tree, layout, torch.device("cpu"), query.dtype)
    return torch.cat([attend(chunk, query[chunk], keys, values) for chunk in layout.chunks(len(query))])


def attends(tree: Tree, layout: attention.Layout) -> None:
    """Hold attention in a layout against one mask over everything."""
    count = len(tree.ids)
    query = torch.randn(count, 4, 6, dtype=torch.float64)
    keys, values = torch.randn(2, count, 2, 6, dtype=torch.float64)
    found = attended(tree, layout, query, keys, values)
    mask = torch.full((count, count), -torch.inf, dtype=torch.float64)
    for row in range(count):
        mask[row, [*tree.path(row), row]] = 0
    asking, held, mixed = (part.transpose(0, 1)[None] for part in (query, keys, values))
    expected = torch.nn.functional.scaled_dot_product_attention(asking, held, mixed, mask, enable_gqa=True)
    assert torch.allclose(found, expected[0].transpose(0, 1).flatten(1), atol=1e-10)


def test_a_long_path_is_looked_at_apart_by_all_that_see_it() -> None:
    """A context of 40, three candidates that fork after two ids, and one after another context."""
    context = tuple(range(40))
    candidates = [(*context, 50, 51, *own) for own in ((60, 61, 62), (70, 71, 72), (80, 81, 82))]
    [tree] = trees([Window(ids, 1) for ids in (*candidates, (*context[:4], *range(100, 118)))], 10**6)

    def apart(chunk: int) -> list[tuple[list[int], slice]]:
        layout = attention.Layout(chunk, 4, 4, 10, keys=4096, masks=0, beside=0)
        attends(tree, layout)
        planner = attention._Planner(tree, layout, torch.device("cpu"))
        plans = (planner.plan(at.start, at.stop) for at in layout.chunks(65))
        parts = (part for plan in plans for part in plan.parts if isinstance(part, attention._Behind))
        return [(torch.arange(65)[part.path].tolist(), part.rows) for part in parts]

    stem, other = [*range(40)], [*range(4), *range(48, 60)]
    assert apart(20) == [(stem[:20], slice(20, 40)), (stem, slice(40, 48)), (other, slice(60, 65))]
    assert apart(43) == [([*range(42)], slice(43, 48))]  # not one more for one row alone


def test_two_parts_are_put_together_as_exactly_as_one_is_mixed() -> None:
    """In bfloat16 as well, where a first id takes nearly all, as models have it."""
    random = torch.Generator().manual_seed(1)
    query, keys, values = (torch.randn(700, heads, 16, generator=random) for heads in (4, 2, 2))
    query, keys[0], values[0] = query + 1, 3, 0  # a logit of twelve, the others' are a handful
    [tree] = trees([Window(tuple(range(701)), 1)], 10**6)

    def mixed(dtype: torch.dtype, apart: int | None) -> Tensor:
        layout = attention.Layout(352, 32, 96, apart, keys=4096, masks=0, beside=0)
        asking, told, weighed = (part.to(torch.bfloat16).to(dtype) for part in (query, keys, values))
        return attended(tree, layout, asking, told, weighed).double()

    expected = mixed(torch.float64, None)
    whole, parted = ((mixed(torch.bfloat16, apart) - expected).square().mean().sqrt() for apart in (None, 64))
    assert parted < 1.5 * whole


def test_texts_that_share_nothing_attend_side_by_side() -> None:
    lengths = [40, 9, 36, 10, 30, 11]
    [tree] = trees([Window(tuple(range(100 * i, 100 * i + length)), 1) for i, length in enumerate(lengths)], 10**6)
    count = len(tree.ids)
    for beside, shapes in ((4096, [(3, 39), (3, 10)]), (2 * 39, [(2, 39), (1, 29), (3, 10)]), (1, None)):
        layout = attention.Layout(count, 1, count, None, keys=4096, masks=0, beside=beside)
        parts = attention._Planner(tree, layout, torch.device("cpu")).plan(0, count).parts
        found = [tuple(part.rows.shape) for part in parts if isinstance(part, attention._Chains)]
        assert found == (shapes or [(1, length - 1) for length in sorted(lengths, reverse=True)])
        attends(tree, layout)


@given(lengths=st.lists(st.integers(1, 40), max_size=30), most=st.integers(1, 200))
def test_chains_side_by_side_are_of_like_length(lengths: list[int], most: int) -> None:
    groups = list(attention._alike([range(100 * i, 100 * i + length) for i, length in enumerate(lengths)], most))
    assert sorted(chain.start for group in groups for chain in group) == [100 * i for i in range(len(lengths))]
    for group in groups:
        width = max(map(len, group))
        assert len(group[0]) == width
        assert len(group) == 1 or len(group) * width <= most
        assert all(attention.FILLING * len(chain) >= width for chain in group)


IDS = st.integers(0, 2)
SHAPES = st.lists(st.tuples(st.integers(0, 60), st.lists(IDS, min_size=2, max_size=50)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(base=st.lists(IDS, max_size=60), shapes=SHAPES, data=st.data())
def test_each_id_attends_to_those_that_lead_to_it(base: list[int], shapes: Any, data: st.DataObject) -> None:
    """Against one mask over everything, for trees of any shape and every layout, an accelerator's included."""
    windows = [Window(ids, 1) for ids in dict.fromkeys((*base[:shared], *own) for shared, own in shapes)]
    size = data.draw(st.sampled_from([4, 8]))
    for tree in trees(windows, 10**6):
        count = len(tree.ids)
        rows, chain = data.draw(st.sampled_from([(count, count), (3 * size, 3 * size), (size, size)]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "MOST_MASKED", data.draw(st.sampled_from([8, 16, 32])))
            masks, beside = data.draw(st.sampled_from([0, 1 << 20])), data.draw(st.sampled_from([0, 60, 4096]))
            apart = data.draw(st.sampled_from([None, 1, 4, 16]))
            layout = attention.Layout(rows, size, chain, apart, keys=4096, masks=masks, beside=beside)
            attends(tree, layout)
