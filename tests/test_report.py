"""Pages to hand on: they say what JSON says, need nothing besides, and nothing in a text can act in them."""

import base64
import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmscore.comparison import by_bytes, by_words
from lmscore.corpus import Corpus, Hits, Unlikely
from lmscore.ranking import rank
from lmscore.records import Alternative, Measure, Score, Token, Word, Words
from lmscore.views import remarks, report, scale
from lmscore.views.chart import FEWEST, MOST_BARS, chart
from lmscore.views.spans import running, spans
from lmscore.views.units import Unit

from . import models, test_diff
from .cli import Cli
from .scores import MODEL, cut, of_pieces
from .shown import ACTING, EVIL
from .test_looks import FAMILY

HOSTILE = [
    EVIL,
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)><!-- <!DOCTYPE html>",
    "\"'><svg/onload=alert(1)>&quot;&#39;&amp;&lt;",
    "{{ 7 * 7 }}{% raw %}{# #}${7*7}",
    "\u202eevil\u2066\u200b\u2028\u2029\ufeff]]>",
    f"{FAMILY} e\u0301 \u05d0\u05d1\u05d2 \u0645\u0631\u062d\u0628\u0627",
    "\U0001fc00, kept free for an emoji",
]


# A page as a tree


@dataclass
class Element:
    """An element of a page, with what stands in it."""

    tag: str
    attributes: dict[str, str]
    within: "list[Element | str]" = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(part if isinstance(part, str) else part.text for part in self.within)

    @property
    def all(self) -> "Iterator[Element]":
        """Itself, and all elements in it, in the order of the page."""
        yield self
        for part in self.within:
            if isinstance(part, Element):
                yield from part.all

    def find(self, tag: str = "", of: str = "", **attributes: str) -> "list[Element]":
        """The elements in it of this name, this class, and these attributes."""
        return [
            one
            for one in self.all
            if one is not self
            and (not tag or one.tag == tag)
            and (not of or of in one.attributes.get("class", "").split())
            and attributes.items() <= one.attributes.items()
        ]


class Parser(HTMLParser):
    """Builds the tree; strict about what is opened and closed, as a browser is not."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].within.append(element)
        if tag not in {"meta", "input"}:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        self.open[-1].within.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def parsed(html: str) -> Element:
    """A page as a tree."""
    parser = Parser()
    parser.feed(html)
    parser.close()
    assert len(parser.open) == 1
    return parser.open[0]


TAGS = """
    html head meta title style body header main section footer h1 h2 h3 p code q ul ol li dl dt dd div span b bdi aside
    details summary figure figcaption svg rect path table caption thead tbody tr th td label input script noscript
"""
ATTRIBUTES = """
    lang charset http-equiv content name class dir translate type hidden role tabindex scope open viewbox height width
    x y d preserveaspectratio vector-effect aria-label aria-hidden data-at data-v
"""


def page(html: str) -> Element:
    """A page as a tree, if it is one that holds what every page promises."""
    assert not {char for char in html if unicodedata.category(char) in ACTING} - {"\n", "\u200d"}
    root = parsed(html)
    elements = list(root.all)[1:]
    assert {one.tag for one in elements} <= {*TAGS.split()}
    assert {name for one in elements for name in one.attributes} <= {*ATTRIBUTES.split()}
    # Nothing is fetched, and nothing but our own style and script has a right to be.
    (style,) = root.find("style")
    assert not re.search(r"url\(|@import|https?:", style.text)
    data = root.find("script", type="application/json")
    *others, script = root.find("script")
    assert others == data and "http" not in script.text
    (policy,) = root.find("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.split(" ", 1) for rule in policy.attributes["content"].split("; "))
    assert rules == {
        "default-src": "'none'",
        "style-src": hashed(style.text),
        "script-src": hashed(script.text),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    for reading in root.find(of="reading"):
        stretches = [one for heat in reading.find(of="heat") for one in heat.find("span")]
        tells_of_what_is_pointed_at(stretches, told(reading))
        if reading.find(of="plot"):
            draws_what_is_told(reading.find(of="plot")[0], told(reading))
    for table in root.find("table"):
        sorts_by_what_is_seen(table)
    return root


def tells_of_what_is_pointed_at(stretches: list[Element], items: list[Any]) -> None:
    """Each stretch of a map has its own tokens; of a comparison, the second's."""
    assert len(items) == len(stretches)
    for stretch, (_, tokens) in zip(stretches, items, strict=True):
        if re.fullmatch(r"[\w ]+", stretch.text, re.ASCII):
            spelled = "".join(name for side, name, _, _ in tokens if side != "first: ")
            assert spelled.replace("␣", " ").lstrip() == stretch.text.lstrip()  # a tokenizer may put a blank there


