"""Words: what their tokens add up to, and the correction where tokens say where a word begins, not where it ends."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate, pairwise, product
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Group

from lmscore import Reading, Text, open_scorer, words
from lmscore.records import Marks, Token, Word, Words
from lmscore.scorer import Scorer
from lmscore.views.remarks import word_notes
from lmscore.views.table import Page
from lmscore.views.words import words_view
from lmscore.vocabulary import Vocabulary

from . import models
from .cli import Cli
from .shown import printed
from .twin import Twin

CORRECTED, PLAIN = Reading(words="corrected"), Reading(words="plain")

GOES_ON = {"<s>": 0.2, "a": 0.3, "b": 0.05}
"""How probable it is that a word goes on after a letter; at the beginning, that a text does not begin with a blank."""

REST = 1e-6
"""What is left for three tokens that are not of letters, one of them the start symbol."""

MOST_LETTERS = 8


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A model whose words can be counted: of the letters a and b, most of them short."""
    pairs: dict[tuple[str, str], float] = {}
    for before in ("<s>", " a", " b", "a", "b"):
        on = GOES_ON[before.strip()]
        shares = {" a": 0.7 * (1 - on) - REST, " b": 0.3 * (1 - on), "a": 0.6 * on, "b": 0.4 * on}
        pairs |= {(before, after): math.log(share) for after, share in shares.items()}
    return open_scorer(str(models.bigram(tmp_path_factory.mktemp("letters"), pairs, token=" ?.")))


def all_words(front: str) -> list[str]:
    lengths = range(1, MOST_LETTERS + 1)
    return [front + "".join(letters) for length in lengths for letters in product("ab", repeat=length)]


def sums(scorer: Scorer, texts: list[str], context: str | None) -> tuple[float, float]:
    """What the probabilities of these words add up to, corrected and plain."""
    both = []
    for reading in (CORRECTED, PLAIN):
        found = [score.words for score in scorer.scores([Text(text, context) for text in texts], reading)]
        logprobs = [score.items[0].logprob for score in found if score is not None and len(score.items) == 1]
        assert len(logprobs) == len(texts)
        both.append(math.fsum(math.exp(logprob) for logprob in logprobs if logprob is not None))
    return both[0], both[1]


def test_the_probabilities_of_all_words_add_up_to_one_if_corrected(small: Scorer) -> None:
    for context, begins in (("ab", 0.95), ("ba", 0.7)):
        corrected, plain = sums(small, all_words(" "), context)
        assert corrected == pytest.approx(1, abs=1e-4)
        assert plain == pytest.approx(begins * LONGER, rel=1e-3)  # no probability at all


LONGER = 1 + (0.7 * 0.3 + 0.3 * 0.05) / (1 - 0.6 * 0.3 - 0.4 * 0.05)
"""What a word's first letter counts as, plain, with all that begins with it: 1, and the letters expected behind it."""


def test_so_they_do_at_the_beginning_of_a_text(small: Scorer) -> None:
    corrected, plain = sums(small, [*all_words(" "), *all_words("")], None)
    assert corrected == pytest.approx(1, abs=1e-4)
    assert plain > 1.1


def test_so_they_do_for_the_rest_of_a_word(small: Scorer) -> None:
    corrected, _ = sums(small, all_words(""), "a")  # all ways to go on with it, but for the one that it is over
    assert corrected == pytest.approx(0.3, abs=1e-4)


def test_a_correction_by_hand(small: Scorer) -> None:
    score = small.score("a bb a", None, CORRECTED)
    assert score.words is not None
    first, second, third = score.words.items
    assert [word.word for word in score.words.items] == ["a", " bb", " a"]
    assert first.logprob == pytest.approx(math.log(0.2 * 0.6 * 0.7), abs=1e-4)  # "a" there, and a blank after it
    assert second.logprob == pytest.approx(math.log(0.3 * (0.05 * 0.4) * 0.95), abs=1e-4)  # " b" of those with a blank
    assert third.logprob == pytest.approx(math.log(0.7 * 0.7), abs=1e-4)
    corrections = [math.log(0.7), math.log(0.95 / 0.7), math.log(0.7 / 0.95)]
    assert [word.correction for word in score.words.items] == pytest.approx(corrections, abs=1e-5)


