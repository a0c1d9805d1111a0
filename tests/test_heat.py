"""Pictures of a text in a terminal: heat maps, explanations, and what is saved of them."""

import io
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, Group
from rich.text import Text as Line

from lmscore import terminal
from lmscore.ranking import rank
from lmscore.records import Alternative, Score
from lmscore.views import explain, heat, scale
from lmscore.views.scale import Depth
from lmscore.views.spans import legible, spans
from lmscore.views.table import Page, score_frame
from lmscore.views.units import Unit

from .cli import Cli
from .scores import cut, of_pieces
from .shown import ESCAPE, EVIL, acting, printed
from .test_looks import FAMILY

BIT = math.log(2)
SYSTEMS: dict[Depth, Any] = {
    Depth.none: None,
    Depth.sixteen: "standard",
    Depth.many: "256",
    Depth.full: "truecolor",
}


def seen(score: Score, depth: Depth = Depth.none, width: int = 80) -> str:
    """A heat map, as a terminal of that many colours gets it."""
    page = Page(width, terminal=depth is not Depth.none, depth=depth)
    return drawn(Group(*heat.score_map(score, page)), depth, width)


def drawn(view: Any, depth: Depth, width: int = 80) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=SYSTEMS[depth], legacy_windows=False)
    console.print(view)
    return out.getvalue()


def backgrounds(out: str) -> set[str]:
    """The kinds of backgrounds in an output: by 24 bits, by one of 256 numbers, by one of sixteen."""
    codes = ";".join(re.findall(r"\x1b\[([\d;]*)m", out))
    kinds = re.sub(r"\b([34]8);2(;\d+){3}", r"\1.24", codes)
    kinds = re.sub(r"\b([34]8);5;\d+", r"\1.256", kinds)
    return set(re.findall(r"48\.24|48\.256|\b(?:4[0-7]|10[0-7])\b(?!\.)", kinds))


def explained(score: Score, count: int, page: Page | None = None) -> list[str]:
    return printed(Group(*explain.explanations(score, page or Page(), count)), 80)


def test_a_span_lies_on_the_colour_of_its_surprisal() -> None:
    score = of_pieces(("The", -0.4 * BIT), (" cat", -3.4 * BIT), (" sat", -99 * BIT))
    out = seen(score, Depth.full).splitlines()[0]
    found = re.findall(r"38;2;([\d;]+)m\x1b\[48;2;([\d;]+)m([^\x1b]*)", out.replace("\x1b[1;4;", "\x1b["))
    found = found or re.findall(r"38;2;([\d;]+);48;2;([\d;]+)m([^\x1b]*)", out)
    shades = scale.shades()
    assert [(ink, back, text) for ink, back, text in found] == [
        (";".join(map(str, (s.ink.red, s.ink.green, s.ink.blue))), ";".join(map(str, (s.red, s.green, s.blue))), text)
        for s, text in ((shades[0], "The"), (shades[3], " cat"), (shades[15], " sat"))
    ]


@pytest.mark.parametrize(
    ("depth", "kinds"),
    [
        (Depth.full, {"48.24"}),
        (Depth.many, {"48.256"}),
        (Depth.sixteen, {"47", "43", "45", "41", "44"}),
        (Depth.none, set()),
    ],
)
def test_a_terminal_gets_no_colours_but_its_own(depth: Depth, kinds: set[str]) -> None:
    assert backgrounds(seen(of_pieces(*((f" w{i}", -i * BIT) for i in range(20))), depth)) == kinds


def test_without_colours_figures_tell_the_bits_and_signs_the_weakest() -> None:
    score = of_pieces(("The", None), (" cat", -13.2 * BIT), (" sat", -0.4 * BIT), (".", -123 * BIT))
    lines = seen(score).splitlines()
    assert ESCAPE.sub("", lines[0]) == "The cat¹³ sat⁰«.»¹²³"
    legend = ESCAPE.sub("", "\n".join(lines[1:]))
    assert "its surprisal in whole bits" in legend
    assert "«» is around the weakest token, .: 123.0 bits" in legend
    assert "No figure: tokens that were not scored." in legend


