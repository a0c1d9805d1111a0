"""Two scores side by side: what meets what, what it adds up to, who wins, and how it is shown."""

import csv
import io
import json
import math
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style

from lmscore import Reading
from lmscore.alignment import STRIDE, blocks, common
from lmscore.comparison import Comparison, by_bytes, by_words
from lmscore.ranking import resolution
from lmscore.records import Score, Text, Token
from lmscore.scorer import Scorer
from lmscore.views.diff import comparison_view
from lmscore.views.remarks import comparison_notes
from lmscore.views.scale import Depth, leanings
from lmscore.views.table import Page
from lmscore.views.units import Unit

from . import models
from .cli import Cli
from .scores import MODEL
from .shown import ESCAPE, EVIL, acting

LOGPROBS = st.floats(-50, 0)


def cut(text: str, ends: Sequence[int], logprobs: Sequence[float | None], eos: float | None = None) -> Score:
    """A text whose tokens end at these bytes; with a log-probability for its end symbol, if it has one."""
    data = text.encode()
    tokens = [
        Token(i, i, data[a:b].decode("utf-8", "backslashreplace"), data[a:b], a, b, logprob)
        for i, ((a, b), logprob) in enumerate(zip(pairwise((0, *ends)), logprobs, strict=True))
    ]
    if eos is not None:
        tokens.append(Token(len(tokens), 99, "</s>", b"", len(data), len(data), eos, spelling="</s>", special=True))
    return Score(text, None, tuple(tokens), 1, None, MODEL)


def spelled(*pieces: tuple[str, float | None], eos: float | None = None) -> Score:
    """A text of tokens that spell this, with these log-probabilities."""
    ends = [len("".join(piece for piece, _ in pieces[: n + 1]).encode()) for n in range(len(pieces))]
    return cut("".join(piece for piece, _ in pieces), ends, [logprob for _, logprob in pieces], eos)


@st.composite
def scores(draw: st.DrawFn, text: str | None = None) -> Score:
    """A text of few different words, in tokens that end anywhere, some mid-character; the first one may be unscored."""
    text = draw(st.text("ab \n🙂\u00a0", min_size=1, max_size=40)) if text is None else text
    size = len(text.encode())
    ends = [*sorted(draw(st.sets(st.integers(1, size - 1))) if size > 1 else ()), size]
    logprobs: list[float | None] = list(draw(st.lists(LOGPROBS, min_size=len(ends), max_size=len(ends))))
    return cut(text, ends, [None, *logprobs[1:]] if draw(st.booleans()) else logprobs, draw(st.none() | LOGPROBS))


def laws(comparison: Comparison) -> None:
    """What holds of every comparison."""
    first, second = comparison.first, comparison.second
    assert [token for place in comparison.places for token in place.first.tokens] == list(first.tokens)
    assert [token for place in comparison.places for token in place.second.tokens] == list(second.tokens)
    assert "".join(place.first.text for place in comparison.places) == first.text
    assert "".join(place.second.text for place in comparison.places) == second.text
    assert all(place.first.tokens or place.second.tokens for place in comparison.places)
    for place in comparison.places:
        for score, stretch in ((first, place.first), (second, place.second)):
            assert score.text.encode()[stretch.start : stretch.end].decode() == stretch.text
    figures = [place.difference for place in comparison.places if place.difference is not None]
    if comparison.difference is not None:
        assert math.fsum(figures) == pytest.approx(comparison.difference, abs=1e-12)
    if len(figures) == len(comparison.places):
        assert comparison.totals == (first.total_logprob, second.total_logprob), "to the last bit"
        assert comparison.bits_per_byte == (first.bits_per_byte, second.bits_per_byte)
        exactly = (*second.logprobs, *(-logprob for logprob in first.logprobs))
        assert comparison.difference == math.fsum(exactly)
    else:
        assert first.num_unscored or second.num_unscored


# Alignment


