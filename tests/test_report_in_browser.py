"""Pages in a real browser: pointing, tapping, keys, sorting, no network; hostile and long texts do no harm."""

import os
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from lmscore.comparison import by_words
from lmscore.ranking import rank
from lmscore.records import Alternative, Score
from lmscore.views import report
from lmscore.views.chart import MOST_BARS
from lmscore.views.units import Unit

from . import browser
from .scores import cut, of_pieces
from .test_diff import HEAT
from .test_looks import FAMILY
from .test_report import HOSTILE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.executable() is None and "LMSCORE_NEEDS_BROWSER" not in os.environ,
        reason=f"no browser: none of {', '.join(browser.NAMES)} is on the PATH",
    ),
]

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.opened() as opened:
        yield opened


class Looking:
    """Opens pages from a file, and keeps what they complain about, ask of a network, or pop up."""

    def __init__(self, chromium: Browser, folder: Path) -> None:
        self.complaints: list[str] = []
        self._chromium, self._folder, self._contexts = chromium, folder, list[BrowserContext]()

    def __call__(self, html: str, **options: Any) -> Page:
        place = self._folder / f"{len(self._contexts)}.html"
        place.write_text(html, encoding="utf-8")
        context = self._chromium.new_context(**{"viewport": WIDE, **options})
        self._contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: self.complaints.append(message.text))
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))
        tab.on("request", lambda asked: self.complaints.extend([asked.url] * (asked.url != place.as_uri())))
        tab.goto(place.as_uri())
        return tab

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def look(chromium: Browser, tmp_path: Path) -> Iterator[Looking]:
    """Looks at pages; at the end nothing has been complained about."""
    looking = Looking(chromium, tmp_path)
    yield looking
    looking.close()
    assert not looking.complaints


def of_scores(*scores: Score) -> str:
    stream = StringIO()
    list(report.of_scores(scores, stream, Unit.nats, "lmscore score"))
    return stream.getvalue()


def of_ranking(*scores: Score) -> str:
    stream = StringIO()
    list(report.of_rankings([rank(list(scores), list(range(len(scores))), "sum")], stream, Unit.nats, None, "lmscore"))
    return stream.getvalue()


OTHERS = (
    Alternative(7, " b", b" b", -0.5),
    Alternative(120002, " c", b" c", -1.5),
    Alternative(9, " d", b" d", -300.0),
)
SHORT = of_pieces(("a", -1.0), (" b", -2.0), (" c", -9.0), rank=1234, entropy=2.5, top=OTHERS)


def stretches(tab: Page) -> Locator:
    return tab.locator(".heat > span")


def told(tab: Page) -> Locator:
    return tab.locator(".told")


def test_pointing_at_a_token_tells_what_is_known_of_it(look: Looking) -> None:
    tab = look(of_scores(SHORT))
    expect(told(tab)).to_contain_text("Point at a token")
    stretches(tab).nth(2).hover()
    expect(told(tab).locator("h3")).to_have_text("␣c")
    expect(told(tab)).to_contain_text("the weakest, 75.0% of the total")
    assert told(tab).locator("dt").all_inner_texts() == ["id", "logprob", "probability", "rank", "entropy"]
    assert told(tab).locator("dd").all_inner_texts() == ["120002", "-9.0000 nats", "1.2e-04", "1,234", "2.5000 nats"]
    expected = [row.inner_text().split() for row in told(tab).locator("li").all()[1:]]
    assert expected[0] == ["␣b", "7", "0.6065"]
    assert expected[1] == ["␣c", "(this", "one)", "120002", "0.2231"]
    assert expected[2] == ["␣d", "9", "<1e-99"]
    assert [round(float(bar.evaluate("e => e.value")), 4) for bar in told(tab).locator("meter").all()] == [
        0.6065,
        0.2231,
        0,
    ]
    stretches(tab).nth(0).hover()
    expect(told(tab).locator("h3")).to_have_text("a")
    assert tab.locator(".lit").count() == 1


def test_a_token_that_was_chosen_is_told_of_again_when_another_is_left(look: Looking) -> None:
    tab = look(of_scores(SHORT))
    stretches(tab).nth(1).hover()
    tab.locator(".legend").first.hover()
    expect(told(tab).locator("h3")).to_have_text("␣b")
    stretches(tab).nth(1).click()
    stretches(tab).nth(0).hover()
    expect(told(tab).locator("h3")).to_have_text("a")
    for elsewhere in (".legend", "h1"):
        stretches(tab).nth(0).hover()
        tab.locator(elsewhere).first.hover()
        expect(told(tab).locator("h3")).to_have_text("␣b")


