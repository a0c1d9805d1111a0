"""What is written, for people: tables that fit, that say what they show, and that nothing in a text can act on."""

import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lmscore.corpus import Corpus, Hits
from lmscore.ranking import rank
from lmscore.records import Alternative, Measure
from lmscore.views import glyphs, remarks
from lmscore.views.summary import summary_view
from lmscore.views.table import Page, ranking_view, score_view, surprisal_bar
from lmscore.views.units import Unit

from .cli import Cli, environment
from .scores import MODEL, of_pieces, scored
from .shown import ESCAPE, EVIL, acting, printed

OTHERS = tuple(Alternative(128000 + i, "x", "長い単語".encode() * (i + 1), -12.5 - i) for i in range(3))
WIDEST = of_pieces(
    (" antidisestablishmentarianism", -103.123456),
    ("👩\u200d👩\u200d👧\u200d👦", -0.5),
    ("日本語の長いトークン" * 6, -745.5),
    ("\x00\x1b" * 12, -1e-9),
    context="some context " * 40,
    rank=123456,
    entropy=11.763,
    top=OTHERS,
)


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("unit", Unit)
def test_a_score_fits_its_page_and_cuts_no_figure(width: int, unit: Unit) -> None:
    lines = printed(score_view(WIDEST, Page(width, terminal=True, unit=unit)), width)
    assert max(map(cell_len, lines)) <= width
    shown = "\n".join(lines)
    for nats in (-103.123456, -0.5, -745.5, -12.5):
        assert f"{unit.of(nats):.4f}" in shown
    assert "123,456" in shown
    assert "120003" in shown
    assert f"{unit.of(11.763):.3f}" in shown
    assert f"total {unit.of(WIDEST.total_logprob or 0):.4f} {unit.value}" in shown
    assert shown.count("…") == 1, "no figure is cut: only the context is"


@pytest.mark.parametrize(
    ("bits", "bar"),
    [(0, ""), (0.1, ""), (0.25, "▏"), (1, "▌"), (2, "█"), (3.5, "█▊"), (15.9, "████████"), (99, "████████")],
)
def test_a_bar_is_two_bits_a_column(bits: float, bar: str) -> None:
    assert surprisal_bar(-bits * math.log(2)) == bar
    assert surprisal_bar(1e-9) == ""


@pytest.mark.parametrize("width", [60, 75, 76, 80, 89, 90, 99])
@pytest.mark.parametrize("entropy", [None, 11.763])
@pytest.mark.parametrize("straddles", [False, True])
def test_a_bar_is_there_where_it_cuts_nothing(width: int, entropy: float | None, straddles: bool) -> None:
    score = of_pieces((" antidisestablishmentarianism", -103.123456), rank=123456, entropy=entropy, context="c")
    score = replace(score, tokens=tuple(replace(token, straddles=straddles, index=19999) for token in score.tokens))
    lines = printed(score_view(score, Page(width, terminal=True)), width)
    shown = "\n".join(lines)
    assert max(map(cell_len, lines)) <= width
    assert "…" not in shown
    assert ("████████" in shown) == (width >= (90 if entropy and straddles else 76))
    if width >= 76:
        assert "← weakest" in shown


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("by", ["sum", "pmi"])
def test_a_ranking_fits_its_page_and_cuts_no_figure(width: int, by: Any) -> None:
    candidates = [
        of_pieces((" short", -0.5), context="c"),
        of_pieces(("日本語の長い候補" * 30, -12345.6789), context="c"),
        of_pieces(*((f" word{i}", -12.5) for i in range(1000)), context="c"),
    ]
    alone = [of_pieces((candidate.text, -20000.5)) for candidate in candidates]
    ranking = rank(candidates, [0, 1, 2], by, alone if by == "pmi" else None)
    lines = printed(ranking_view(ranking, Page(width, terminal=True)), width)
    assert max(map(cell_len, lines)) <= width
    shown = "\n".join(lines)
    assert "-12345.679" in shown
    assert "-12500.000" in shown
    assert ("7654.821" if by == "pmi" else "12345.179") in shown, "the margin"
    assert "1,000" in shown, "the tokens"
    assert "by hand, float32 on cpu" in shown
    assert all(shown.count(head) == 1 for head in ("/token", "/byte", "weakest")), "as a column, or as one left out"
    assert ("left out, for want of room: " in shown) == (width < 140)