def mass(twin: Twin, openers: frozenset[int], text: str, context: str | None) -> list[float]:
    """log P(a word begins) at each token's place and behind the last, by the slow twin."""
    row = torch.zeros(max(openers) + 1, dtype=torch.bool)
    row[list(openers)] = True
    rows = [token.row for token in twin.score(text, context, eos=True)]
    return [math.nan if one is None else float(one[: len(row)][row].logsumexp(-1)) for one in rows]


@pytest.mark.parametrize("context", [None, "The rules of the game"])
def test_corrections_agree_with_the_slow_twin(
    architecture: str, context: str | None, scorer_of: Callable[[str], Scorer], twin_of: Callable[[str], Twin]
) -> None:
    scorer, twin = scorer_of(architecture), twin_of(architecture)
    text = " are such that no one who plays it knows what they are." if context else models.passages(5, [90])[0].strip()
    score = scorer.score(text, context, CORRECTED)
    tokenizer = twin._tokenizer
    spelled = {id: tokenizer.convert_tokens_to_string([token]) for token, id in tokenizer.get_vocab().items()}
    blank = {id for id, token in spelled.items() if token[:1].isspace()}
    openers = frozenset(id for id in {*blank, *tokenizer.all_special_ids} if id < 640)
    there = mass(twin, openers, text, context)
    assert score.words is not None and len(score.words.items) > 5
    for word in score.words.items:
        begin, end = word.first, word.first + word.num_tokens
        starting = 0.0 if begin == 0 and context is None else there[begin]
        tokens = math.fsum(token.logprob or 0 for token in score.tokens[begin:end])
        assert word.correction == pytest.approx(there[end] - starting, abs=1e-4)
        assert word.logprob == pytest.approx(tokens + there[end] - starting, abs=1e-4 * word.num_tokens)


def test_asking_for_words_changes_no_token(architecture: str, scorer_of: Callable[[str], Scorer]) -> None:
    texts = models.passages(6, [3, 40, 200, 700])
    plain = scorer_of(architecture).scores(texts)
    for score, other in zip(plain, scorer_of(architecture).scores(texts, CORRECTED), strict=True):
        assert list(other.logprobs) == pytest.approx(list(score.logprobs), abs=1e-4)
        assert (other.num_tokens, other.windows, other.min_context) == (
            score.num_tokens,
            score.windows,
            score.min_context,
        )


def over(scorer: Scorer, text: str) -> float:
    """The log-probability that a word begins behind a text, as the likeliest tokens there say."""
    behind = scorer.score(" a", text, Reading(top=1000)).tokens[0].top
    assert behind is not None
    openers = scorer._tokenizer.vocabulary.openers
    return math.log(math.fsum(math.exp(one.logprob) for one in behind if one.id in openers))


@pytest.mark.parametrize("tokens", [models.STEADY - 1, models.STEADY, models.STEADY + 1])
def test_asking_for_words_turns_no_position_otherwise(scorer_of: Callable[[str], Scorer], tokens: int) -> None:
    """Not even where a text is as long as the model reads before LongRoPE turns all positions otherwise."""
    plain, asked = (scorer_of("phi3").score(" a" * tokens, None, reading) for reading in (Reading(), CORRECTED))
    assert plain.num_tokens == tokens
    assert list(asked.logprobs) == pytest.approx(list(plain.logprobs), abs=1e-4)
    assert asked.words is not None and asked.words.end_context is None
    total = (asked.total_logprob or 0) + over(scorer_of("phi3"), " a" * tokens)
    assert asked.words.total_logprob == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize(
    ("tokens", "stride", "before", "in_sight"),
    [
        *((255, None, before, None) for before in (0, 1, 150)),
        *((256, None, before, 128) for before in (0, 1, 150, 255)),
        *((257, None, before, None) for before in (0, 1, 150, 255)),
        *((384, None, 0, 128), (384, None, 150, 128), (278, None, 150, None), (300, 1, 0, 255), (300, 1, 150, 255)),
        *((428, None, 300, 128), (427, None, 300, None)),
        (256, 256, 0, 1),
    ],
)
def test_asking_for_words_changes_no_window_and_says_what_was_in_sight_behind_the_last(
    tokens: int, stride: int | None, before: int, in_sight: int | None, scorer_of: Callable[[str], Scorer]
) -> None:
    scorer = scorer_of("gpt2")
    text, context = " a" * (tokens - before), " b" * before
    plain = scorer.score(text, context, Reading(stride=stride))
    score = scorer.score(text, context, Reading(stride=stride, words="corrected"))
    assert score.num_tokens == tokens - before and score.words is not None
    assert (score.windows, score.min_context) == (plain.windows, plain.min_context)
    assert list(score.logprobs) == pytest.approx(list(plain.logprobs), abs=1e-4)
    assert score.words.end_context == in_sight
    expected = [f"That the last word ends was read with the last {in_sight} tokens in sight, not all."]
    notes = [note for note in word_notes(score.words) if "in sight" in note]
    assert notes == (expected if in_sight is not None else [])