def test_a_bar_of_the_chart_leads_to_its_token(look: Looking) -> None:
    tab = look(of_scores(SHORT))
    tab.locator(".plot rect").nth(2).hover()
    expect(told(tab).locator("h3")).to_have_text("␣c")
    tab.locator(".plot rect").nth(1).click()
    expect(stretches(tab).nth(1)).to_be_focused()


def test_keys_walk_along_the_text(look: Looking) -> None:
    tab = look(of_scores(SHORT))
    reached = [press(tab, "Tab") for _ in range(3)]
    assert reached[1:] == ["a", "Tokens"], "one stop for the whole text"
    assert press(tab, "Shift+Tab") == "a"
    for key, name in [
        ("ArrowRight", " b"),
        ("ArrowDown", " c"),
        ("ArrowRight", " c"),
        ("ArrowLeft", " b"),
        ("ArrowUp", "a"),
        ("ArrowUp", "a"),
        ("End", " c"),
        ("Home", "a"),
        ("End", " c"),
    ]:
        assert press(tab, key) == name
        assert told(tab).locator("h3").inner_text() == name.replace(" ", "␣")
    for mark in ("tabindex", "role", "aria-describedby"):
        assert tab.locator(f".heat [{mark}]").count() == 1
    assert press(tab, "Control+Home") == " c", "that is the browser's"
    press(tab, "Tab")
    assert press(tab, "Shift+Tab") == " c", "where one was"


def press(tab: Page, key: str) -> str:
    """Press a key; the text of what has the focus then."""
    tab.keyboard.press(key)
    return str(tab.evaluate("document.activeElement.textContent"))


def test_in_a_text_from_right_to_left_the_arrows_go_where_they_point(look: Looking) -> None:
    tab = look(of_scores(of_pieces(("אבג", -1.0), (" דה", -2.0), (" וז", -3.0))))
    heat = tab.locator(".heat")
    assert heat.evaluate("e => getComputedStyle(e).direction") == "rtl"
    first, second = (stretches(tab).nth(at).bounding_box() for at in (0, 1))
    assert first and second and first["x"] > second["x"]
    stretches(tab).nth(0).focus()
    assert press(tab, "ArrowLeft") == " דה"
    assert press(tab, "ArrowRight") == "אבג"


def test_a_screen_reader_is_told_what_it_is_at(look: Looking) -> None:
    tab = look(of_scores(SHORT))
    stretches(tab).nth(1).click()
    describedby = stretches(tab).nth(1).get_attribute("aria-describedby")
    assert describedby and "-2.0000 nats" in tab.locator(f"#{describedby}").inner_text()
    assert tab.get_by_role("table", name="Tokens", include_hidden=True).count() == 1
    assert tab.get_by_role("img", name=re.compile("Surprisal along the text, the highest at ␣c")).count() == 1


def test_tapping_on_a_phone(look: Looking) -> None:
    tab = look(of_scores(SHORT), viewport=PHONE, has_touch=True, is_mobile=True)
    assert told(tab).evaluate("e => getComputedStyle(e).position") == "static", "the hint covers nothing"
    stretches(tab).nth(1).tap()
    expect(told(tab).locator("h3")).to_have_text("␣b")
    box = told(tab).bounding_box()
    assert box and box["y"] >= 0 and box["y"] + box["height"] <= PHONE["height"] + 1, "it is in sight"
    told(tab).tap()
    expect(told(tab).locator("h3")).to_have_text("␣b")
    tab.locator("figcaption").tap()
    expect(told(tab)).to_contain_text("Point at a token")


def test_escape_puts_the_box_away_and_keys_go_on_from_there(look: Looking) -> None:
    tab = look(of_scores(SHORT))
    stretches(tab).nth(1).click()
    assert press(tab, "Escape") == " b"
    expect(told(tab)).to_contain_text("Point at a token")
    assert tab.locator(".lit").count() == 0 and tab.locator(".heat [tabindex]").count() == 1
    assert press(tab, "ArrowRight") == " c"
    expect(told(tab).locator("h3")).to_have_text("␣c")
    assert tab.locator(".heat [tabindex]").count() == 1
    tab.locator("summary").focus()
    press(tab, "Escape")
    expect(told(tab)).to_contain_text("Point at a token")


def test_a_name_from_right_to_left_does_not_turn_a_sentence_around(look: Looking) -> None:
    tab = look(of_scores(of_pieces((" مرحبا", -9.0), (" x", -1.0))))
    note = tab.locator(".note", has_text="The weakest token is")
    places = note.evaluate(PLACES)
    assert places == sorted(places), "each word stands to the right of the one before it"