def test_with_colours_the_weakest_is_underlined_and_what_is_not_scored_has_no_background() -> None:
    out = seen(of_pieces(("The", None), (" cat", -13.2 * BIT), (" sat", -0.4 * BIT), context="Hm."), Depth.many)
    assert [ESCAPE.sub("", part) for part in re.findall(r"\x1b\[1;4[^m]*m[^\x1b]*", out)] == [" cat", "underlined"]
    assert out.startswith("\x1b[2mHm.The\x1b[0m") or out.startswith("\x1b[2mHm.\x1b[0m\x1b[2mThe\x1b[0m")
    assert "dim" in out and "the context and tokens that were not scored" in out


def test_line_breaks_stay_and_their_tokens_have_a_sign() -> None:
    lines = seen(of_pieces(("a", -BIT), ("\n\n", -2 * BIT), ("  b", -BIT), (".\r\n", -9 * BIT))).splitlines()
    assert lines[:4] == ["a¹↵", "↵²", "  b¹«.\\r↵»⁹", ""]
    coloured = seen(of_pieces(("a", -BIT), ("\n", -2 * BIT)), Depth.full).splitlines()[0]
    assert re.search(r"48;2;[\d;]+m↵", coloured)


def test_what_is_kept_free_for_an_emoji_is_spelled_out() -> None:
    assert seen(cut("\U0001fc00\U0001f600")).splitlines()[0] == "«\\U0001fc00\U0001f600»¹"


def test_an_emoji_of_many_tokens_is_shown_once_and_taken_apart_below() -> None:
    out = seen(cut(f"a{FAMILY}!", 1, 3, 5, 9, 12, 19))
    assert out.splitlines()[0] == f"«a»¹{FAMILY}⁷!¹"
    assert f"{FAMILY} is 5 tokens: \\xf0\\x9f 1.4 + " in out


def test_few_are_taken_apart_and_the_rest_counted() -> None:
    text = "".join(chr(0x4E00 + i) for i in range(20))
    out = seen(cut(text, *(place for place in range(1, 60))))
    assert len(re.findall("is 3 tokens: ", out)) == heat.FEW
    assert "12 more were read in several tokens" in out
    many = seen(cut("e" + "\u0301" * 500, *range(1, 1001)))
    assert "is 1001 tokens: " in many and "+ 993 more" in many


def test_a_token_across_the_boundary_has_its_sign() -> None:
    score = of_pieces((" cat", -1.0), context="The")
    across = replace(score, tokens=(replace(score.tokens[0], straddles=True, start=-1),))
    assert "The↔ «cat»¹" in seen(across)


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_map_fits_its_page_and_nothing_in_it_acts(depth: Depth, width: int) -> None:
    score = of_pieces((EVIL, -3.0), ("x" * 50_000, -1.0), (" 日本語" * 40, -9.0), ("\n", -1.0), context=EVIL)
    out = ESCAPE.sub("", seen(score, depth, width))
    assert max(map(cell_len, out.splitlines())) <= width
    assert not acting(out)
    assert out.count("x") >= 50_000
    assert "[bold]b[/bold] [link=x] :smile:" in out.replace("\n", "")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.data())
def test_a_map_holds_the_whole_text_and_nothing_acts(text: str, data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(1, max(len(text.encode()) - 1, 1)))) - {len(text.encode())}
    score = cut(text, *sorted(places), logprob=None)
    (shown, *_) = heat.score_map(score, Page())
    assert isinstance(shown, Line)
    lines = [legible(line) for span in spans(score) for line in span.text.split("\n")]
    assert re.sub("[↵\n]", "", shown.plain) == "".join(lines).replace("↵", "")
    assert shown.plain.count("↵") == text.count("\n") + text.count("↵")
    assert not acting(shown.plain) - {"\u200d"}


def test_ten_thousand_tokens_are_all_there() -> None:
    score = of_pieces(*(((" word" if i % 9 else ".\n"), -(i % 40) / 2) for i in range(10_000)))
    page = Page(80, depth=Depth.none)
    shown = drawn(score_frame(score, page, heat.score_map(score, page)), Depth.none)
    assert shown.partition("Behind each token")[0].count("word") == sum(i % 9 > 0 for i in range(10_000))


XTERM = ("000000", "cd0000", "00cd00", "cdcd00", "0000ee", "cd00cd", "00cdcd", "e5e5e5")
VGA = ("000000", "aa0000", "00aa00", "aa5500", "0000aa", "aa00aa", "00aaaa", "aaaaaa")