def test_what_is_not_corrected_needs_no_end(scorer_of: Callable[[str], Scorer]) -> None:
    ended = scorer_of("gpt2").score(" a" * 255, None, Reading(eos=True, words="corrected"))
    assert ended.words is not None and ended.words.end_context is None


def test_corrected_words_add_up_to_the_text_and_that_it_is_over(scorer_of: Callable[[str], Scorer]) -> None:
    scorer = scorer_of("llama")
    text = "no rules at all"
    score, plain = scorer.score(text, None, CORRECTED), scorer.score(text, None, PLAIN)
    assert score.words is not None and plain.words is not None
    assert plain.words.total_logprob == pytest.approx(score.total_logprob, abs=1e-5)
    assert score.words.total_logprob == pytest.approx((score.total_logprob or 0) + over(scorer, text), abs=1e-4)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("ab é日\n\t.😀"), min_size=1, max_size=30))
def test_words_join_to_the_text_and_hold_every_token_once(text: str, scorer_of: Callable[[str], Scorer]) -> None:
    for architecture in ("llama", "gemma3"):
        score = scorer_of(architecture).score(text, None, CORRECTED)
        assert score.words is not None
        assert "".join(word.word for word in score.words.items).encode() == text.encode() or "\\x" in str(score.words)
        held = [index for word in score.words.items for index in range(word.first, word.first + word.num_tokens)]
        assert held == list(range(len(score.tokens)))
        for word in score.words.items[:-1]:
            assert word.word.strip()  # blanks belong to the word behind them


def spelled(*texts: str) -> list[Token]:
    ends = list(accumulate(len(text.encode()) for text in texts))
    return [
        Token(i, i, text or END, text.encode(), end - len(text.encode()), end, -1.0, spelling=text, special=not text)
        for i, (text, end) in enumerate(zip(texts, ends, strict=True))
    ]


END = "<end>"


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["The", " cat", "s"], ["The", " cats"]),
        (["the ", "cat ", "s"], ["the ", "cat ", "s"]),
        (["a", " ", "b"], ["a", " b"]),
        (["a", " ", " ", " b", " "], ["a", "   b", " "]),
        (["x", ".\n", "y"], ["x.\n", "y"]),
        (["\n", "\n", "a"], ["\n\na"]),
        (["ab", "c", ""], ["abc", END]),
        (["ab", " ", ""], ["ab", " ", END]),
        (["ab", "", "c", "", ""], ["ab", END, "c", END, END]),
    ],
)
def test_which_tokens_make_a_word(tokens: list[str], expected: list[str]) -> None:
    assert ["".join(token.token for token in group) for group in words.grouped(spelled(*tokens))] == expected


def test_where_a_token_says_that_a_word_ends_nothing_is_left_to_correct() -> None:
    tokens = spelled("the ", "cat ", "s ")
    found = list(words.words("the cat s ", tokens, words.Openings([-1.0] * 4, within=False)))
    assert [word.correction for word in found] == [0, 0, 0]


def test_a_symbol_ends_what_stands_before_it_and_leaves_nothing_open() -> None:
    tokens = spelled(" a", "", "b", " c", " ", "")
    openings = words.Openings([-1.0, -2.0, -4.0, -8.0, -16.0, -32.0, -64.0], within=True)
    found = list(words.words(" ab c ", tokens, openings))
    assert [word.word for word in found] == [" a", END, "b", " c", " ", END]
    assert [word.correction for word in found] == [-2 + 1, 2, -8, -16 + 8, 16, 0]


def test_where_no_word_may_begin_there_is_no_correction() -> None:
    found = list(words.words("a b", spelled("a", " b"), words.Openings([None, -1.0, -math.inf], within=False)))
    assert [(word.logprob, word.correction) for word in found] == [(-2, -1), (None, None)]


def test_bytes_that_no_token_holds_belong_to_the_word_before_them() -> None:
    one, other = spelled("one", "two")
    moved = [replace(one, start=1, end=4), replace(other, start=6, end=9, spelling=" two")]
    found = list(words.words(" one  two ", moved, None))
    assert [(word.word, word.start, word.end) for word in found] == [(" one  ", 0, 6), ("two ", 6, 10)]