PLACES = """
    note => [...note.childNodes].map((node) => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return [...range.getClientRects()].filter((one) => one.top < note.getBoundingClientRect().top + 20)[0].left;
    })
"""
"""Where the parts of a sentence begin that stand in its first line."""


def column(tab: Page, at: int) -> list[str]:
    return [row.locator("td").nth(at).inner_text().strip() for row in tab.locator("tbody tr").all()]


def test_tables_sort_by_value_and_back(look: Looking) -> None:
    scores = [("cc", -10.0), ("bb", -9.0), ("dd", -100.0), ("aa", -1.5)]
    tab = look(of_ranking(*(of_pieces(one) for one in scores)))
    assert column(tab, 1) == ["aa", "bb", "cc", "dd"]
    button = tab.get_by_role("button", name="total")
    button.click()
    assert column(tab, 2) == ["-100.000", "-10.000", "-9.000", "-1.500"]
    assert tab.locator("th", has=button).get_attribute("aria-sort") == "ascending"
    button.press("Enter")
    assert column(tab, 2) == ["-1.500", "-9.000", "-10.000", "-100.000"]
    tab.get_by_role("button", name="candidate").click()
    assert column(tab, 1) == ["aa", "bb", "cc", "dd"]
    assert tab.locator("[aria-sort]").count() == 1
    tab.get_by_role("button", name="candidate").click()
    assert column(tab, 1) == ["dd", "cc", "bb", "aa"]
    tab.get_by_role("button", name="tokens").click()
    assert column(tab, 1) == ["aa", "bb", "cc", "dd"], "equals stand as they came"
    tab.get_by_role("button", name="tokens").click()
    assert column(tab, 1) == ["aa", "bb", "cc", "dd"]


def test_what_has_no_figure_comes_last_both_ways(look: Looking) -> None:
    tab = look(of_scores(of_pieces(("a", None), (" b", -2.0), (" c", -9.0))))
    tab.locator("details summary").click()
    for order in (["-9.0000", "-2.0000", "unscored"], ["-2.0000", "-9.0000", "unscored"]):
        tab.get_by_role("button", name="logprob").click()
        assert column(tab, 3) == order


def test_figures_stand_in_for_colours(look: Looking) -> None:
    tab = look(of_scores(SHORT))

    def behind() -> list[str]:
        return [one.evaluate("e => getComputedStyle(e, '::after').content") for one in stretches(tab).all()]

    assert behind() == ["none"] * 3
    tab.get_by_role("checkbox").check()
    assert behind() == ['"1"', '"3"', '"13"']
    tab.get_by_role("checkbox").uncheck()
    tab.emulate_media(media="print")
    assert behind() == ['"1"', '"3"', '"13"']
    tab.emulate_media(media="screen", forced_colors="active")
    assert behind() == ['"1"', '"3"', '"13"']


def test_differences_have_signs(look: Looking) -> None:
    tab = look(report.of_comparison(HEAT, Unit.nats, "lmscore diff"))
    tab.get_by_role("checkbox").check()
    behind = [one.evaluate("e => getComputedStyle(e, '::after').content") for one in stretches(tab).all()]
    assert behind == ["none", '"+3"', '"−1"', '"−7"', '"+3"', '"−3"']
    stretches(tab).nth(3).hover()
    expect(told(tab)).to_contain_text("difference -5.0000 nats")
    bars = [bar.evaluate("e => getComputedStyle(e).fill") for bar in tab.locator(".plot rect").all()]
    assert len(set(bars)) == 2, "one colour for less, one for more"
    assert told(tab).locator("h3").all_inner_texts() == ["first: ␣are", "second: ␣is"]


def test_dark_and_light(look: Looking) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = (look(of_scores(SHORT), color_scheme=scheme).evaluate(ground) for scheme in ("light", "dark"))
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(19, 18, 23)")


def test_without_scripts_the_page_still_says_it(look: Looking) -> None:
    tab = look(of_scores(SHORT), java_script_enabled=False)
    expect(tab.locator(".heat")).to_have_text("a b c")
    expect(told(tab)).to_be_hidden()
    tab.locator("details summary").click()
    expect(tab.locator("table")).to_contain_text("-9.0000")