def draws_what_is_told(plot: Element, items: list[Any]) -> None:
    """Bars are as high as the figures of what they stand for, in bits."""
    top, bottom = (float(edge.text) for edge in plot.find("span"))
    for bar in plot.find("rect"):
        said, tokens = items[int(bar.attributes["data-at"])]
        height = float(bar.attributes["height"]) / 100 * (top - bottom)
        if said.startswith("difference"):
            drawn, figures = (
                math.copysign(height, 1 if bar.attributes["class"] == "more" else -1),
                [said.split(" ", 1)[1]],
            )
        else:
            drawn, figures = -height, [figures[1] for _, _, figures, _ in tokens]
        told = sum(
            float(figure) * (1 if unit == "bits" else 1 / math.log(2)) for figure, unit in map(str.split, figures)
        )
        assert drawn == pytest.approx(told, abs=(top - bottom) * 1e-4 + 2e-4 * len(figures))


def sorts_by_what_is_seen(table: Element) -> None:
    """Every figure has a value, and the values are in the order of the figures."""
    lines = [row.find("td") for row in table.find("tbody")[0].find("tr")]
    assert {len(line) for line in lines} <= {len(table.find("th"))}
    for column in zip(*lines, strict=True):
        if column[0].attributes.get("class") == "n":
            known = [(float(cell.attributes["data-v"]), figure) for cell in column for figure in seen(cell)]
            assert all(a <= b for a, b in pairwise(figure for _, figure in sorted(known)))


def seen(cell: Element) -> Iterator[float]:
    """The figure in a cell, if there is one."""
    if found := re.match(r"[-+]?[\d,]+(\.\d+)?(e-?\d+)?", cell.text.strip()):
        yield float(found[0].replace(",", ""))


def hashed(held: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(held.encode()).digest()).decode()}'"


def told(root: Element) -> list[Any]:
    """What is told of each stretch, in the order of the page."""
    return [item for one in root.find("script", type="application/json") for item in json.loads(one.text)["items"]]


def rows(table: Element) -> list[list[str]]:
    """A table's cells, as they are read."""
    return [[cell.text.strip() for cell in row.find("td")] for row in table.find("tbody")[0].find("tr")]


def of_scores(*scores: Score, unit: Unit = Unit.nats, command: str = "lmscore score x") -> Element:
    stream = StringIO()
    assert list(report.of_scores(scores, stream, unit, command)) == list(scores)
    return page(stream.getvalue())


def of_ranking(*scores: Score, top: int | None = None) -> Element:
    stream = StringIO()
    rankings = [rank(list(scores), list(range(len(scores))), "sum")]
    assert list(report.of_rankings(rankings, stream, Unit.nats, top, "lmscore rank x")) == rankings
    return page(stream.getvalue())


# Nothing in a text acts


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_text_acts(text: str) -> None:
    score = of_pieces((text, -3.0), ("x", -1.0), context=text)
    root = of_scores(score, command=f"lmscore score {text}")
    assert root.find("h2")[0].text and root.find("title")[0].text.endswith("· lmscore")
    assert "".join(root.find(of="heat")[0].text.split("\n")) == "".join(running(text, ()).split("\n")) + "x"
    of_ranking(score, of_pieces(("x", -1.0), (text, -1.0)))
    page(report.of_comparison(by_words(score, of_pieces((f"{text} x", -2.0))), Unit.bits, text))
    page(report.of_comparison(by_bytes(score, score), Unit.bits, text))


@pytest.mark.slow
@given(st.text(), st.text(), st.data())
def test_nor_in_any_text(text: str, context: str, data: st.DataObject) -> None:
    size = len(text.encode("utf-8", "replace"))
    places = sorted(data.draw(st.sets(st.integers(1, max(size - 1, 1)))) - {size})
    score = cut(text, *places) if text else cut("x")
    root = of_scores(score, command=context)
    assert root.find(of="heat")[0].text == "".join(running(span.text, span.tokens) for span in spans(score))


def test_a_blank_that_a_tokenizer_adds_stands_nowhere() -> None:
    added = Token(0, 1, " ", b"", 0, 0, -1.0, spelling=" ")
    others = (replace(token, index=token.index + 1) for token in cut("1 a", 1).tokens)
    score = Score("1 a", None, (added, *others), 1, None, MODEL)
    assert [one.text for one in of_scores(score).find(of="heat")[0].find("span")] == ["1", " a"]


@pytest.mark.slow
@given(test_diff.scores(), test_diff.scores())
def test_any_comparison_and_ranking_is_a_page(first: Score, second: Score) -> None:
    page(report.of_comparison(by_words(first, second), Unit.nats, ""))
    of_ranking(*(score for score in (of_pieces(("x", -1.0)), first, second) if score.total_logprob is not None))