def test_a_word_that_begins_in_the_context_says_so(scorer_of: Callable[[str], Scorer]) -> None:
    score = scorer_of("llama").score("cat sat", "The ", PLAIN)
    assert score.tokens[0].start == -1 and score.words is not None
    assert [(word.word, word.start, word.end) for word in score.words.items] == [("cat", -1, 3), (" sat", 3, 7)]


def test_a_blank_that_a_tokenizer_adds_is_no_word() -> None:
    added = Token(0, 0, " ", b"", 0, 0, -1.0, spelling=" ")
    (word,) = words.words("a", [added, replace(spelled("a")[0], index=1)], None)
    assert (word.word, word.num_tokens) == ("a", 2)
    lonely = list(words.words(" a", [added, replace(spelled(" a")[0], index=1)], None))
    assert [word.word for word in lonely] == [" a"]


@pytest.mark.parametrize(
    ("vocabulary", "marks"),
    [
        (["a", "b", " cat", " dog", "s", "."], "beginning"),
        (["a ", "cat ", "dog", "."], "end"),
        (["a", "b", " ", "\n", "."], "blanks"),
        (["猫", "です", "。"], "none"),
        ([], "none"),
    ],
)
def test_what_a_vocabulary_tells_of_words(vocabulary: list[str], marks: Marks) -> None:
    assert words.marks(vocabulary) == marks


def of_words(folder: Path, tokenizer: Any) -> Scorer:
    """A random model of six hundred tokens with this tokenizer, which has <unk>, <s> and </s>."""
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**models.SIZES, initializer_range=0.2))
    return open_scorer(str(models.save(model, models.wrap(tokenizer, "<s>", "</s>"), folder)))


SYMBOLS = ("<unk>", "<s>", "</s>")


def test_what_is_unknown_stands_for_text_and_other_symbols_for_none(tmp_path: Path) -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    backend.decoder = tokenizers.decoders.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=300, special_tokens=list(SYMBOLS), unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(models.corpus(), trainer)
    vocabulary = Vocabulary(backend, None, None)
    assert vocabulary.symbols == {1, 2} and 0 not in vocabulary.openers
    score = of_words(tmp_path, backend).score("a日b 日", None, CORRECTED)
    assert score.words is not None and score.words.num_unscored == 0
    assert [word.word for word in score.words.items] == ["a日b", " 日"]


def test_a_models_ends_are_symbols_whatever_its_tokenizer_says() -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[": 1, "]": 2}, "a"))
    assert Vocabulary(backend, 1, 2).symbols == {1, 2}
    assert Vocabulary(backend, None, 2).symbols == {2}


def test_where_a_words_end_is_marked_its_tokens_add_up_to_it(tmp_path: Path) -> None:
    score = of_words(tmp_path, models.ends_of_words(*SYMBOLS)).score("The cats\nsat.", None, CORRECTED)
    assert score.words is not None and score.words.marks == "end"
    assert [word.word for word in score.words.items] == ["The", " cats", "\nsat", "."]
    assert [word.correction for word in score.words.items] == [None] * 4
    assert score.words.total_logprob == pytest.approx(score.total_logprob, abs=1e-5)
    assert list(word_notes(score.words)) == [
        "Words as their tokens add up: this model's tokens say where a word ends, so nothing is left to correct."
    ]


def test_where_marks_say_that_a_word_goes_on_the_others_open_one(tmp_path: Path) -> None:
    scorer = of_words(tmp_path, models.word_pieces(*SYMBOLS))
    score = scorer.score("The cats\nsat. 漢 it", None, Reading(eos=True, words="corrected", top=640))
    assert score.words is not None and score.words.marks == "beginning"
    assert [word.word for word in score.words.items] == ["The", " cats", "\nsat", ".", " 漢", " it", "</s>"]
    goes_on = {id for token, id in scorer._tokenizer._cutter._backend.get_vocab().items() if token.startswith("##")}
    opening = [
        math.log(math.fsum(math.exp(one.logprob) for one in token.top or () if one.id < 600 and one.id not in goes_on))
        for token in score.tokens
    ]
    there = [0.0, *(opening[word.first] for word in score.words.items[1:]), 0.0]
    expected = [behind - before for before, behind in pairwise(there)]
    assert [word.correction for word in score.words.items] == pytest.approx(expected, abs=1e-5)