def test_what_candidates_are_ranked_by_is_there_at_any_width() -> None:
    ranking = rank([of_pieces((" short", -0.5)), of_pieces((" a", -0.5), (" b", -0.5))], [0, 1], "byte")
    shown = "\n".join(printed(ranking_view(ranking, Page(50, terminal=True)), 50))
    assert "/byte" in shown.split("left out")[0] and "Ranked by mean per byte; figures in nats." in shown


def test_a_score_s_table_says_all_there_is_to_say() -> None:
    shown = "\n".join(printed(score_view(of_pieces(("The", None), (" cat", -9.0752), ("s", -0.25)), Page()), 80))
    assert [line.split() for line in shown.splitlines()[:5]] == [
        ["#", "token", "id", "logprob", "prob", "rank", "surprisal"],
        ["<|endoftext|>", "0", "given"],
        ["0", "The", "120000", "unscored"],
        ["1", "␣cat", "120001", "-9.0752", "1.1e-04", "██████▌", "←", "weakest"],
        ["2", "s", "120002", "-0.2500", "0.7788", "▏"],
    ]
    assert "total -9.3252 nats  mean -4.6626  perplexity 105.9" in shown
    assert "2 tokens  1 unscored" in shown
    assert "The weakest token is ␣cat (#1): -9.0752 nats, probability 1.1e-04, 97.3% of the" in shown


def test_a_token_across_the_boundary_is_marked_and_explained() -> None:
    score = of_pieces((" cat", -1.0), context="The")
    across = replace(score, tokens=(replace(score.tokens[0], straddles=True, start=-1),))
    for width, mark in ((80, "↔ straddles"), (60, "↔")):
        lines = printed(score_view(across, Page(width)), width)
        assert sum(mark in line for line in lines) == (1 if width == 80 else 2)
        assert any(line.startswith("␣cat (#0, ↔) also holds the end of the context") for line in lines)


def test_candidates_across_the_boundary_are_counted() -> None:
    scores = [of_pieces((" cat", -1.0), context="The"), of_pieces((" dog", -2.0), context="The")]
    across = [replace(score, tokens=(replace(score.tokens[0], straddles=True, start=-1),)) for score in scores]
    for some, said in (
        (scores, None),
        ([scores[0], across[1]], "The first token of 1 of the 2 candidates also holds the end of the context"),
        (across, "The first token of each candidate also holds the end of the context"),
    ):
        shown = " ".join(printed(ranking_view(rank(some, range(2), "sum"), Page()), 80))
        assert said in shown if said else "also holds" not in shown


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.0, "1.000"),
        (196.84, "196.8"),
        (219.0, "219.0"),
        (999.96, "1,000"),
        (2189.6, "2,190"),
        (52_451.0, "52,450"),
        (999_960.0, "1e+06"),
        (1_061_200.0, "1.061e+06"),
        (None, "beyond float64"),
    ],
)
def test_a_perplexity_has_four_digits(value: float | None, said: str) -> None:
    assert remarks.perplexity(value) == said


def test_a_perplexity_beyond_float64_and_windows_are_said() -> None:
    score = replace(of_pieces(("a", -1000.0)), windows=3, min_context=128)
    shown = " ".join(printed(score_view(score, Page()), 80))
    assert "perplexity beyond float64" in shown
    assert "read in 3 overlapping windows" in shown
    assert "at least 128 before it" in shown
    assert "<1e-99" in shown, "improbable is not impossible"