@pytest.mark.parametrize("palette", [XTERM, VGA])
def test_sixteen_colours_darken_from_band_to_band(palette: tuple[str, ...]) -> None:
    lightness = [scale.Shade.of(palette[band.number]).oklab[0] for band in scale.BANDS]
    assert all(a - b > 0.02 for a, b in pairwise(lightness))
    inks = {0: scale.Shade(0, 0, 0), 15: scale.Shade(255, 255, 255)}
    assert all(scale.Shade.of(palette[band.number]).contrast(inks[band.ink]) > 3.9 for band in scale.BANDS)
    assert [scale.band(step).first for step in (0, 1, 2, 4, 5, 8, 9, 12, 13, 15)] == [0, 0, 2, 2, 5, 5, 9, 9, 13, 13]


def test_256_colours_are_those_of_xterm_and_the_nearest_is_near() -> None:
    assert [scale.of_256(number).code for number in (16, 21, 110, 231, 232, 255)] == [
        *("#000000", "#0000ff", "#87afd7", "#ffffff", "#080808", "#eeeeee")
    ]
    assert all(scale.nearest(scale.of_256(number)) in (number, 16, 231, 59, 102, 145, 188) for number in range(16, 232))
    assert scale.nearest(scale.Shade(77, 78, 79)) == 239, "greys are among them"
    near = [scale.of_256(scale.nearest(shade)) for shade in scale.shades()]
    assert all(math.dist(a.oklab, b.oklab) < 0.11 for a, b in zip(near, scale.shades(), strict=True))
    assert all(a.oklab[0] >= b.oklab[0] for a, b in pairwise(near)), "lightness never rises"


ALTERNATIVES = tuple(Alternative(i, f" w{i}", f" w{i}".encode(), math.log(0.3) - i) for i in range(6))


def test_the_weakest_are_explained_weakest_first() -> None:
    score = of_pieces(("The", -1.0), (" cat", -9.0), (" sat", -4.0), top=ALTERNATIVES, rank=1264, entropy=math.log(40))
    lines = explained(score, 2)
    assert lines[1] == "The 2 weakest tokens, of 3:"
    assert lines[2] == "1. ␣cat (#1): -9.0000 nats, probability 1.2e-04, rank 1,264"
    assert lines[3].split() == ["after", "The"]
    assert lines[4].split() == [
        *("expected", "␣w0", "0.3000", "␣w1", "0.1104", "␣w2", "0.0406", "␣w3", "0.0149", "␣w4", "0.0055")
    ]
    assert lines[5].strip() == "the model  was unsure: as open as 40 equal choices"
    assert lines[6].strip() == "without it the total of the others is -5.0000 nats"
    assert lines[7].startswith("2. ␣sat (#2)")
    assert lines[8].split() == ["after", "The", "cat"]


@pytest.mark.parametrize(
    ("entropy", "place", "words"),
    [
        (0.1, 9, "was sure of something else: as open as 1.1 equal choices"),
        (math.log(8), 9, "wavered between a few: as open as 8.0 equal choices"),
        (math.log(2000), 9, "was unsure: as open as 2,000 equal choices"),
        (0.1, 1, "expected just this: as open as 1.1 equal choices"),
        (math.log(30), 1, "was unsure, and expected this most: as open as 30 equal choices"),
    ],
)
def test_how_sure_the_model_was_in_words(entropy: float, place: int, words: str) -> None:
    lines = explained(of_pieces(("a", -1.0), entropy=entropy, rank=place), 1)
    assert any(line.strip() == f"the model  {words}" for line in lines)


def test_the_token_itself_is_marked_among_those_expected() -> None:
    score = of_pieces(("a", -1.0), top=(Alternative(5, "b", b"b", -0.9), Alternative(120000, "a", b"a", -1.0)), rank=2)
    assert "b 0.4066  a 0.3679 (this one)" in "\n".join(explained(score, 1))


def test_fewer_tokens_than_are_to_be_explained() -> None:
    lines = explained(of_pieces(("a", None), ("b", -1.0)), 5)
    assert lines[1] == "The weakest token, all that were scored:"
    assert lines[-1].strip() == "without it there is no other"
    assert explained(of_pieces(("a", None)), 5) == []