def test_where_no_token_holds_a_blank_nothing_is_corrected(cli: Cli, tmp_path: Path) -> None:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3}, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    of_words(tmp_path, tokenizer)
    told = cli("score", "a b", "--words", "--json", "-m", tmp_path)
    record = json.loads(told.out)
    assert (record["word_correction"], record["word_marks"]) == (False, "none")
    assert [(word["word"], word["correction"]) for word in record["words"]] == [("a", None), (" b", None)]
    assert math.fsum(word["logprob"] for word in record["words"]) == pytest.approx(record["total_logprob"], abs=1e-5)
    shown = cli("score", "a b", "--words", "-m", tmp_path).out
    assert "none of this model's tokens holds a blank" in shown.replace("\n", " ")


@pytest.mark.parametrize("context", [None, "a<|endoftext|>", "a\n"])
def test_symbols_leave_nothing_open_and_words_add_up_to_the_text(context: str | None, scorer_of: Any) -> None:
    text, reading = " b<|endoftext|>the cat \n", Reading(eos=True, parse_special=True, words="corrected")
    score = scorer_of("llama").score(text, context, reading)
    words = [" b", "<|endoftext|>", "the", " cat", " \n", "<|endoftext|>"]
    assert [word.word for word in score.words.items] == words
    assert score.words.total_logprob == pytest.approx(score.total_logprob, abs=1e-5)
    assert score.words.num_unscored == 0


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_tokenizers_that_mark_beginnings_are_known_by_their_vocabulary(
    architecture: str, scorer_of: Callable[[str], Scorer]
) -> None:
    score = scorer_of(architecture).score("a b", None, CORRECTED)
    assert score.words is not None and score.words.marks == "beginning"


def test_a_word_without_a_figure_has_none(folder_of: Callable[[str], Path]) -> None:
    score = open_scorer(str(folder_of("llama")), bos="none").score("The rules", None, CORRECTED)
    assert score.words is not None
    assert [word.logprob is None for word in score.words.items] == [True, *[False] * (len(score.words.items) - 1)]
    assert score.words.num_unscored == 1


def test_an_end_symbol_is_a_word_of_its_own(scorer_of: Callable[[str], Scorer]) -> None:
    score = scorer_of("llama").score("The rules", None, Reading(eos=True, words="corrected"))
    assert score.words is not None
    assert score.words.items[-1].word == "<|endoftext|>" and score.words.items[-1].num_tokens == 1
    assert score.words.total_logprob == pytest.approx(score.total_logprob, abs=1e-5)  # what is over is in the symbol


def test_json_tells_of_words(cli: Cli) -> None:
    told = json.loads(cli("score", "The rules are", "--words", "--json").out)
    assert [word["word"] for word in told["words"]] == ["The", " rules", " are"]
    assert told["word_correction"] is True and told["word_marks"] == "beginning"
    assert set(told["words"][0]) == {
        *("index", "word", "start", "end", "first", "num_tokens", "logprob", "correction"),
    }
    plain = json.loads(cli("score", "The rules are", "--words", "--word-correction", "off", "--json").out)
    assert plain["word_correction"] is False
    assert [word["correction"] for word in plain["words"]] == [None] * 3
    total = math.fsum(word["logprob"] for word in plain["words"])
    assert total == pytest.approx(plain["total_logprob"], abs=1e-5)


def test_a_table_says_which_figure_it_shows(cli: Cli) -> None:
    assert "Words corrected" in cli("score", "The rules", "--words").out
    assert "Words as their tokens add up" in cli("score", "The rules", "--words", "--word-correction", "off").out
    assert "without blanks" in cli("score", "東京は日本の首都です", "--words").out


@pytest.mark.parametrize("view", ["table", "heat", "both"])
def test_words_stand_beside_every_view(cli: Cli, view: str) -> None:
    told = cli("score", "The rules are", "--words", "--view", view, "--explain", "1").out
    assert [told.count(part) for part in ("Words corrected", "Behind each token", "The weakest token, of")] == [
        1,
        int(view != "table"),
        1,
    ]


def test_a_table_of_words_fits_its_page_and_keeps_their_figures() -> None:
    items = [Word(0, " incomprehensibilities", 0, 22, 0, 3, -12345.6789, -0.5), Word(1, " a", 22, 24, 3, 1, -1.0, 0.5)]
    for width in (40, 50, 60, 80):
        lines = printed(Group(*words_view(Words(tuple(items), True, "beginning"), Page(width))), width)
        assert max(map(len, lines)) <= width
        assert any("-12345.6789" in line and "←" in line for line in lines)


