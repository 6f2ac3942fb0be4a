"""All views of the page in a real browser: keyboard, phone, theme, and what strangers post."""

from collections.abc import Callable

import pytest
import requests
from selenium.webdriver.common.keys import Keys

from Tests.sandbox import Sandbox
from Tests.sandbox.tests.browser import Page
from Tests.sandbox.tests.posted import ALERT, ALERTS, post_json, row

Open = Callable[..., tuple[Page, Sandbox]]
VIEWS = (
    "instance",
    "try/grafana-alert",
    "requests",
    "requests/1",
    "requests/incident-1",
    "mapping",
    "health",
)


# ---- all views


def test_the_page_is_used_with_the_keyboard_alone(open_page: Open) -> None:
    page, sandbox = open_page()
    page.open("try")
    page.until(lambda: page.find("#try-body").get_attribute("value"), "the example")

    def tab_to(condition: str) -> None:
        for _ in range(80):
            page.press(Keys.TAB)
            if page.script(f"const at = document.activeElement; return {condition}"):
                outline = page.script(
                    "const s = getComputedStyle(document.activeElement);"
                    "return s.outlineStyle + s.outlineWidth"
                )
                assert outline == "solid2px", "the focus cannot be seen"
                return
        raise AssertionError(f"the tab key never leads to {condition}")

    tab_to("at.textContent === 'Skip to the content'")
    tab_to("at.id === 'try-body'")
    page.press("", Keys.END)
    tab_to("at.textContent === 'Send'")
    page.press(Keys.SPACE)
    page.find("article.incident")
    tab_to("at.textContent === 'Open request 1'")
    page.press(Keys.ENTER)
    page.shows("Request 1", "#detail-title")
    tab_to("at.textContent === 'Send again'")
    page.press(Keys.ENTER)
    page.shows("Answered 200")
    assert len(sandbox.incidents()) == 2


def furnished(open_page: Open) -> tuple[Page, Sandbox]:
    """Return a page that has something to show in each view, long words included."""
    page, sandbox = open_page({"store_samples": True, "metrics": True, "severity_from": "level"})
    post_json(sandbox, {**ALERT, "long": "x" * 300, "k" * 120: ALERTS})
    post_json(sandbox, {"name": "n" * 250, "raw_json": {}})
    requests.post(
        sandbox.url + "/" + "p" * 200,
        data="{",
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    return page, sandbox


def test_no_view_is_wider_than_a_phone(open_page: Open) -> None:
    page, _ = furnished(open_page)
    page.resize(360, 740)
    for view in VIEWS:
        page.open(view)
        settle(page, view)
        page.unfold()
        wide = page.script(
            "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
        )
        assert wide[0] <= wide[1] <= 360, f"{view} is {wide[0]} px wide"


def test_on_a_phone_the_header_leaves_room_for_the_view(open_page: Open) -> None:
    page, _ = open_page()
    page.resize(390, 844)
    page.open()
    page.shows("Running", "#status")
    edges = (
        "const box = (one) => document.querySelector(one).getBoundingClientRect();"
        "return [box('header').top, box('nav').bottom, box('#theme').right, box('nav').right]"
    )
    for status in ("Running", "Not healthy", "The container has ended"):
        page.script("document.getElementById('status-text').textContent = arguments[0]", status)
        top, bottom, last, width = page.script(edges)
        assert bottom - top <= 80, f"{status}: {bottom - top} px"
        assert last <= width
    page.click("#copy-address")
    page.shows("Copied", "#copy-address")


def settle(page: Page, view: str) -> None:
    """Wait for what a view shows last."""
    last = {
        "instance": "#instance-help + .prose",
        "try/grafana-alert": ".suggestion dd",
        "requests": "#rows a",
        "requests/1": ".detail .incident",
        "requests/incident-1": ".detail .incident",
        "mapping": "#preview .become, #samples .pick",
        "health": ".log tbody tr",
    }
    page.find(".prose p" if view == "instance" else last[view])
    if view == "mapping":
        page.find(".pick")
        page.find("#preview .become")


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 360)])
def test_axe_finds_nothing_in_any_view(open_page: Open, axe: str, theme: str, width: int) -> None:
    page, _ = furnished(open_page)
    page.resize(width, 860, theme)
    for view in VIEWS:
        page.open(view)
        settle(page, view)
        page.unfold()
        assert page.violations(axe) == [], f"{view}, {theme}, {width} px"


