"""The glossary: terms are found in sentences, markup is left alone, and a term tells its meaning on focus."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from playwright.sync_api import Browser, expect

from ivx.ui.kit.glossary import TERMS, listed, marked
from tests.support.browser import PATIENCE, opened


class Read(HTMLParser):
    """What a browser makes of HTML: its text, and the terms in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.terms, self.open = "", list[str](), list[str]()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if ("class", "ivx-term") in attrs:
            self.terms.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "span":
            self.terms[-1] += data


@pytest.mark.parametrize(
    ("html", "terms"),
    [
        ("T_inst moves it +2.1 <b>logits</b>; a logit more, and T_inst", ["T_inst", "logits"]),
        ("hatched: no better than a control, nor its controls", ["hatched", "controls"]),
        ("in the place of a control; a place of its own", ["control"]),
        ("adjusted p < .001 and a control > 0", ["adjusted p", "control"]),
        ("Some queries choose the place; others confirm it.", ["place"]),
        ("The J of J. J(a, b) = 0, and J = 1", ["J"]),
        ("a probe’s, a probed one, the uncontrolled, controls_n", ["probe"]),
        ("told “another control” and <code>logit</code>, <a href='/x?control=1' title='probe'>the probe</a>", []),
        ("&lt;control&gt; &#x27;logit&#x27; &amp;sink; <i title='a > sink'>no</i>", ["control", "logit", "sink"]),
        ("change of the answer's logit minus the contrast answer's.", ["logit", "contrast answer's"]),
    ],
)
def test_terms_are_dotted_and_nothing_else_is_touched(html: str, terms: list[str]) -> None:
    got, plain = Read(marked(html)), Read(html)
    assert got.terms == terms and got.text == plain.text
    assert re.sub(r'<span class="ivx-term"[^>]*>(.*?)</span>', r"\1", marked(html)) == html


def test_every_term_finds_itself_and_is_on_the_list() -> None:
    names = Read(listed()).text
    for one in TERMS:
        said = {"place": "the place", "J": "J = 1"}.get(one.name, one.name)
        assert len(Read(marked(said)).terms) == 1 and f'data-tip="{one.meaning[:20]}' in marked(said), one.name
        assert one.name in names and one.meaning in names
        assert one.meaning.count(". ") <= 1 and len(one.meaning) < 200, "one or two sentences"


@pytest.mark.browser
def test_a_term_tells_its_meaning_on_focus_and_hover(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft&task=animal/colour")
    term = page.locator(".ivx-lede .ivx-term").first
    expect(term).to_be_visible(timeout=PATIENCE)
    tip = "e => getComputedStyle(e, '::after').content"
    assert term.evaluate(tip) == "none"
    for show in (term.focus, term.hover):
        show()
        assert "The same query without the instruction." in term.evaluate(tip)
        term.blur()
        page.mouse.move(0, 0)
    expect(term).to_have_attribute("aria-description", re.compile("The same query"))
    page.goto(f"{app}/glossary")
    expect(page.locator(".ivx-glossary dt")).to_have_count(len(TERMS), timeout=PATIENCE)
    page.close()