def test_bits_are_explained_in_bits() -> None:
    lines = explained(of_pieces(("a", -BIT), ("b", -2 * BIT)), 1, Page(unit=Unit.bits))
    assert "1. b (#1): -2.0000 bits" in lines[2]
    assert lines[-1].strip() == "without it the total of the others is -1.0000 bits"


def test_what_came_before_is_the_end_of_context_and_text_and_does_not_act() -> None:
    score = of_pieces((EVIL, -1.0), ("b", -9.0), context="é" * 500)
    before = "\n".join(explained(score, 1))
    assert not acting(before)
    assert "after      …éé" in before
    assert "[bold]b[/bold] [link=x]" in before
    first = explained(of_pieces(("a", -9.0)), 1)
    assert first[3].split() == ["after", "<|endoftext|>"], "the start symbol, where nothing else is"
    half = replace(score, text="日", context=None, tokens=cut("日", 2).tokens)
    assert any(line.split() == ["after", "\\xe6\\x97"] for line in explained(half, 2))


def test_explaining_reads_out_what_it_needs_and_the_table_shows_what_was_asked(cli: Cli) -> None:
    plain = cli("score", "The cat sat").out
    told = cli("score", "The cat sat", "--explain", "2").out
    assert told.startswith(plain.split("total")[0])
    assert "rank" in told and "equal choices" in told and "entropy" not in told
    assert len(re.search(r"expected(.*?)the model", told, re.DOTALL)[1].split()) >= 10  # type: ignore[index]
    both = cli("score", "The cat sat", "--explain", "1", "--top", "2", "--entropy").out
    assert both.count("entropy") == 1
    assert (
        both.split("The weakest")[0]
        == cli("score", "The cat sat", "--top", "2", "--entropy").out.split("total")[0] + "\n"
    )
    bare = cli("score", "The cat sat", "--explain", "1", "--no-tokens").out
    assert "equal choices" in bare and "surprisal" not in bare
    assert "equal choices" in cli("score", "The cat sat", "--explain", "1", "--view", "heat").out


@pytest.mark.parametrize("view", ["table", "heat", "both"])
def test_views(cli: Cli, view: str) -> None:
    out = cli("score", "The cat sat", "--view", view).out
    assert ("logprob" in out) == (view != "heat")
    assert ("in whole bits" in out) == (view != "table")
    assert out.count("total ") == 1
    assert out.count("The weakest token is") == 1
    groups = cli("rank", "-", "-q", "--view", view, "-c", "The", "--top", "2", stdin=b" cat\n cats\n dog\n").out
    assert ("margin" in groups) == (view != "heat")
    assert ("in whole bits" in groups) == (view != "table")
    assert groups.count("1 more not shown") == 1
    assert groups.count("after The") == 1


def test_an_end_symbol_and_one_token_have_maps(cli: Cli) -> None:
    assert "<|endoftext|>" in cli("score", "a", "--eos", "--view", "heat").out.splitlines()[0]
    assert cli("score", "a", "--bos", "none", "--view", "heat", "--explain", "3").code == 0


def test_candidates_are_mapped_in_order_and_parted_from_the_first() -> None:
    candidates = [
        of_pieces((" a", -1.0), (" c", -9.0), context="c"),
        of_pieces((" a", -1.0), (" b", -1.0), context="c"),
        of_pieces((" a", -1.0), (" b", -1.0), (" d", -20.0), context="c"),
    ]
    ids = [[1, 3], [1, 2], [1, 2, 4]]
    candidates = [
        replace(s, tokens=tuple(replace(t, id=i) for t, i in zip(s.tokens, own, strict=True)))
        for s, own in zip(candidates, ids, strict=True)
    ]
    lines = printed(Group(*heat.ranking_map(rank(candidates, [0, 1, 2], "sum"), Page())), 80)
    assert [line.rstrip() for line in lines[:3]] == [
        "1  -2.000  «a»¹ b¹",
        "2 -10.000  a¹▸ «c»¹³",
        "3 -22.000  a¹ b¹▸ «d»²⁹",
    ]
    by_mean = rank(candidates, [0, 1, 2], "mean")
    lines = printed(Group(*heat.ranking_map(by_mean, Page())), 80)
    assert [float(line.split()[1]) for line in lines[:3]] == [-1.0, -5.0, -7.333], "what they are ranked by"
    assert any(line.startswith("▸ is where a candidate first differs") for line in lines)
    twice = rank([candidates[0], candidates[0]], [0, 1], "sum")
    assert "▸" not in "".join(printed(Group(*heat.ranking_map(twice, Page())), 80))
    shorter = rank([candidates[2], of_pieces((" a", -50.0))], [0, 1], "sum")
    assert "▸" in printed(Group(*heat.ranking_map(shorter, Page())), 80)[1]