def test_rows_of_csv_are_words(cli: Cli) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("score", "The rules", "a b", "--words", "--format", "csv").out)))
    assert [(row["text_index"], row["word"]) for row in rows] == [
        ("0", "The"),
        ("0", " rules"),
        ("1", "a"),
        ("1", " b"),
    ]


def record(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def test_a_dataset_in_rows_of_words(cli: Cli, tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("item,text\n1,The rules\n2,a b c\n2,a b c\n", encoding="utf-8")
    assert cli("batch", source, "-o", out, "--rows", "word", "-q").code == 0
    rows = record(out)
    assert [(row["item"], row["record_index"], row["word"]) for row in rows] == [
        *[("1", "0", "The"), ("1", "0", " rules")],
        *zip("222222", "111222", ["a", " b", " c"] * 2, strict=True),
    ]
    parts = [tmp_path / f"{part}.csv" for part in (1, 2)]
    for part in (1, 2):
        assert cli("batch", source, "-o", parts[part - 1], "--rows", "word", "-q", "--shard", f"{part}/2").code == 0
    assert [row for part in parts for row in record(part)] == rows
    told = json.loads(cli("score", "The rules", "--words", "--json").out)
    assert float(rows[1]["word_logprob"]) == pytest.approx(told["words"][1]["logprob"], abs=1e-4)
    assert "total_logprob" not in rows[0]


def test_a_dataset_in_rows_of_tokens(cli: Cli, tmp_path: Path) -> None:
    source, out = tmp_path / "in.txt", tmp_path / "out.csv"
    source.write_text("The rules\n", encoding="utf-8")
    ended = cli(
        "batch", source, "-o", out, "--rows", "token", "--rank", "--columns", "total_logprob", "--prefix", "lm_", "-q"
    )
    assert ended.code == 0
    rows = record(out)
    total = math.fsum(float(row["lm_token_logprob"]) for row in rows)
    assert [float(row["lm_total_logprob"]) for row in rows] == pytest.approx([total] * len(rows), abs=1e-5)
    assert int(rows[0]["lm_token_rank"]) > 0 and "lm_token_entropy" not in rows[0]


def test_lists_of_words_in_a_dataset(cli: Cli, tmp_path: Path) -> None:
    import pyarrow.parquet

    source = tmp_path / "in.txt"
    source.write_text("The rules\n", encoding="utf-8")
    for name in ("out.jsonl", "out.parquet"):
        assert cli("batch", source, "-o", tmp_path / name, "--words", "--columns", "num_tokens", "-q").code == 0
    (line,) = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    (row,) = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert json.loads(line)["words"] == row["words"]
    assert [word["word"] for word in row["words"]] == ["The", " rules"]


def test_a_bad_record_is_one_row_of_nulls(cli: Cli, tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('item,text\n1,""\n2,a b\n', encoding="utf-8")
    assert cli("batch", source, "-o", out, "--rows", "word", "--on-error", "null", "-q").code == 0
    assert [(row["item"], row["word"]) for row in record(out)] == [("1", ""), ("2", "a"), ("2", " b")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "a", "--word-correction", "off"], "give --words too"),
        (["score", "a", "--words", "--format", "csv", "--rank"], "--words makes a row a word"),
        (["batch", "IN", "-o", "OUT.csv", "--words"], "--rows word"),
        (["batch", "IN", "-o", "OUT.jsonl", "--rows", "token", "--top", "3"], "give --tokens instead of --rows"),
        (["batch", "IN", "-o", "OUT.jsonl", "--rows", "word", "--words"], "leave out --words"),
        (["batch", "IN", "-o", "OUT.jsonl", "--rows", "word", "--rank"], "choose --rows token"),
        (
            ["batch", "IN", "-o", "OUT.jsonl", "--rows", "word", "--good-column", "a", "--bad-column", "b"],
            "--rows is for texts",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(cli: Cli, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "IN").write_text("a\n", encoding="utf-8")
    places = [str(tmp_path / word) if word in ("IN", "OUT.csv", "OUT.jsonl") else word for word in arguments]
    ended = cli(*places, "--input-format", "txt") if arguments[0] == "batch" else cli(*places)
    assert said in ended.misuse