LONG = [of_pieces(("x" * 5000, -3.0), *((" y", -1.0) for _ in range(40)), ("日本語" * 200, -8.0), context="z" * 3000)]


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_page_is_wider_than_its_window(look: Looking, width: int) -> None:
    hostile = [of_pieces((text, -3.0), (" x", -1.0), context=text) for text in HOSTILE]
    comparison = by_words(LONG[0], hostile[0])
    pages = [
        of_scores(*LONG, *hostile),
        of_ranking(*(of_pieces((text * 20, -1.0 - at)) for at, text in enumerate(HOSTILE))),
        report.of_comparison(comparison, Unit.nats, "lmscore diff " + "x" * 400),
    ]
    for html in pages:
        tab = look(html, viewport={"width": width, "height": 700})
        tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("text", [*HOSTILE, "<b>bold</b>", "javascript:alert(1)", "\x00\ufffd\ud7ff"])
def test_hostile_texts_do_nothing(look: Looking, text: str) -> None:
    score = of_pieces((text, -3.0), (" x", -1.0), context=text, top=(Alternative(1, text, text.encode(), -0.1),))
    for html in (
        of_scores(score),
        of_ranking(score, of_pieces((text, -1.0), (text, -2.0))),
        report.of_comparison(by_words(score, of_pieces((f"{text}x", -2.0))), Unit.nats, text),
    ):
        tab = look(html)
        assert tab.locator("img, b b, iframe, a, form, [onerror], [onload]").count() == 0
        for stretch in stretches(tab).all():
            stretch.hover(force=True)
            stretch.click(force=True)
        assert tab.locator("script").count() == 1 + tab.locator(".reading").count()
        assert tab.evaluate("document.documentElement.dir") == ""


def test_a_script_that_got_in_would_not_run(look: Looking) -> None:
    smuggled = "<script>document.title = 'in'</script><svg onload=\"document.title = 'in'\">"
    smuggled += "<style>h1 { color: rgb(1, 2, 3) }</style><p style='color: rgb(1, 2, 3)'>"
    tab = look(of_scores(SHORT).replace("<main>", f"<main>{smuggled}"))
    assert tab.title() == "a b c · lmscore"
    assert "rgb(1, 2, 3)" not in [one.evaluate("e => getComputedStyle(e).color") for one in tab.locator("h1, p").all()]
    assert len(look.complaints) >= 4 and all("Content Security Policy" in one for one in look.complaints)
    look.complaints.clear()


def test_a_hundred_thousand_tokens(look: Looking) -> None:
    score = of_pieces(*((f" w{at % 97}", -(at % 11) - 0.5) for at in range(100_000)), rank=3, entropy=1.0, top=OTHERS)
    tab = look(of_scores(score))
    assert stretches(tab).count() == 100_000
    assert tab.locator(".plot rect").count() <= MOST_BARS
    stretches(tab).nth(5).hover()
    expect(told(tab).locator("h3")).to_have_text("␣w5")
    bar = tab.locator(".plot rect").nth(100)
    bar.hover()
    at = int(bar.get_attribute("data-at") or 0)
    assert at > 30_000
    expect(told(tab).locator("h3")).to_have_text(f"␣w{at % 97}")
    stretches(tab).nth(5).click()
    assert press(tab, "End") == f" w{99_999 % 97}"
    expect(stretches(tab).nth(99_999)).to_be_in_viewport()
    tab.locator("details summary").click()
    assert tab.locator("tbody tr").count() == report.MOST_ROWS


@pytest.mark.parametrize("view", ["score", "rank", "diff"])
def test_a_word_of_fifty_thousand_letters(look: Looking, view: str) -> None:
    word = of_pieces(*(("ab" * 5, -2.0) for _ in range(5000)))
    pages = {
        "score": lambda: of_scores(word, of_pieces(("x" * 50_000, -1.0))),
        "rank": lambda: of_ranking(word, SHORT),
        "diff": lambda: report.of_comparison(by_words(word, SHORT), Unit.nats, "lmscore diff"),
    }
    tab = look(pages[view](), viewport=PHONE)
    stretches(tab).nth(0).hover()
    expect(told(tab).first).not_to_contain_text("Point at")
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_an_emoji_of_many_tokens_is_shown_once_and_tells_of_them(look: Looking) -> None:
    tab = look(of_scores(cut(f"a{FAMILY}!", 1, 3, 5, 9, 12, 19)))
    assert stretches(tab).all_inner_texts() == ["a", FAMILY, "!"]
    stretches(tab).nth(1).hover()
    expect(told(tab)).to_contain_text("5 tokens")
    assert told(tab).locator("h3").count() == 5


def test_each_record_tells_of_its_own(look: Looking) -> None:
    tab = look(of_scores(SHORT, of_pieces(("other", -4.0))))
    stretches(tab).nth(3).hover()
    assert told(tab).nth(1).locator("h3").inner_text() == "other"
    expect(told(tab).nth(0)).to_contain_text("Point at a token")
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(set(ids)) == len(ids) == 2