def longest(first: Sequence[int], second: Sequence[int]) -> int:
    """The slow twin: how long a longest common subsequence is, cell by cell."""
    row = [0] * (len(second) + 1)
    for item in first:
        before, row = row, [0]
        for j, other in enumerate(second):
            row.append(before[j] + 1 if item == other else max(before[j + 1], row[j]))
    return row[-1]


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_what_is_common_is_as_long_as_can_be(first: list[int], second: list[int]) -> None:
    found = common(first, second)
    assert len(found) == longest(first, second)
    assert all(first[i] == second[j] for i, j in found)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(found))


@pytest.mark.parametrize("size", [STRIDE - 1, STRIDE, 2 * STRIDE + 7])
def test_rows_that_are_not_kept_are_found_again(size: int) -> None:
    chance = random.Random(size)
    first, second = ([chance.randrange(5) for _ in range(size)] for _ in range(2))
    found = common(first, second)
    assert len(found) == longest(first, second)
    assert all(first[i] == second[j] for i, j in found)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_blocks_cover_both_once_and_in_order(first: list[int], second: list[int]) -> None:
    found = list(blocks(first, second))
    assert [i for a, _ in found for i in a] == list(range(len(first)))
    assert [j for _, b in found for j in b] == list(range(len(second)))
    for a, b in found:
        alike = len(a) == len(b) == 1 and first[a[0]] == second[b[0]]
        assert alike or not {first[i] for i in a} & {second[j] for j in b}


def test_long_texts_are_aligned_at_once() -> None:
    chance = random.Random(1)
    first, second = ([chance.randrange(3) for _ in range(20_000)] for _ in range(2))
    began = time.perf_counter()
    assert len(common(first, second)) > 10_000
    assert time.perf_counter() - began < 20


# What meets what


@given(scores(), scores())
def test_words_hold_every_token_once_and_add_up(first: Score, second: Score) -> None:
    laws(by_words(first, second))


@given(st.data())
def test_bytes_hold_every_token_once_and_add_up(data: st.DataObject) -> None:
    first = data.draw(scores())
    second = data.draw(scores(first.text))
    comparison = by_bytes(first, second)
    laws(comparison)
    for place in comparison.places:
        if place.first.tokens and place.second.tokens:
            assert place.first.text == place.second.text


@given(scores())
def test_a_text_and_itself_differ_nowhere(score: Score) -> None:
    for comparison in (by_words(score, score), by_bytes(score, score)):
        assert all(place.same and place.difference in (0.0, None) for place in comparison.places)
        assert comparison.winner is None and comparison.widest() == ()
        assert comparison.tied == bool(comparison.compared)


def met(comparison: Comparison) -> list[tuple[str, str]]:
    return [(place.first.text, place.second.text) for place in comparison.places]


@pytest.mark.parametrize(
    ("first", "second", "places"),
    [
        ("The keys are", "The keys is", [("The", "The"), (" keys", " keys"), (" are", " is")]),
        ("a b c", "a x y c", [("a", "a"), (" b", " x y"), (" c", " c")]),
        ("a b c d", "a d", [("a", "a"), (" b", ""), (" c", ""), (" d", " d")]),
        ("Paris now", "In Paris now", [("", "In"), ("Paris", " Paris"), (" now", " now")]),
        ("a  b", "a b", [("a", "a"), ("  b", " b")]),
        ("a b", "c d e", [("a b", "c d e")]),
    ],
)
def test_words_meet_their_like(first: str, second: str, places: list[tuple[str, str]]) -> None:
    ours, theirs = (spelled(*((word, -1.0) for word in re.findall(" *[^ ]+", text))) for text in (first, second))
    comparison = by_words(ours, theirs)
    assert met(comparison) == places
    assert [place.same for place in comparison.places] == [a == b for a, b in places]