def test_names_of_files_and_models_are_spelled_out(cli: Cli, tmp_path: Path, folder_of: Callable[[str], Path]) -> None:
    name = EVIL.replace("\x00", "").replace("/", "")
    (tmp_path / name).symlink_to(folder_of("llama"))
    assert cli("score", "x", "-m", tmp_path / name, "--html", tmp_path / "a.html").code == 0
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert r"\x1b[31mred" in root.find("footer")[0].text


# It says what JSON says


def test_every_token_tells_what_json_tells(cli: Cli, tmp_path: Path) -> None:
    words = ["score", "The keys to the cabinet are here.", "--context", "So:", "--json", "--html", tmp_path / "a.html"]
    ended = cli(*words, "--rank", "--entropy", "--top", "5")
    record = json.loads(ended.out)
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    found = [token for _, tokens in told(root) for token in tokens]
    assert len(found) == len(record["tokens"])
    for (_, _, (id, logprob, probability, place, entropy), expected), token in zip(
        found, record["tokens"], strict=True
    ):
        assert (int(id), int(place)) == (token["id"], token["rank"])
        assert logprob == f"{token['logprob']:.4f} nats" and entropy == f"{token['entropy']:.4f} nats"
        assert float(probability) == pytest.approx(math.exp(token["logprob"]), rel=0.06, abs=1e-4)
        assert [int(other) for _, other, _ in expected] == [other["id"] for other in token["top"]]
    *_, tokens = root.find("table")
    assert [row[3] for row in rows(tokens)] == [f"{token['logprob']:.4f}" for token in record["tokens"]]
    figures = " ".join(one.text for one in root.find("ul")[0].find("li"))
    assert f"total {record['total_logprob']:.4f} nats" in figures and f"{record['num_tokens']} tokens" in figures
    assert root.find("q")[0].text == "So:"
    assert not cli(*words).out.count('"rank"')


@pytest.mark.parametrize(
    "words",
    [
        ["score", "The cat sat", "on the mat.", "--rank"],
        ["score", "The cat sat", "--view", "both", "--explain", "1", "--words"],
        ["score", "The cat sat", "--json"],
        ["score", "The cat sat", "--format", "csv", "--top", "2"],
        ["rank", "-"],
        ["rank", "-", "--json"],
        ["rank", "-", "--view", "heat", "--top", "1"],
        ["diff", "The keys are", "The keys is"],
        ["diff", "The keys are", "The keys is", "--json"],
    ],
)
def test_a_page_changes_nothing_that_is_shown(cli: Cli, tmp_path: Path, words: list[str]) -> None:
    plain = cli(*words, stdin=b"a cat\na dog\n")
    paged = cli(*words, "--html", tmp_path / "a.html", stdin=b"a cat\na dog\n")
    assert (paged.code, paged.out, paged.err) == (plain.code, plain.out, plain.err)
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert f"--html {tmp_path / 'a.html'}" in root.find("header")[0].text
    footer = root.find("footer")[0].text
    assert "float32" in footer and "<s> (id 0), by tokenizer bos" in footer and "lmscore 0." in footer


def test_each_text_has_its_section(cli: Cli, tmp_path: Path) -> None:
    assert cli("score", "one", "two", "two", "--html", tmp_path / "a.html").code == 0
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert [one.find("h2")[0].text for one in root.find("section")] == ["one", "two", "two"]


def test_a_stretch_of_several_tokens_tells_of_each() -> None:
    root = of_scores(cut(f"a{FAMILY}!", 1, 3, 5, 9, 12, 19))
    assert [one.text for one in root.find(of="heat")[0].find("span")] == ["a", FAMILY, "!"]
    assert [(said, len(tokens)) for said, tokens in told(root)] == [
        ("the weakest, 14.3% of the total", 1),
        ("5 tokens, together -5.0000 nats", 5),
        ("", 1),
    ]


@pytest.mark.parametrize(
    ("text", "runs"),
    [("a אב", "ltr"), ("אב a", "rtl"), ("12: مرحبا", "rtl"), ("\u202eאב", "rtl"), ("12!", "ltr"), ("日本", "ltr")],
)
def test_a_text_runs_as_its_first_letter_does(text: str, runs: str) -> None:
    score = of_pieces((text, -1.0))
    comparison = page(report.of_comparison(by_words(of_pieces(("x", -1.0)), score), Unit.nats, ""))
    for root in (of_scores(score), of_ranking(score), comparison):
        assert root.find(of="heat")[0].attributes["dir"] == runs


