"""The default model: the numbers it is known by, and the slow twin's."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from lmscore import Reading, Text, open_scorer
from lmscore.catalogue import SMOLLM2
from lmscore.download import fetch
from lmscore.scorer import Scorer

from . import models
from .converted import as_saved
from .twin import Twin

pytestmark = pytest.mark.slow

NEAR = 1e-4
CAPITAL = "The capital of France is"


@pytest.fixture(scope="module")
def all_threads() -> Iterator[None]:
    """This model is large enough for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scorer(all_threads: None) -> Scorer:
    return open_scorer()


@pytest.fixture(scope="module")
def twin(all_threads: None, tmp_path_factory: pytest.TempPathFactory) -> Twin:
    return Twin(as_saved(fetch(SMOLLM2), tmp_path_factory.mktemp("default")), start=0)


def test_the_cat_sat_from_the_command_line() -> None:
    command = [sys.executable, "-m", "lmscore", "score", "The cat sat", "--json"]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    [score] = map(json.loads, ran.stdout.splitlines())
    assert [token["id"] for token in score["tokens"]] == [504, 2644, 2643]
    assert [token["logprob"] for token in score["tokens"]] == pytest.approx([-5.1127, -9.0752, -3.0691], abs=1e-3)
    assert score["total_logprob"] == pytest.approx(-17.2570, abs=1e-3)
    model = score["model"]
    assert (model["name"], model["dtype"], model["bos_id"]) == ("smollm2", "float32", 0)
    assert (model["bos_token"], model["bos_source"]) == ("<|endoftext|>", "catalogue")


def test_a_handful_of_texts_against_the_slow_twin(scorer: Scorer, twin: Twin) -> None:
    strange = ["日本語のテキスト 😀", "  12 + 30 = 42\n", "<|im_start|>user\nHi<|im_end|>", "x"]
    pairs = [*((text, None) for text in (*models.passages(60, [2, 25, 120, 300]), *strange)), (" Paris.", CAPITAL)]
    reading = Reading(rank=True, entropy=True)
    for score in scorer.scores((Text(text, context) for text, context in pairs), reading):
        expected = twin.score(score.text, score.context)
        assert [token.id for token in score.tokens] == [token.id for token in expected]
        for token, other in zip(score.tokens, expected, strict=True):
            assert token.logprob == pytest.approx(other.logprob, rel=0, abs=NEAR)
            assert token.entropy == pytest.approx(other.entropy, rel=0, abs=1e-3)  # a sum over 49,152
            assert token.rank is not None and token.rank in other.rank_range(NEAR)


def test_a_shared_context_changes_no_candidates_score(scorer: Scorer) -> None:
    endings = [" Paris.", " Paris, the city of light", " London.", " a", " the city of Lyon.", "\n\n"]
    ranking = scorer.rank(endings, CAPITAL)
    assert ranking.candidates[0].score.text != " London."
    for candidate in ranking.candidates:
        alone = scorer.score(endings[candidate.index], CAPITAL)
        for token, other in zip(candidate.score.tokens, alone.tokens, strict=True):
            assert token.logprob == pytest.approx(other.logprob, rel=0, abs=NEAR)


def test_its_own_templates_first_symbol_is_not_added(scorer: Scorer) -> None:
    # The tokenizer file calls <|im_start|> (id 1) the start symbol; the catalogue knows better.
    score = scorer.score("The cat sat")
    assert score.tokens[0].id == 504
    assert scorer.start.id == 0