def test_places_end_where_a_word_ends_under_both_models() -> None:
    ours = spelled(("It", -1.0), (" is", -2.0), (" now", -3.0))
    theirs = spelled(("It is", -1.0), (" n", -4.0), ("ow", -5.0))
    comparison = by_bytes(ours, theirs)
    assert met(comparison) == [("It is", "It is"), (" now", " now")]
    assert [place.difference for place in comparison.places] == [2.0, -6.0]
    assert [place.index for place in comparison.widest()] == [1, 0]


def test_end_symbols_meet_each_other() -> None:
    a = spelled(("a", -1.0), eos=-2.0)
    b = spelled(("b", -1.0), eos=-5.0)
    for comparison in (by_words(a, b), by_bytes(a, replace(b, text="a"))):
        laws(replace(comparison, second=replace(b, text=comparison.second.text)))
        assert [place.difference for place in comparison.places] == [0.0, -3.0]
    assert [place.same for place in by_words(a, spelled(("a", -1.0))).places] == [True, False]


def test_a_token_across_the_boundary_is_in_the_first_place() -> None:
    across = Token(0, 5, "e cat", b"e cat", -1, 4, -2.0, straddles=True)
    score = Score(" cat", "The", (across,), 1, None, MODEL)
    apart = Score(" cat", "The", (Token(0, 6, " cat", b" cat", 0, 4, -3.0),), 1, None, MODEL)
    (place,) = by_bytes(score, apart).places
    assert (place.first.start, place.first.text, place.difference) == (0, " cat", -1.0)


def test_two_texts_are_not_compared_by_bytes() -> None:
    with pytest.raises(ValueError, match="two texts"):
        by_bytes(spelled(("a", -1.0)), spelled(("b", -1.0)))


# What it adds up to


def test_the_first_of_the_places_that_speak_most_for_the_winner_decides() -> None:
    ours = spelled(("a", -1.0), (" b", -1.0), (" c", -1.0), (" d", -9.0))
    theirs = spelled(("a", -2.0), (" x", -4.0), (" y", -4.0), (" d", -4.0))
    comparison = by_words(ours, theirs)
    assert [place.difference for place in comparison.places] == [-1.0, -3.0, -3.0, 5.0]
    assert (comparison.winner, comparison.difference, comparison.at_same) == (0, -2.0, 4.0)
    assert comparison.decides is comparison.places[1]
    assert [place.index for place in comparison.widest(2)] == [3, 1]
    turned = by_words(theirs, ours)
    assert (turned.winner, turned.difference, turned.decides) == (1, 2.0, turned.places[1])


def test_what_the_arithmetic_cannot_tell_is_a_tie() -> None:
    ours = spelled(("a", -10.0))
    blur = 2 * resolution(ours)
    assert by_words(ours, spelled(("b", -10.0 - blur * 0.99))).tied
    near, far = (by_words(ours, spelled(("b", -10.0 - blur * share))) for share in (0.9, 1.1))
    assert (near.tied, near.winner, near.decides) == (True, None, None)
    assert (far.tied, far.winner) == (False, 0)


def test_a_place_without_a_figure_is_in_no_sum() -> None:
    ours = spelled(("the", None), ("rmo", -7.0), (" is", -2.0))
    theirs = spelled(("thermo", -3.0), (" is", -1.0))
    comparison = by_bytes(ours, theirs)
    assert [place.difference for place in comparison.places] == [None, 1.0]
    assert (comparison.totals, comparison.difference, comparison.winner) == ((-2.0, -1.0), 1.0, 1)
    assert comparison.bits_per_byte == pytest.approx((2 / 3 / math.log(2), 1 / 3 / math.log(2)))


def test_where_nothing_has_a_figure_nothing_is_compared() -> None:
    comparison = by_words(spelled(("a", None)), spelled(("b", None)))
    assert (comparison.difference, comparison.totals, comparison.at_same) == (None, (None, None), None)
    assert (comparison.winner, comparison.tied, comparison.decides) == (None, False, None)