def test_a_name_that_runs_from_right_to_left_stands_apart() -> None:
    root = of_scores(of_pieces((" שָׁלוֹם אב", -2.0), ("x", -1.0)))
    note = next(one for one in root.find(of="note") if "weakest" in one.text)
    assert [one.text for one in note.find("bdi")] == ["שָׁלוֹם", "אב"]
    assert note.text.startswith("The weakest token is ␣שָׁלוֹם␣אב (#0): -2.0000 nats")


def test_what_is_unscored_is_said_and_is_no_nought() -> None:
    root = of_scores(of_pieces(("The", None), (" cat", -2.0)))
    assert [one.attributes["class"] for one in root.find(of="heat")[0].find("span")] == ["u", "s3 weakest"]
    assert told(root)[0][1][0][2] == ["120000", "unscored", "", "", ""]
    assert [row[3] for row in rows(root.find("table")[0])] == ["unscored", "-2.0000"]
    assert [bar.attributes["x"] for bar in root.find(of="plot")[0].find("rect")] == ["1"]
    assert "1 unscored" in root.find(of="figures")[0].text


def test_a_text_without_figures_says_why(cli: Cli, tmp_path: Path) -> None:
    assert cli("score", "!", "--bos", "none", "--html", tmp_path / "a.html").code == 0
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "no token was scored: nothing stands before the first" in root.find("main")[0].text
    assert not root.find("figure") and "start symbolnone, by --bos" in root.find("footer")[0].text.replace("\n", "")


def test_words_and_units(cli: Cli, tmp_path: Path) -> None:
    words = ["score", "The cats sat.", "--words", "--unit", "bits", "--html", tmp_path / "a.html"]
    assert cli(*words).code == 0
    record = json.loads(cli("score", "The cats sat.", "--words", "--json").out)
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    table = root.find("table")[0]
    assert [one.text for one in table.find("th")] == ["#", "word", "tokens", "log2 prob", "prob", "correction"]
    assert [row[3] for row in rows(table)] == [f"{word['logprob'] / math.log(2):.4f}" for word in record["words"]]
    assert "Words corrected" in root.find("main")[0].text
    assert told(root)[0][1][0][2][1].endswith(" bits")


def test_tables_of_long_texts_stop_and_say_so() -> None:
    score = of_pieces(*[(" x", -1.0)] * (report.MOST_ROWS + 1))
    root = of_scores(score)
    assert len(rows(root.find("table")[0])) == report.MOST_ROWS
    assert "The first 1,000 of 1,001; --json and --format csv list them all." in root.find("details")[0].text
    assert len(root.find(of="heat")[0].find("span")) == len(told(root)) == report.MOST_ROWS + 1


def test_the_line_is_the_mean_and_the_label_names_the_highest() -> None:
    root = of_scores(of_pieces(("a", -1.0), (" b", -9.0), (FAMILY, -2.0)))
    (line,) = root.find(of="mean")
    top, _ = (float(edge.text) for edge in root.find(of="plot")[0].find("span"))
    down = float(re.findall(r"[\d.]+", line.attributes["d"])[1])
    assert (1 - down / 100) * top == pytest.approx(4 / math.log(2), abs=top * 1e-4)
    assert "the mean per token, 5.8" in root.find("figcaption")[0].text
    assert root.find("svg", role="img")[0].attributes["aria-label"].endswith("the highest at ␣b")


def test_a_certain_text_has_no_minus_nought() -> None:
    assert "-0.0" not in of_scores(of_pieces(("a", 0.0))).find("main")[0].text


def test_a_page_is_written_as_records_come() -> None:
    read = list[int]()

    def source() -> Iterator[Score]:
        for number in range(3):
            read.append(number)
            yield of_pieces(("a", -1.0))

    stream = StringIO()
    passing = report.of_scores(source(), stream, Unit.nats, "")
    next(passing)
    assert read == [0] and stream.getvalue().count("<section") == 1
    ranking = rank([of_pieces(("a", -1.0))], [0], "sum")
    ranked = report.of_rankings(iter([ranking, ranking]), stream, Unit.nats, None, "")
    next(ranked)
    assert stream.getvalue().count("<section") == 2


def test_blanks_of_a_context_are_seen() -> None:
    assert of_scores(of_pieces((" a", -1.0), context="The   cat  ")).find("q")[0].text == "The   cat␣␣"


def test_a_token_across_the_context_is_marked() -> None:
    score = of_pieces(("a", -1.0), context="b", straddles=True)
    assert "↔ stands before a token that also holds the end" in of_ranking(score).find(of="legend")[0].text
    for root in (of_scores(score), of_ranking(score)):
        assert root.find(of="heat")[0].text == "↔a" and "also holds the end of the context" in root.find("main")[0].text
        assert told(root)[0][0].endswith("also holds the end of the context")
    assert rows(of_scores(score).find("table")[0])[0][1] == "a ↔ ← weakest"