@pytest.mark.parametrize(
    "words",
    [
        ["score", "a", "--json", "--view", "heat"],
        ["score", "a", "--json", "--view", "table"],
        ["score", "a", "--format", "csv", "--explain", "1"],
        ["score", "a", "--format", "tsv", "--svg", "a.svg"],
        ["score", "a", "-o", "a.jsonl", "--view", "both"],
        ["score", "a", "--no-tokens", "--view", "heat"],
        ["score", "a", "--top", "2", "--view", "heat"],
        ["score", "a", "--svg", "-"],
        ["score", "a", "--svg", "a.txt", "-o", "./a.txt"],
        ["rank", "-", "--json", "--view", "heat"],
        ["rank", "-", "--format", "csv", "--svg", "a.svg"],
        ["rank", "-", "--no-tokens", "--view", "both"],
    ],
)
def test_contradictions_are_refused(
    cli: Cli, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(*words, stdin=b"a\nb\n")
    assert ended.code == 2
    assert ended.err.startswith("error: --") and ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


SVG = "{http://www.w3.org/2000/svg}"


def test_a_picture_shows_what_the_terminal_does_in_all_its_colours(cli: Cli, tmp_path: Path) -> None:
    text = f"The <b>cat</b> & {EVIL} 日本語 {FAMILY}"
    words = ["score", text, "--view", "both", "--color", "never"]
    ended = cli(*words, "--svg", tmp_path / "a.svg")
    assert ended.out == cli(*words).out
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    tree = ElementTree.fromstring(svg)
    shown = "".join("".join(found.itertext()) for found in tree.iter(f"{SVG}text")).replace("\xa0", " ")
    assert "surprisal in bits" in shown and "total" in shown and "[link=x]" in shown
    assert {shade.code for shade in scale.shades()} <= {found.get("fill") for found in tree.iter(f"{SVG}rect")}
    assert not acting(svg) - {"\u200d"}
    assert "font-face" not in svg and "cdnjs" not in svg
    for found in tree.iter(f"{SVG}text"):
        if length := found.get("textLength"):
            assert float(length) == pytest.approx(12.2 * cell_len("".join(found.itertext())), rel=1e-3)


def test_a_picture_is_written_whole_or_not_at_all(cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "a.svg"
    place.write_text("before")
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"fine\n" * 5 + b"\xff\n")
    assert cli("score", "-f", bad, "--svg", place).code == 1
    assert place.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "bad.txt"]
    assert "is being read" in cli("score", "-f", bad, "--svg", bad).error
    assert cli("rank", "-", "-q", "--svg", place, stdin=b"a\nb\n").code == 0
    assert "<svg" in place.read_text()


@pytest.mark.parametrize(
    ("words", "env", "kind"),
    [
        (["--color", "always"], {}, "48.256"),
        (["--color", "always"], {"COLORTERM": "truecolor"}, "48.24"),
        (["--color", "always"], {"NO_COLOR": "1", "TERM": "dumb"}, "48.256"),
        ([], {"FORCE_COLOR": "1", "TERM": "linux"}, "47"),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, None),
        (["--color", "never"], {"FORCE_COLOR": "1"}, None),
        ([], {}, None),
    ],
)
def test_a_map_has_the_colours_that_are_there(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str], env: dict[str, str], kind: str | None
) -> None:
    monkeypatch.delenv("COLORTERM", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    out = cli("score", "The cat sat", "--view", "heat", *words).out
    assert kind in backgrounds(out) if kind else not backgrounds(out)
    assert ("«" in out) == (kind is None)


def test_a_recorder_is_not_told_of_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.depth(terminal.recorder(80)) is Depth.full