def test_a_table_of_too_many_rows_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of other likely tokens are rows."""
    monkeypatch.setattr("lmscore.views.table.MOST_ROWS", 5)
    score = of_pieces(("The", -1.0), (" cat", -2.0))
    others = (Alternative(1, "a", b"a", -1.0), Alternative(2, "b", b"b", -2.0))
    for top, said in ((None, False), (others[:1], False), (others, True)):
        shown = " ".join(
            printed(score_view(replace(score, tokens=tuple(replace(t, top=top) for t in score.tokens)), Page()), 80)
        )
        assert ("6 rows are too many for a table" in shown) == said


def test_nothing_scored_is_said() -> None:
    assert "no token was scored: nothing stands before the first" in printed(
        score_view(of_pieces(("a", None)), Page()), 80
    )


def test_ties_flips_and_shares_are_said() -> None:
    tied = rank([of_pieces(("a", -2.0)), of_pieces(("b", -2.0)), of_pieces(("c", -30.0))], [0, 1, 2], "sum")
    lines = printed(ranking_view(tied, Page()), 80)
    assert [line.split()[:2] for line in lines[1:4]] == [["1=", "a"], ["1=", "b"], ["3", "c"]]
    assert "<0.1%" in lines[3]
    assert any(
        line.startswith("No winner by total: the first 2 are closer than float32 can tell apart") for line in lines
    )
    flipped = rank([of_pieces(("a", -2.0)), of_pieces(("b", -1.5), ("c", -1.5))], [0, 1], "sum")
    lines = printed(ranking_view(flipped, Page()), 80)
    assert "By mean per token and mean per byte another would win: bc (here in place 2)." in lines
    behind = rank([of_pieces(("a", -1.0)), of_pieces(("b", -2.0)), of_pieces(("c", -2.0))], [0, 1, 2], "sum")
    lines = printed(ranking_view(behind, Page()), 80)
    assert any(
        line.startswith("= marks candidates that are closer than the arithmetic can tell apart") for line in lines
    )


@given(st.text())
def test_a_spelled_text_neither_acts_nor_hides(text: str) -> None:
    data = text.encode("utf-8", "replace")
    for spelled in (glyphs.spell_bytes(data), glyphs.spell_text(text), glyphs.spell_line(text)):
        assert not acting(spelled)
        assert "\n" not in spelled
    assert "  " not in glyphs.spell_bytes(data)


@given(st.binary())
def test_bytes_can_be_told_from_their_spelling(data: bytes) -> None:
    spelled = glyphs.spell_bytes(data).replace(glyphs.SPACE, " ") if "␣".encode() not in data else None
    if spelled is not None:
        escaped = re.sub(r"\\U([0-9a-f]{8})|\\u([0-9a-f]{4})", lambda m: chr(int(m[1] or m[2], 16)), spelled)
        backslash = escaped.replace("\\\\", "\0")
        named = backslash.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")
        raw = b"".join(
            bytes([int(part[2:], 16)]) if part.startswith("\\x") else part.replace("\0", "\\").encode()
            for part in re.split(r"(\\x[0-9a-f]{2})", named)
        )
        controls = re.sub(rb"\xc2([\x80-\x9f\xa0\xad])", rb"\1", data)  # U+0080 to U+00AD are spelled \x80 to \xad too
        assert raw.replace(b"\0", b"\\") in (data, controls, data.replace(b"\0", b"\\"), controls.replace(b"\0", b"\\"))


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (" cat ", "␣cat␣"),
        ("a b", "a b"),
        ("\t\n\\", "\\t\\n\\\\"),
        ("a\u00a0b\u2003c", "a\\xa0b\\u2003c"),
        ("\u202eevil", "\\u202eevil"),
        ("\u0301a", "\\u0301a"),
        ("e\u0301", "e\u0301"),
        ("❤\ufe0f", "❤\\ufe0f"),
        ("\u3164", "\\u3164"),
        ("\U000e0041", "\\U000e0041"),
        ("[bold]", "[bold]"),
        ("日本🙂", "日本🙂"),
        ("", ""),
        ("   ", "␣␣␣"),
    ],
)
def test_how_a_text_is_spelled(text: str, spelled: str) -> None:
    assert glyphs.spell_text(text) == spelled


def test_half_characters_are_spelled_as_their_bytes() -> None:
    assert glyphs.spell_bytes("🙂".encode()[:2]) == "\\xf0\\x9f"
    assert glyphs.spell_bytes("é".encode()[1:] + b" a") == "\\xa9␣a"


@pytest.mark.parametrize("form", ["table", "json"])
def test_nothing_in_a_text_acts_on_the_terminal(cli: Cli, form: str) -> None:
    ended = cli("score", EVIL, "--context", EVIL, "--top", "2", "--format", form, "--color", "never")
    assert ended.code == 0, ended.err
    assert "\x1b" not in ended.out
    assert not acting(ended.out + ended.err)


def test_markup_in_a_text_is_shown_as_it_stands(cli: Cli) -> None:
    out = cli("rank", "-", "-q", stdin=b"[bold]b[/bold] :smile:\n[red]x\n").out
    assert "[bold]b[/bold] :smile:" in out
    assert "[red]x" in out


def test_nothing_in_a_name_acts_on_the_terminal(cli: Cli, tmp_path: Path) -> None:
    name = EVIL.replace("\x00", "").replace("/", "")
    (tmp_path / name).write_bytes(b"\xff")
    for words in (
        ["score", "--file", tmp_path / name],
        ["score", "--file", name],
        ["score", "a", "-o", f"/nowhere/{name}"],
        ["score", "a", "-o", tmp_path / name / "x"],
        ["score", "a", "--model", name],
        ["score", "a", "--bos", name],
        ["rank", "-", "--by", name],
        ["models", "pull", name],
        [f"--{name}"],
        [name],
    ):
        ended = cli(*words)
        assert ended.code in (1, 2)
        assert ended.err.count("\n") == 1, ended.err
        assert not acting(ended.err), ended.err


def test_what_is_piped_is_plain_and_ends_no_line_in_blanks(cli: Cli) -> None:
    out = cli("score", "The cat sat", "--top", "2", "--entropy").out + cli("rank", "-", stdin=b"a\nbb\n").out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())
    assert not out.endswith("\n\n")


def test_a_terminal_too_narrow_for_the_figures_gets_them_all_the_same(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = re.sub("surprisal|[█-▏]", "", cli("score", "The cat").out.split("total")[0])
    monkeypatch.setenv("COLUMNS", "12")
    narrow = cli("score", "The cat").out.split("total")[0]
    assert narrow.split() == wide.replace("weakest", "").split()


@pytest.mark.parametrize("first", [None, -1.0])
def test_a_ranking_says_that_first_tokens_are_in_no_figure(first: float | None) -> None:
    ranking = rank([scored([first, -2.0]), scored([first, -3.0])], (0, 1), "sum")
    shown = " ".join(" ".join(printed(ranking_view(ranking, Page()), 80)).split())
    assert ("No figure holds a candidate's first token: nothing stands before it" in shown) == (first is None)


@pytest.mark.parametrize("width", [50, *range(58, 78), 140])
@pytest.mark.parametrize("name", ["anaphor_agreement", "abc"])
def test_accuracies_are_cut_at_no_width(width: int, name: str) -> None:
    hits: dict[Measure, Hits] = dict.fromkeys(("sum", "mean", "byte", "pmi"), Hits(2, 0, 3))
    every: dict[Measure, Hits] = dict.fromkeys(hits, Hits(4, 0, 6))
    corpus = Corpus(records=6, ranked=6, hits={"": every} | dict.fromkeys((name, "b"), hits))
    shown = " ".join(printed(summary_view(corpus, MODEL, "sum", width), width))
    assert {figure for figure in shown.split() if figure.startswith("66")} == {"66.7%"}
    heads, *gone = shown.split("group")[1].split("left out, for want of room: ")
    assert ("by pmi" in heads) != bool(gone)
    assert bool(gone) == (width < (76 if len(name) > 8 else 68))


@pytest.mark.parametrize(("ranked", "said"), [(3, True), (2, False)])
def test_records_that_name_no_answer_are_told_of_below_the_accuracies(ranked: int, said: bool) -> None:
    both: dict[Measure, Hits] = {"sum": Hits(2, 0, 2)}
    shown = "\n".join(
        printed(summary_view(Corpus(records=ranked, ranked=ranked, hits={"": both}), MODEL, "sum", 80), 80)
    )
    assert ("1 record without a right answer: in none of these." in shown) == said


@pytest.mark.parametrize(("groups", "said"), [(["x"], "1 record without a group"), (["x", "y"], None)])
def test_records_in_no_group_are_told_of_below_the_groups(groups: list[str], said: str | None) -> None:
    one: dict[Measure, Hits] = {"sum": Hits(1, 0, 1)}
    both: dict[Measure, Hits] = {"sum": Hits(2, 0, 2)}
    corpus = Corpus(records=2, ranked=2, hits={"": both} | dict.fromkeys(groups, one))
    shown = "\n".join(printed(summary_view(corpus, MODEL, "sum", 80), 80))
    assert ("without a group" in shown) == (said is not None)
    assert said is None or f"{said}: in none of these." in shown


def test_texts_are_parted_by_an_empty_line(cli: Cli) -> None:
    first, second = cli("score", "a", "b").out.split("\n\n")
    assert first.startswith("# token")
    assert second.startswith("# token")


@pytest.mark.parametrize(
    ("words", "env", "coloured"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "always"], {"TERM": "dumb"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_follows_what_is_asked_then_the_environment(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str], env: dict[str, str], coloured: bool
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    out = cli("score", "The cat sat", *words).out
    assert bool(re.search(r"\x1b\[(\d;)?3[1-6]m", out)) == coloured
    plain = cli("score", "The cat sat", "--color", "never").out
    assert [line.split() for line in ESCAPE.sub("", out).splitlines() if "─" not in line] == [
        line.split() for line in ESCAPE.sub("", plain).splitlines() if "─" not in line
    ], "colour says nothing that the words do not"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_nothing_is_wider_than_it(
    folder_of: Callable[[str], Path], tmp_path: Path, width: int, no_color: bool
) -> None:
    pexpect = pytest.importorskip("pexpect")
    long = "Pneumonoultramicroscopicsilicovolcanoconiosis 日本語 🙂 " * 3
    (tmp_path / "c.txt").write_text(f" {long}\n short\n short\n")
    env = {**os.environ, **environment(folder_of("llama")), **({"NO_COLOR": "1"} if no_color else {})}
    del env["COLUMNS"]
    for words in (
        ["score", long, "--top", "3", "--entropy", "--context", "It is"],
        ["rank", str(tmp_path / "c.txt"), "--context", "It is", "--by", "pmi"],
        ["diff", long, f"Supercalifragilisticexpialidocious {long}", "--context", "It is ", "--view", "both"],
        ["models"],
    ):
        child = pexpect.spawn(
            sys.executable, ["-m", "lmscore", *words], env=env, dimensions=(50, width), encoding="utf-8", timeout=120
        )
        out = child.read()
        child.close()
        assert child.exitstatus == 0, out
        lines = ESCAPE.sub("", out).replace("\r", "").splitlines()
        tables = [line for line in lines if not line.startswith("warning: ")]
        assert max(map(cell_len, tables)) <= width, out
        assert not acting("\n".join(lines))
        assert bool(re.search(r"\x1b\[(\d;)?3[1-6]m", out)) == (words[0] == "score" and not no_color)