def test_what_was_expected_is_listed_with_its_probability() -> None:
    others = (Alternative(7, " b", b" b", math.log(0.5)), Alternative(8, "\n", b"\n", math.log(0.25)))
    root = of_scores(of_pieces(("a", -2.0), top=others))
    assert rows(root.find("table")[0])[0][-1] == "␣b 0.5000  \\n 0.2500"
    assert told(root)[0][1][0][3] == [["␣b", "7", "0.5000"], ["\\n", "8", "0.2500"]]


def test_words_have_their_own_figures() -> None:
    words = (
        Word(0, "a", 0, 1, 0, 1, -2.0, -0.5),
        Word(1, " b", 1, 3, 1, 1, None),
        Word(2, " c", 3, 5, 2, 1, -3.0, 0.25),
    )
    score = replace(of_pieces(("a", -1.5), (" b", None), (" c", -3.25)), words=Words(words, True, "beginning"))
    assert rows(of_scores(score).find("table")[0]) == [
        ["0", "a", "1", "-2.0000", "0.1353", "-0.5000"],
        ["1", "␣b", "1", "unscored", "", ""],
        ["2", "␣c", "1", "-3.0000", "0.0498", "+0.2500"],
    ]
    root = of_scores(score)
    assert [row.find("td")[0].text for row in root.find(of="marked")] == ["2"]
    assert "The weakest word, in bold: #2." in root.find("details")[0].text
    many = [replace(word, index=i) for i, word in enumerate((words * 500)[: report.MOST_ROWS + 1])]
    late = replace(score, words=Words((*many[:-1], replace(many[-1], logprob=-99.0)), True, "beginning"))
    assert f"The weakest word: #{report.MOST_ROWS}." in of_scores(late).find("details")[0].text
    plain = replace(score, words=Words(words, False, "beginning"))
    assert [one.text for one in of_scores(plain).find("table")[0].find("th")][-1] == "prob"


# Candidates


def numbered(*pieces: tuple[int, str, float]) -> Score:
    """A score by hand whose tokens have these ids."""
    score = of_pieces(*((text, logprob) for _, text, logprob in pieces))
    return replace(score, tokens=tuple(replace(t, id=p[0]) for t, p in zip(score.tokens, pieces, strict=True)))


def test_candidates_in_order_of_place_with_where_they_differ() -> None:
    root = of_ranking(
        numbered((1, "a", -1.0), (2, " b", -9.0)), numbered((1, "a", -1.0), (3, " c", -2.0)), numbered((4, "d", -30.0))
    )
    table = root.find("table")[0]
    assert [one.text for one in table.find("th")][:3] == ["place", "candidate", "total"]
    assert [row[:3] for row in rows(table)] == [["1", "a c", "-3.000"], ["2", "a b", "-10.000"], ["3", "d", "-30.000"]]
    winner, *others = table.find("tbody")[0].find("tr")
    assert winner.attributes == {"class": "marked"} and not any(row.attributes for row in others)
    maps = [one.text.split() for one in root.find("ol")[0].find("li")]
    assert maps == [["1", "-3.000", "a", "c"], ["2", "-10.000", "a▸", "b"], ["3", "-30.000", "▸d"]]
    totals = [row.find("td")[2] for row in [winner, *others]]
    assert [float(cell.attributes["data-v"]) for cell in totals] == [-3.0, -10.0, -30.0]
    assert [float(cell.find("rect")[0].attributes["width"]) for cell in totals] == [10.0, 33.3, 100.0]
    assert len(told(root)) == 5


def test_a_tie_is_no_win() -> None:
    root = of_ranking(of_pieces(("a", -1.0)), of_pieces(("b", -1.0)), of_pieces(("c", -8.0)))
    assert [row[0] for row in rows(root.find("table")[0])] == ["1=", "1=", "3"]
    assert not root.find(of="marked") and "No winner by total: the first 2 are closer" in root.find("main")[0].text


def test_a_ranking_by_pmi_shows_it(cli: Cli, tmp_path: Path) -> None:
    words = ["rank", "-", "--context", "The", "--by", "pmi", "-q"]
    record = json.loads(cli(*words, "--json", "--html", tmp_path / "a.html", stdin=b" cat\n dog\n").out)
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    (table,) = root.find("table")
    assert [one.text for one in table.find("th")][3] == "pmi"
    assert [row[3] for row in rows(table)] == [f"{one['pmi']:.3f}" for one in record["candidates"]]
    shares = [float(row.find("td")[5].find("rect")[0].attributes["width"]) for row in table.find("tbody")[0].find("tr")]
    assert shares == pytest.approx([100 * one["share"] for one in record["candidates"]], abs=0.06)