# Through real models


@pytest.mark.parametrize("eos", [False, True])
def test_two_tokenizers_of_one_text_meet(scorer_of: Callable[[str], Scorer], eos: bool) -> None:
    texts = [
        *models.passages(3, [1, 30, 200, 600]),
        "naïve café 🙂👩\u200d👩\u200d👧 日本語の文 \u202e e\u0301\n\n  x\u00a0y ",
        EVIL,
    ]
    for text in texts:
        for context in (None, "It is known that"):
            first, second = (
                next(scorer_of(name).scores([Text(text, context)], Reading(eos=eos))) for name in ("llama", "gemma3")
            )
            comparison = by_bytes(first, second)
            laws(comparison)
            assert all(place.first.text == place.second.text for place in comparison.places)
    assert len(comparison.places) > 3


def test_what_is_scored_together_differs_nowhere_where_it_is_the_same(architecture: str, scorer_of: Any) -> None:
    text = models.passages(5, [200])[0]
    comparison = by_words(*scorer_of(architecture).scores([text, text]))
    assert comparison.difference == pytest.approx(0, abs=1e-4)
    assert comparison.tied


PAIR = {
    ("<s>", "The"): -1.0,
    ("The", " keys"): -2.0,
    (" keys", " are"): -0.5,
    (" keys", " is"): -4.0,
    (" are", " here"): -3.0,
    (" is", " here"): -1.5,
}


def test_a_pair_is_what_one_works_out_by_hand(cli: Cli, tmp_path: Path) -> None:
    folder = models.bigram(tmp_path, PAIR)
    ended = cli("diff", "The keys are here", "The keys is here", "--json", "--model", folder)
    told = json.loads(ended.out)
    assert [place["difference"] for place in told["places"]] == pytest.approx([0, 0, -3.5, 1.5], abs=1e-5)
    assert [place["same"] for place in told["places"]] == [True, True, False, True]
    assert (told["by"], told["winner"], told["tied"], told["decides"]["index"]) == ("words", 0, False, 2)
    assert told["difference"] == pytest.approx(-2.0, abs=1e-5)
    assert told["difference_at_same"] == pytest.approx(1.5, abs=1e-5)
    assert [side["total_logprob"] for side in told["sides"]] == pytest.approx([-6.5, -8.5], abs=1e-5)
    assert told["widest"] == [2, 3]
    assert told["places"][2]["first"]["tokens"][0]["token"] == " are"


def test_a_text_under_two_models_is_what_one_works_out_by_hand(cli: Cli, tmp_path: Path) -> None:
    other = {**PAIR, ("<s>", "The"): -3.0, (" keys", " are"): -0.25}
    folders = [models.bigram(tmp_path / name, pairs) for name, pairs in (("a", PAIR), ("b", other))]
    told = json.loads(cli("diff", "The keys are", "-m", folders[0], "-m", folders[1], "--json").out)
    assert (told["by"], told["winner"], told["decides"]["index"], told["widest"]) == ("bytes", 0, 0, [0, 2])
    assert [place["difference"] for place in told["places"]] == pytest.approx([-2, 0, 0.25], abs=1e-5)
    assert [side["model"]["name"] for side in told["sides"]] == [str(folder) for folder in folders]
    assert told["sides"][1]["bits_per_byte"] == pytest.approx(5.25 / 12 / math.log(2), abs=1e-5)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (0.0049, "more probable"),
        (0.01, "1.01 times"),
        (6.9, "992 times"),
        (6.9077, "1,000 times"),
        (13.8, "985,000 times"),
        (13.9, "some 10^6 times"),
        (900, "some 10^391 times"),
    ],
)
def test_how_much_more_probable(difference: float, said: str) -> None:
    found = by_words(spelled(("a", -1000.0)), spelled(("b", difference - 1000)))
    (line, *_) = (note for note in comparison_notes(found, Unit.nats) if note.startswith("difference"))
    assert f": the second is {said}" in line