def test_the_theme_follows_the_system_until_it_is_switched_and_is_kept(open_page: Open) -> None:
    page, _ = open_page()
    page.resize(1280, 860, "dark")
    page.open()
    ground = "return getComputedStyle(document.body).backgroundColor"
    dark = page.script(ground)
    page.click("#theme")
    page.shows("light", "#theme")
    light = page.script(ground)
    assert light != dark
    page.open()
    assert page.script(ground) == light
    page.click("#theme")
    assert page.script(ground) == dark
    page.click("#theme")
    page.shows("auto", "#theme")


# ---- what strangers post

VECTORS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    '"><iframe srcdoc="<script>parent.alert(1)</script>">',
    "</textarea></pre></title><script>alert(1)</script>",
    "javascript:alert(1)",
    "[click](javascript:alert(1))",
    "{{constructor.constructor('alert(1)')()}}",
    "<a href=javascript:alert(1) autofocus onfocus=alert(1)>",
    "<style>*{display:none}</style><base href=//example.com/>",
)
FOREIGN = """
return [...document.querySelectorAll(
  'main :is(script, img, iframe, style, base, object, embed, link), '
  + '[onload], [onerror], [onfocus], a[href^="javascript:" i]')]
  .map((one) => one.outerHTML.slice(0, 200));
"""


def test_what_strangers_post_is_text(open_page: Open) -> None:
    page, sandbox = open_page({"store_samples": True})
    page.open("requests")
    page.script("window.alert = () => { window.alerted = true }")
    every = " ".join(VECTORS)
    post_json(sandbox, {"title": every, **{vector: {vector: [vector]} for vector in VECTORS}})
    post_json(
        sandbox,
        {"name": every, "type": VECTORS[0], "details": every, "raw_json": {"html": list(VECTORS)}},
    )
    plain = {"Content-Type": "text/plain", "X-Note": every}
    requests.post(
        f"{sandbox.url}/%3Cimg%20src=x%20onerror=alert(1)%3E?{VECTORS[1]}",
        data=every,
        headers=plain,
        timeout=30,
    )
    requests.post(sandbox.url, data={vector: vector for vector in VECTORS}, timeout=30)
    requests.post(
        sandbox.url, data="{" + every, headers={"Content-Type": "application/json"}, timeout=30
    )
    row(page, 5)
    for number in range(1, 6):
        page.click(row(page, number))
        page.shows(f"Request {number}", "#detail-title")
        page.unfold()
        assert page.script(FOREIGN) == []
    assert VECTORS[1] in page.find("#detail").text
    page.go("Mapping")
    page.find(".pick")
    page.find("#preview .become")
    page.unfold()
    assert VECTORS[1] in page.text()
    page.go("Try it")
    page.find("#view-try .rows a")
    page.go("Health")
    page.find(".log tbody tr")
    assert page.script(FOREIGN) == []
    assert page.script("return [window.alerted ?? false, document.title.includes('<')]") == [
        False,
        False,
    ]


MARKDOWN = """
const done = arguments[1];
import('/page/markdown.js').then(({ markdown }) => {
  const place = document.createElement('div');
  place.append(...markdown(arguments[0], { platform: 'A' }));
  done([place.textContent, [...place.querySelectorAll('*')].map((one) => one.tagName.toLowerCase()),
    [...place.querySelectorAll('a')].map((one) => one.getAttribute('href'))]);
});
"""
DESCRIPTION = """## Title

<~A>
1. first, with `code <b>` and **bold**
2. [good](https://example.com/a) and [bad](javascript:alert(1)) and [plain](http://example.com/)
</~A>
<~B>
not for this platform
</~B>

| Field | Meaning |
| --- | --- |
| `a` | <img src=x onerror=alert(1)> |
"""


def test_a_description_becomes_elements_and_its_html_stays_text(open_page: Open) -> None:
    page, _ = open_page()
    page.open()
    text, tags, links = page.driver.execute_async_script(MARKDOWN, DESCRIPTION)
    assert links == ["https://example.com/a"]
    assert {"h3", "ol", "li", "code", "strong", "table", "th", "td"} <= set(tags)
    assert "img" not in tags and "b" not in tags
    assert (
        "<img src=x onerror=alert(1)>" in text
        and "code <b>" in text
        and "[bad](javascript:alert(1))" in text
    )
    assert "not for this platform" not in text