def test_only_the_first_places_and_how_many_more() -> None:
    root = of_ranking(*(of_pieces((char, -n)) for n, char in enumerate("abcde", 1)), top=2)
    assert len(rows(root.find("table")[0])) == len(root.find("ol")[0].find("li")) == 2
    assert "3 more not shown (--top)" in root.find("main")[0].text


def test_many_groups(cli: Cli, tmp_path: Path) -> None:
    groups = [{"context": context, "candidates": [" a", " b"]} for context in ("One", "Two")]
    lines = "".join(f"{json.dumps(group)}\n" for group in groups).encode()
    assert cli("rank", "-", "--input-format", "jsonl", "--html", tmp_path / "a.html", stdin=lines).code == 0
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert [one.text for one in root.find("q")] == ["One", "Two"]


# Comparisons


def test_a_map_that_nothing_colours_has_no_scale() -> None:
    same = report.of_comparison(by_words(test_diff.HEAT.first, test_diff.HEAT.first), Unit.bits, "")
    other = report.of_comparison(test_diff.HEAT, Unit.bits, "")
    for held, scaled in ((same, False), (other, True)):
        (legend,) = page(held).find(of="legend")
        assert ("nowhere half a bit apart" in legend.text, "likely than in" in legend.text) == (not scaled, scaled)
        assert bool(legend.find(of="steps")) == scaled


def test_two_texts_side_by_side() -> None:
    root = page(report.of_comparison(test_diff.HEAT, Unit.bits, "lmscore diff"))
    heat = root.find(of="heat")[0]
    assert heat.text == "So ∅ keys is here</s>"
    assert [one.attributes["class"] for one in heat.find("span")] == [
        "same",
        "p3",
        "m1",
        "m7 other",
        "p3",
        "m3 other",
    ]
    table = rows(root.find("table")[0])
    assert [row[1::2][:2] for row in table][:4] == [
        ["So", "So"],
        ["␣old", ""],
        ["␣keys", "␣keys"],
        ["␣are", "␣is"],
    ]
    assert [row[5].split(" ")[0] for row in table][3] == f"{-5 / math.log(2):+.4f}"
    assert [row[5].endswith("← decides") for row in table].count(True) == 1
    bars = [(bar.attributes["class"], bar.attributes["data-at"]) for bar in root.find(of="plot")[0].find("rect")]
    assert bars == [("more", "0"), ("more", "1"), ("less", "2"), ("less", "3"), ("more", "4"), ("less", "5")]
    assert "∅ words that only the first has" in root.find(of="legend")[0].text
    assert told(root)[3] == [
        "difference -7.2135 bits",
        [
            ["first: ", "␣are", ["3", "-1.4427 bits", "0.3679", "", ""], []],
            ["second: ", "␣is", ["2", "-8.6562 bits", "0.0025", "", ""], []],
        ],
    ]


def test_one_text_under_two_models(cli: Cli, tmp_path: Path, folder_of: Callable[[str], Path]) -> None:
    both = ["-m", folder_of("llama"), "-m", folder_of("gemma3")]
    text = "The cat sat on the mat."
    record = json.loads(cli("diff", text, *both, "--json", "--html", tmp_path / "a.html").out)
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert [one.text for one in root.find("footer")[0].find("h3")] == ["The first model", "The second model"]
    footer = root.find("footer")[0].text
    assert "<s> (id 0)" in footer and "<bos> (id 1)" in footer
    assert f"difference {record['difference']:+.4f} nats" in root.find("main")[0].text
    assert len(rows(root.find("table")[0])) == record["num_places"]
    expected = [len(tokens) for tokens in ([token for token in item[1] if token[3]] for item in told(root))]
    assert sum(expected) == sum(side["num_tokens"] for side in record["sides"]), "each with what was expected"


def test_what_is_the_same_on_both_sides_is_told_once() -> None:
    root = page(
        report.of_comparison(
            by_words(of_pieces(("a", -1.0), (" b", -2.0)), of_pieces(("a", -1.0), (" b", -3.0))), Unit.nats, ""
        )
    )
    assert [[side for side, *_ in tokens] for _, tokens in told(root)] == [["both: "], ["first: ", "second: "]]


# A dataset