def test_tokens_are_counted_where_they_are_summed() -> None:
    found = by_words(
        spelled(("Th", None), ("e", -3.0), (" cat", -1.0)), spelled(("A", -2.0), (" cat", -1.5), (" s", -4.0))
    )
    assert (found.totals, found.num_tokens) == ((-1.0, -5.5), (1, 2))


def test_json_says_what_score_says(cli: Cli) -> None:
    words = ["The cat", "A cat sat", "--context", "So. ", "--eos"]
    told = json.loads(cli("diff", *words, "--json").out)
    for place, line in enumerate(cli("score", *words, "--json").out.splitlines()):
        side, alone = told["sides"][place], json.loads(line)
        assert side.pop("num_left_out") == 0
        assert {name: alone[name] for name in side} == side
        tokens = [token for p in told["places"] for token in p[("first", "second")[place]]["tokens"]]
        assert tokens == alone["tokens"]
    assert told["context"] == "So. "
    assert told["num_places"] == len(told["places"])


def test_a_row_a_place(cli: Cli, tmp_path: Path) -> None:
    words = ["diff", "The keys are", "The keys is"]
    rows = list(csv.DictReader(io.StringIO(cli(*words, "--format", "csv").out)))
    told = json.loads(cli(*words, "--json").out)
    assert [float(row["difference"]) for row in rows] == [place["difference"] for place in told["places"]]
    assert [(row["first_text"], row["second_text"]) for row in rows][-1] == (" are", " is")
    path = tmp_path / "out.tsv"
    assert cli(*words, "-o", path).code == 0
    assert path.read_text().startswith("index\tsame\tdifference\tfirst_text\t")


def test_without_a_start_symbol_the_first_place_is_left_out_and_said(cli: Cli) -> None:
    words = ["diff", "The keys are", "The keys is", "--bos", "none"]
    told = json.loads(cli(*words, "--json").out)
    assert (told["num_uncompared"], told["places"][0]["difference"]) == (1, None)
    sums = [(side["num_tokens"], side["num_left_out"]) for side in told["sides"]]
    first = [len(told["places"][0][side]["tokens"]) for side in ("first", "second")]
    assert sums == [(3, first[0]), (3, first[1])]
    assert math.fsum(p["difference"] or 0 for p in told["places"]) == pytest.approx(told["difference"], abs=1e-9)
    shown = " ".join(cli(*words).out.split())
    assert "1 place has a token that nothing stands before, which is unscored: left out of all sums." in shown
    assert re.search(r"^0 .* unscored$", cli(*words).out, re.MULTILINE), "no sum yet"
    assert f"3 tokens {first[0]} left out" in shown
    assert "Nothing can be compared" in cli("diff", "a", "b", "--bos", "none").out


TWO_MODELS = """
import sys, weakref
import lmscore.app, lmscore.scorer
alive, really = [], lmscore.scorer.open_scorer

def opened(*words, **named):
    assert [ref for ref in alive if ref() is not None] == []
    scorer = really(*words, **named)
    alive.append(weakref.ref(scorer))
    return scorer

lmscore.scorer.open_scorer = opened
code = lmscore.app.run()
sys.exit(code or len(alive) - 2)
"""


