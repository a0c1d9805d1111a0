"""Which symbol stands before every text, who decided, and what its absence does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import transformers

from lmscore import LmscoreError, open_scorer
from lmscore.catalogue import CATALOGUE, same_model
from lmscore.scorer import Scorer
from lmscore.vocabulary import StartSymbol, Vocabulary, decide_start

from . import models

BOS, EOS = 0, 1


@pytest.mark.parametrize(
    ("wanted", "catalogued", "bos", "eos", "decided"),
    [
        (".", 5, BOS, EOS, "--bos"),
        ("none", 5, BOS, EOS, StartSymbol(None, None, "--bos none")),
        ("None", 5, BOS, EOS, StartSymbol(None, None, "--bos none")),
        (None, 5, BOS, EOS, "catalogue"),
        (None, None, BOS, EOS, StartSymbol(BOS, "<s>", "tokenizer bos")),
        (None, None, None, EOS, StartSymbol(EOS, "<|endoftext|>", "tokenizer eos")),
        (None, None, None, None, StartSymbol(None, None, "none")),
        (None, 0, 1, 1, StartSymbol(0, "<s>", "catalogue")),  # id 0 is a choice, not an absence
    ],
)
def test_the_first_of_user_catalogue_bos_and_eos_decides(
    wanted: str | None, catalogued: int | None, bos: int | None, eos: int | None, decided: StartSymbol | str
) -> None:
    vocabulary = Vocabulary(models.byte_level(models.START, models.END), bos, eos)
    start = decide_start(vocabulary, wanted, catalogued)
    assert (start if isinstance(decided, StartSymbol) else start.source) == decided


def test_a_start_symbol_is_named_by_id_by_vocabulary_entry_or_by_text(
    folder_of: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    """One that is an ordinary word is said to be one: a slip, mostly."""
    folder = str(folder_of("llama"))
    for wanted, id in (("1", 1), (models.END, 1), ("Ġthe", None), (" the", None)):
        start = open_scorer(folder, bos=wanted).start
        assert start.source == "--bos"
        assert start.id == id if id is not None else start.token == " the"
        said = f"--bos {wanted}: the token {start.token} is no special symbol of this model's"
        assert caplog.messages == ([] if id == 1 else [said])
        caplog.clear()


@pytest.mark.parametrize("wanted", ["no such token", "600", "99999999999999999999", "-1", ""])
def test_an_unknown_start_symbol_is_an_error(folder_of: Callable[[str], Path], wanted: str) -> None:
    with pytest.raises(LmscoreError, match="start symbol"):
        open_scorer(str(folder_of("llama")), bos=wanted)


@pytest.mark.parametrize(
    ("architecture", "token", "source"),
    [
        ("llama", "<s>", "tokenizer bos"),
        ("gpt2", "<|endoftext|>", "tokenizer eos"),
        ("qwen2", "<|endoftext|>", "tokenizer eos"),
        ("gemma3", "<bos>", "tokenizer bos"),
    ],
)
def test_every_score_says_which_symbol_and_why(
    scorer_of: Callable[[str], Scorer], architecture: str, token: str, source: str
) -> None:
    model = scorer_of(architecture).score("The").model
    assert (model.bos_id, model.bos_token, model.bos_source) == (models.START_IDS[architecture], token, source)


def test_the_symbol_chosen_is_what_the_first_token_is_conditioned_on(tmp_path: Path) -> None:
    folder = models.bigram(tmp_path, {("<s>", "The"): -1.8, (" cat", "The"): -4.0})
    assert open_scorer(str(folder)).score("The").total_logprob == pytest.approx(-1.8, abs=1e-5)
    assert open_scorer(str(folder), bos=" cat").score("The").total_logprob == pytest.approx(-4.0, abs=1e-5)


def test_without_one_the_first_token_is_null_and_counted_as_unscored(tmp_path: Path) -> None:
    pairs = {("<s>", "The"): -1.8, ("The", " cat"): -2.5, (" cat", " sat"): -1.2}
    score = open_scorer(str(models.bigram(tmp_path, pairs)), bos="none").score("The cat sat")
    assert score.tokens[0].logprob is None
    assert (score.num_tokens, score.num_unscored) == (2, 1)
    assert score.total_logprob == pytest.approx(-3.7, abs=1e-5)
    assert score.num_bytes == len(" cat sat")
    model = score.model
    assert (model.bos_id, model.bos_token, model.bos_source) == (None, None, "--bos none")


def test_a_tokenizer_without_bos_and_eos_means_none(tmp_path: Path) -> None:
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**models.SIZES))
    folder = models.save(model, models.wrap(models.byte_level(), None, None), tmp_path)
    score = open_scorer(str(folder)).score("T")
    assert (score.model.bos_source, score.total_logprob, score.num_unscored) == ("none", None, 1)


def test_after_a_context_even_the_first_token_has_a_condition(tmp_path: Path) -> None:
    folder = models.bigram(tmp_path, {("<s>", "The"): -1.8, ("The", " cat"): -2.5})
    score = open_scorer(str(folder), bos="none").score(" cat", "The")
    assert (score.num_tokens, score.num_unscored) == (1, 0)
    assert score.total_logprob == pytest.approx(-2.5, abs=1e-5)


def test_the_catalogue_speaks_for_the_same_model_from_a_hub() -> None:
    assert same_model("HuggingFaceTB/SmolLM2-135M-Instruct") is CATALOGUE["smollm2"]
    assert CATALOGUE["smollm2"].bos_id == 0
    assert same_model("openai-community/gpt2") is None