def test_a_datasets_page_says_what_its_summary_says(cli: Cli, tmp_path: Path) -> None:
    records = [{"good": good, "bad": "The zzq", "UID": EVIL} for good in ("The cat", "The dog", "The zzq")]
    source, place, told = tmp_path / "in.jsonl", tmp_path / "a.html", tmp_path / "s.json"
    source.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    columns = ["--good-column", "good", "--bad-column", "bad", "--group-column", "UID"]
    plain = cli("batch", source, "-o", tmp_path / "o.jsonl", *columns, "-q")
    ended = cli("batch", source, "-o", tmp_path / "o.jsonl", *columns, "-q", "--summary", told, "--html", place)
    assert (ended.code, ended.out) == (0, plain.out)
    summary, root = json.loads(told.read_text()), page(place.read_text(encoding="utf-8"))
    assert f"{summary['records']} records: {summary['num_tokens']} tokens" in root.find("main")[0].text
    accuracy, groups = map(rows, root.find("table"))
    first = summary["accuracy"]["sum"]
    assert accuracy[0][:5] == [
        "total",
        *(str(first[name]) for name in ("right", "tied", "of")),
        f"{first['accuracy']:.1%}",
    ]
    assert len(groups) == 1 and r"\x1b[31mred" in groups[0][0]
    assert root.find("h2")[0].text.endswith("in.jsonl")
    assert not root.find(of="reading"), "no text of the dataset's own stands in its summary"


def test_a_datasets_figures_stand_where_they_belong() -> None:
    hits: dict[Measure, Hits] = {"sum": Hits(6, 1, 10), "mean": Hits(3, 2, 10)}
    worst = (Unlikely(-8.0, "line 1", -16.0), Unlikely(-2.0, "line 2", -20.0))
    corpus = replace(Corpus(), hits={"": hits, "g": {"sum": Hits(1, 0, 2), "mean": Hits(2, 0, 2)}}, unlikely=worst)
    root = page(report.of_corpus(corpus, "d", MODEL, "mean", "lmscore batch"))
    accuracy, groups, unlikely = map(rows, root.find("table"))
    assert accuracy == [
        ["mean per token", "3", "2", "10", "30.0%", "10.8% to 60.3%"],
        ["total", "6", "1", "10", "60.0%", "31.3% to 83.2%"],
    ]
    assert groups == [["g", "2", "0", "100.0%", "34.2% to 100.0%", "50.0%"]]
    assert unlikely == [["line 1", "-8.0000", "-16.0000"], ["line 2", "-2.0000", "-20.0000"]]
    bars = [bar.attributes["width"] for table in root.find("table") for bar in table.find("rect")]
    assert bars == ["30.0", "60.0", "100.0", "50.0", "100.0", "25.0"]


def test_a_datasets_page_names_the_least_likely(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("The cat\nzzq\nThe dog\n")
    words = ["batch", tmp_path / "in.txt", "-o", tmp_path / "o.jsonl", "-q"]
    assert cli(*words, "--summary", tmp_path / "s.json", "--html", tmp_path / "a.html").code == 0
    summary, root = json.loads((tmp_path / "s.json").read_text()), page((tmp_path / "a.html").read_text())
    (unlikely,) = map(rows, root.find("table"))
    assert [row[1] for row in unlikely] == [f"{one['mean_logprob']:.4f}" for one in summary["least_likely"]]
    assert f"perplexity {remarks.perplexity(summary['perplexity'])}" in root.find("main")[0].text


@pytest.mark.parametrize(
    ("place", "code", "said"),
    [
        ("{in}", 1, "is being read, and would be lost; choose another place"),
        ("{out}", 2, "--html {out} is where the records go; choose another place"),
        ("{out}.part", 2, "is where the records go"),
        ("{s}", 2, "--summary and --html name the same file; choose another for one of them"),
        ("no/where.html", 1, "/no; make it first"),
        ("{folder}", 1, "it is a folder; name a file"),
    ],
)
def test_a_datasets_page_takes_nothings_place(cli: Cli, tmp_path: Path, place: str, code: int, said: str) -> None:
    names = {
        "{folder}": tmp_path,
        "{in}": tmp_path / "in.txt",
        "{out}": tmp_path / "o.jsonl",
        "{s}": tmp_path / "s.json",
    }
    names["{in}"].write_text("a\n")
    for name, path in names.items():
        place, said = place.replace(name, str(path)), said.replace(name, str(path))
    words = ["batch", names["{in}"], "-o", names["{out}"], "--summary", names["{s}"], "--html", place, "-q"]
    ended = cli(*words)
    assert said in (ended.error if code == 1 else ended.misuse)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


# Where it is written


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "a", "--html", "-"], "--html names a file: standard output has the table"),
        (["diff", "a", "b", "--html", "-"], "--html names a file"),
        (["batch", "in.txt", "-o", "o.jsonl", "--html", "-"], "--html names a file: standard output has the summary"),
        (["score", "a", "-o", "out", "--html", "./out"], "--html and -o name the same file; choose another for one"),
        (["score", "a", "--svg", "out", "--html", "out"], "--html and --svg name the same file"),
        (["score", "a", "--svg", "a.png"], "a.png: what is written there is SVG; end its name in .svg"),
        (["rank", "in.txt", "--html", "a.pdf"], "a.pdf: what is written there is HTML; end its name in .html"),
        (["batch", "in.txt", "-o", "o.jsonl", "--html", "a.svg"], "a.svg: what is written there is HTML"),
    ],
)
def test_contradictions_are_refused(
    cli: Cli, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(*words)
    assert (ended.code, ended.err.count("\n")) == (2, 1) and said in ended.err
    assert not list(tmp_path.iterdir())


def test_what_goes_nowhere_may_go_there_twice(cli: Cli, tmp_path: Path) -> None:
    assert cli("score", "a", "-o", os.devnull, "--html", os.devnull, "-q").code == 0
    (tmp_path / "in.txt").write_text("a\n")
    words = ("batch", tmp_path / "in.txt", "-o", tmp_path / "o.jsonl", "--summary", os.devnull, "--html", os.devnull)
    assert cli(*words, "-q").code == 0


def test_a_page_is_written_whole_or_not_at_all(cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "a.html"
    place.write_text("before")
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"fine\n" * 5 + b"\xff\n")
    assert cli("score", "-f", bad, "--html", place).code == 1
    assert place.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "bad.txt"]
    assert "is being read" in cli("score", "-f", bad, "--html", bad).error
    assert "there is no folder" in cli("rank", "-", "--html", tmp_path / "no" / "a.html", stdin=b"a\nb\n").error
    assert cli("rank", "-", "-q", "--html", place, stdin=b"a\nb\n").code == 0
    page(place.read_text(encoding="utf-8"))