@pytest.mark.slow
def test_one_model_is_let_go_of_before_the_next_is_loaded(folder_of: Any) -> None:
    """In a process of its own: what its imports leave behind may hold a model as well."""
    words = ["diff", "The cat", "-m", str(folder_of("gpt2")), "-m", str(folder_of("gemma3")), "-q"]
    ended = subprocess.run([sys.executable, "-c", TWO_MODELS, *words], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


# What is read


def test_standard_input_is_one_text_and_its_line_end_is_said(cli: Cli) -> None:
    ended = cli("diff", "-", "The keys is", "--json", stdin=b"The keys are\n")
    assert [side["text"] for side in json.loads(ended.out)["sides"]] == ["The keys are\n", "The keys is"]
    assert ended.err == ("warning: stdin: its last line end is compared too; printf '%s' gives a text without one\n")
    ended = cli("diff", "The keys is", "-", "--json", stdin=b"The keys\nare")
    assert [side["text"] for side in json.loads(ended.out)["sides"]] == ["The keys is", "The keys\nare"]
    assert ended.err == ""


def test_slips_are_said(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    ended = cli("diff", tmp_path / "a.txt", "b")
    assert ended.err == (
        f"warning: {tmp_path}/a.txt is scored as a text, though a file has that name; - and < read it\n"
    )
    assert 'no space stands between the context and this ("keysare")' in cli("diff", "are", "is", "-c", "The keys").err


def test_the_environment_names_the_model(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = models.bigram(tmp_path / "a folder", PAIR)  # a space in a name is part of it
    monkeypatch.setenv("LMSCORE_MODEL", str(folder))
    assert json.loads(cli("diff", "The", "The", "--json").out)["sides"][0]["model"]["name"] == str(folder)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "0 texts and 1 model: give two texts, or one and --model twice"),
        (["a"], "1 text and 1 model: give two texts, or one and --model twice"),
        (["a", "b", "c"], "3 texts and 1 model"),
        (["a", "b", "-m", "x", "-m", "y"], "2 texts and 2 models"),
        (["a", "-m", "x", "-m", "y", "-m", "z"], "1 text and 3 models"),
        (["-", "-"], "- stands for standard input, which can be one of the texts, not both"),
        (["a", "b", "--json", "--view", "heat"], "--view is for tables, and this would write json"),
        (["a", "b", "-o", "x.csv", "--view", "table"], "--view is for tables, and this would write csv"),
        (["a", "b", "--json", "--format", "csv"], "--json and --format csv contradict each other"),
        (["a", "b", "--view", "film"], "--view"),
    ],
)
def test_wrong_usage_is_one_line_and_2(cli: Cli, words: list[str], said: str) -> None:
    ended = cli("diff", *words)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended
    assert ended.err.startswith("error: ") and said in ended.err, ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", ""], "text 2: it is empty, so there is nothing to score"),
        (["a", "b\udcff"], "text 2 is not valid UTF-8 at byte 1"),
        (["a", "b", "-m", "./nowhere"], "there is no model at ./nowhere"),
        (["a", "-m", "./nowhere", "-m", "./there"], "there is no model at ./nowhere"),
        (["a", "b", "-o", "/nowhere/x"], "cannot write /nowhere/x"),
        (["-", "b"], "stdin: not UTF-8 at its byte 0"),
    ],
)
def test_bad_input_is_one_line_and_1(cli: Cli, words: list[str], said: str) -> None:
    assert said in cli("diff", *words, "-q", stdin=b"\xff").error


# What is shown


def printed(view: Any, width: int, colors: Any = None) -> str:
    console = Console(
        width=width, markup=False, emoji=False, highlight=False, color_system=colors, force_terminal=bool(colors)
    )
    Style._add.cache_clear()  # Rich keeps the codes of a sum of styles from the first console that it is shown on
    with console.capture() as captured:
        console.print(view)
    return captured.get()


WIDE = by_words(
    spelled(("Pneumonoultra", -103.1234), ("microscopic", -745.5), (" 日本語の長いトークン" * 6, -0.5), (" c", -1e-9)),
    spelled(("A", -745.5), (" 👩\u200d👩\u200d👧\u200d👦", -9.25), (" x" * 30, -1000.25), (" c", -12.5), eos=-3.5),
)


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("terminal", [False, True])
def test_a_comparison_fits_its_page_and_cuts_no_figure(width: int, unit: Unit, terminal: bool) -> None:
    shown = printed(comparison_view(WIDE, Page(width, terminal, unit), table=True, heat=True), width)
    assert max(map(cell_len, shown.splitlines())) <= width
    for nats in (-103.1234, -745.5, -0.5, -9.25, -1000.25, -12.5, -3.5):
        assert f"{unit.of(nats):.4f}" in shown
    for place in WIDE.places:
        assert f"{unit.of(place.difference or 0):+.4f}" in shown
    assert "…" not in shown.split("difference ")[0], "no figure is cut"


def test_a_table_says_all_there_is_to_say() -> None:
    ours = spelled(("The", -1.0), (" key", -2.0), ("s", -0.5), (" are", -0.25), (" here", -3.0))
    theirs = spelled(("The", -1.0), (" key", -2.0), ("s", -0.5), (" is", -4.25), (" here", -2.0), (" now", -1.0))
    lines = printed(comparison_view(by_words(ours, theirs), Page()), 80).splitlines()
    assert [line.split() for line in lines[:8]] == [
        ["#", "first", "logprob", "second", "logprob", "difference", "so", "far"],
        ["0", "The", "-1.0000", "The", "-1.0000", "0.0000", "0.0000"],
        ["1", "␣key", "-2.0000", "␣key", "-2.0000", "0.0000", "0.0000"],
        ["s", "-0.5000", "s", "-0.5000"],
        ["2", "␣are", "-0.2500", "␣is", "-4.2500", "-4.0000", "-4.0000", "←", "decides"],
        ["3", "␣here", "-3.0000", "␣here", "-2.0000", "+1.0000", "-3.0000"],
        ["4", "␣now", "-1.0000", "-1.0000", "-4.0000"],
        ["first", "total", "-6.7500", "nats", "0.5728", "bits", "per", "byte", "5", "tokens"],
    ]
    said = " ".join(" ".join(lines).split())
    assert "difference -4.0000 nats: the first is 54.6 times as probable." in said
    assert "-5.0000 of it where the words differ, +1.0000 at words that both have" in said
    assert "It is decided at #2 ␣are / ␣is -4.0000." in said
    nothing_alike = by_words(spelled(("a", -1.0)), spelled(("b", -2.0)))
    assert "words differ" not in printed(comparison_view(nothing_alike, Page()), 80)


def test_a_tie_names_no_winner() -> None:
    for other, why in ((-2.0, "the figures are the same"), (-2.0000001, "it is less than float32 can tell")):
        said = printed(comparison_view(by_words(spelled(("a", -2.0)), spelled(("b", other))), Page()), 80)
        assert f"0.0000 nats: no winner, since {why}." in said
        assert "decided" not in said and "decides" not in said
    same = printed(comparison_view(by_words(spelled(("a", -2.0)), spelled(("a", -2.0))), Page()), 80)
    assert "the texts are the same." in same


def test_one_text_under_two_models_names_both(cli: Cli, folder_of: Callable[[str], Path]) -> None:
    folders = [folder_of(name) for name in ("llama", "gemma3")]
    out = cli("diff", "The cat sat on the mat.", "-m", folders[0], "-m", folders[1]).out
    said = " ".join(out.split())
    assert re.search(r"the text is (more probable|\S+ times as probable) under the (first|second) model\.", said)
    assert f"first: {folders[0]}"[:40] in said and f"second: {folders[1]}"[:40] in said
    assert "start symbol <s> (id 0" in said and "start symbol <bos> (id 1" in said
    assert "Furthest apart: #" in said


HEAT = by_words(
    spelled(("So", -1.0), (" old", -2.0), (" keys", -1.0), (" are", -1.0), (" here", -3.0)),
    spelled(("So", -1.0), (" keys", -1.5), (" is", -6.0), (" here", -1.0), eos=-2.0),
)


@pytest.mark.parametrize("width", [50, 75, 76])
def test_a_narrow_table_says_that_it_has_no_sums(width: int) -> None:
    shown = printed(comparison_view(HEAT, Page(width)), width)
    assert ("left out, for want of room: so far" in shown) == (width < 76)
    assert shown.count("so far") == 1