# The chart


@example([5e-324, -1e-300], 1)
@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=31), st.integers(1, 30))
def test_a_chart_shows_the_furthest_of_each_group_to_scale(some: list[float | None], times: int) -> None:
    values = some * times
    drawn = chart(values)
    assert drawn.width == max(math.ceil(len(values) / drawn.each), FEWEST)
    assert len(drawn.bars) <= MOST_BARS
    assert drawn.top >= 0 >= drawn.bottom and drawn.top > drawn.bottom
    for bar in drawn.bars:
        group = values[bar.x * drawn.each : (bar.x + 1) * drawn.each]
        assert abs(bar.value) == max(abs(value) for value in group if value is not None)
        assert values[bar.at] == bar.value and bar.at // drawn.each == bar.x
        assert bar.y >= -1e-6 and bar.y + bar.height <= 100 + 1e-6
        assert bar.height == pytest.approx(100 * abs(bar.value) / (drawn.top - drawn.bottom))
    shown = {bar.x for bar in drawn.bars}
    assert shown == {at // drawn.each for at, value in enumerate(values) if value is not None}


# Its colours


def palettes() -> list[dict[str, str]]:
    """The page's colours, light and dark."""
    style = page_style()
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in style.split("@media", 1)]


def page_style() -> str:
    return of_scores(of_pieces(("x", -1.0))).find("style")[0].text.split("* { box-sizing")[0]


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_is_aa(dark: bool) -> None:
    colors = {name: scale.Shade.of(code) for name, code in palettes()[dark].items()}
    for ground in ("page", "card"):
        for text in ("ink", "dim"):
            assert colors[text].contrast(colors[ground]) >= 4.5
        for bar in ("more", "less", "gain"):
            assert colors[bar].contrast(colors[ground]) >= 3
    steps = [name for name in colors if f"{name}-ink" in colors]
    assert len(steps) == scale.STEPS + 2 * scale.LEANS
    assert all(colors[f"{name}-ink"].contrast(colors[name]) >= 4.5 for name in steps)


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_likely_is_close_to_the_page(dark: bool) -> None:
    colors = {name: scale.Shade.of(code) for name, code in palettes()[dark].items()}
    for letter, numbers in (("s", range(scale.STEPS)), ("p", range(1, 9)), ("m", range(1, 9))):
        away = [colors[f"{letter}{number}"].contrast(colors["page"]) for number in numbers]
        assert all(a < b for a, b in pairwise(away)), letter


@pytest.mark.slow
def test_a_long_text_is_a_page(cli: Cli, tmp_path: Path) -> None:
    text = " ".join(models.passages(7, [400] * 100))
    assert (
        cli("score", "-", "--whole", "--html", tmp_path / "a.html", "-q", "--no-tokens", stdin=text.encode()).code == 0
    )
    root = page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert len(told(root)) > 10_000 and "overlapping windows" in root.find("main")[0].text
    assert len(root.find(of="plot")[0].find("rect")) <= MOST_BARS