def test_without_colours_raised_bits_say_the_difference() -> None:
    shown = printed(comparison_view(HEAT, Page(), table=False, heat=True), 80)
    assert shown.splitlines()[0] == "So ∅⁺³ keys⁻¹ «is»⁻⁷ here⁺³«</s>»⁻³"
    assert "⁻³ three bits less likely than in the first text" in shown
    assert "∅ words that only the first has" in " ".join(shown.split()) and "underlined" not in shown
    assert "«» is around other words" in " ".join(shown.split())


def test_a_legend_explains_the_signs_that_are_there() -> None:
    same = by_words(HEAT.first, HEAT.first)
    for comparison, signs in ((HEAT, (True, True)), (same, (False, False))):
        shown = " ".join(printed(comparison_view(comparison, Page(terminal=True), table=False, heat=True), 80).split())
        assert ("underlined: other words" in shown, "∅ words that only" in shown) == signs
        assert ("nowhere half a bit apart" in shown) == (comparison is same)


def test_a_text_of_several_lines_runs_over_several_lines() -> None:
    ours, theirs = spelled(("a.\n", -1.0), ("c", -1.0)), spelled(("a.\n", -3.0), ("\\n", -1.0))
    shown = printed(comparison_view(by_words(ours, theirs), Page(), table=False, heat=True), 80)
    assert shown.splitlines()[:2] == ["a.↵⁻³", "«\\\\n»"]


@pytest.mark.parametrize(("colors", "depth"), [("256", Depth.many), ("truecolor", Depth.full)])
def test_with_colours_the_background_says_the_difference(colors: str, depth: Depth) -> None:
    shown = printed(comparison_view(HEAT, Page(depth=depth), table=False, heat=True), 80, colors)
    first = shown.splitlines()[0]
    assert ESCAPE.sub("", first).rstrip() == "So ∅ keys is here</s>"
    assert "⁻" not in shown and "bits  -8  -6  -4" in ESCAPE.sub("", shown)
    if colors == "truecolor":
        less, more = (leanings()[8 + step] for step in (-7, 3))
        assert re.search(rf"\x1b\[[\d;]*48;2;{less.red};{less.green};{less.blue}mis\x1b", first)
        assert re.search(rf"\x1b\[[\d;]*48;2;{more.red};{more.green};{more.blue}mhere\x1b", first)


@pytest.mark.parametrize("view", ["table", "heat", "both"])
@pytest.mark.parametrize("color", ["never", "always"])
def test_nothing_in_a_text_acts_in_any_view(cli: Cli, folder_of: Callable[[str], Path], view: str, color: str) -> None:
    both = ["-m", folder_of("llama"), "-m", folder_of("gemma3")]
    for words in ([EVIL, f"{EVIL}\n[red]x", "--eos", "--context", EVIL], ["x", EVIL], [EVIL, *both]):
        ended = cli("diff", *words, "--view", view, "--color", color)
        assert ended.code == 0, ended.err
        assert not acting(ended.out + ended.err)
        shown = ESCAPE.sub("", ended.out)
        assert view == "table" or "[bold]b[/bold]" in "".join(shown.split("\n"))
        assert ("\x1b" in ended.out) == (color == "always")


@pytest.mark.slow
@pytest.mark.parametrize("view", ["table", "heat"])
def test_long_texts_and_long_words_are_shown_whole(view: str) -> None:
    word = spelled(*(("ab" * 5, -2.0) for _ in range(5000)))
    many = spelled(*((f" w{n % 7}", -1.0) for n in range(10_000)))
    shown = printed(comparison_view(by_words(word, many), Page(), view == "table", view == "heat"), 80)
    assert max(map(cell_len, shown.splitlines())) <= 80
    assert len(re.findall(r"w\d", shown.split("first  total")[0])) == 10_000
