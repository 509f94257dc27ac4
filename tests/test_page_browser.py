"""The page in a real Chromium: no error, no request, and every control changes what it should."""

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from pisces.core import files
from pisces.explorer import server
from pisces.explorer.live import LiveModel, Question
from pisces.report import style
from pisces.report.page import build, plots_template
from pisces.report.page.colours import shades
from tests.browser import Browser, needs_browser, started
from tests.page_files import read, run_of

pytestmark = [pytest.mark.slow, needs_browser]


@pytest.fixture(scope="module")
def browser():
    one, profile = started()
    yield one
    one.close()
    profile.cleanup()


@pytest.fixture(scope="module")
def html(workspace, data) -> str:
    made, _ = build.page(read(workspace), run_of(data))
    return made


@pytest.fixture(scope="module")
def address(html, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    files.write_bytes(path, html.encode())
    return path.as_uri()


@pytest.fixture
def page(browser, address) -> Browser:
    """The page, just opened on a wide and light screen."""
    browser.new_tab()
    browser.screen(1280)
    browser.open(address)
    return browser


def one(selector: str) -> str:
    """Code for the first element that a selector finds."""
    return f"document.querySelector({json.dumps(selector)})"


def every(selector: str) -> str:
    """Code for an array of the elements that a selector finds."""
    return f"[...document.querySelectorAll({json.dumps(selector)})]"


def drawn(chart: str) -> str:
    """Code for what a chart has drawn."""
    return one(f"[data-chart={chart}] svg") + ".outerHTML"


def masked(page: Browser, view: int) -> int:
    """Red pixels in the picture of a view."""
    return coloured(page, view, shades(style.MASKED, 1)[0])


def coloured(page: Browser, view: int, colour: str) -> int:
    """Pixels of this colour, such as "#ff3b30", in the picture of a view."""
    return page.run(
        f"""(() => {{
            const canvas = document.querySelectorAll("#views canvas")[{view}];
            const [r, g, b] = "{colour}".match(/[0-9a-f]{{2}}/g).map((one) => parseInt(one, 16));
            const {{ data }} = canvas.getContext("2d")
                .getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4) {{
                count += Number(data[i] === r && data[i + 1] === g && data[i + 2] === b);
            }}
            return count;
        }})()"""
    )


def place_of(page: Browser, selector: str, number: int = 0) -> dict[str, float]:
    """Where an element is on the screen, after scrolling to it."""
    code = f"""(() => {{
        const element = document.querySelectorAll({json.dumps(selector)})[{number}];
        element.scrollIntoView({{ block: "center" }});
        const {{ x, y, width, height }} = element.getBoundingClientRect();
        return {{ x, y, width, height }};
    }})()"""
    return page.run(code)


# Without a network


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_from_disk_without_an_error_or_a_request(browser, address, width, dark):
    browser.new_tab()
    browser.screen(width, dark)
    browser.open(address)
    assert browser.errors == []
    assert browser.requests == [address]
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelectorAll('.chart svg').length") == browser.run(
        "document.querySelectorAll('[data-chart]').length"
    )
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", paper)))
    assert brightness < 150 if dark else brightness > 700


def test_what_the_page_may_not_ask_for_is_stopped(page):
    assert page.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'stopped')") == "stopped"


def test_charts_are_drawn_anew_for_a_dark_screen(page):
    before = page.run(drawn("training"))
    page.screen(1280, dark=True)
    page.until(f"{drawn('training')} !== {json.dumps(before)}")


# Tables and charts


def show_all(page: Browser, table: str) -> None:
    """Takes the filter of masks that differ away, and shows all rows."""
    box = one(f"{table} input[type=checkbox]")
    page.run(f"{box}.checked = false; {box}.dispatchEvent(new Event('input'))")
    page.run(one(f"{table} button.more") + ".click()")


def test_a_head_sorts_its_table_one_way_and_the_other(page):
    table = "[data-table=pis]"
    show_all(page, table)
    for direction in ("descending", "ascending"):
        page.run(one(f"{table} th button[title=accuracy]") + ".click()")
        assert page.run(one(f"{table} th[aria-sort]") + ".ariaSort") == direction
        heads = every(f"{table} th button")
        place = page.run(f"{heads}.findIndex((head) => head.title === 'accuracy')")
        cells = every(f"{table} tbody tr") + f".map((row) => row.cells[{place}].innerText)"
        numbers = [float(text) for text in page.run(cells)]
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert len(set(numbers)) > 1


def test_a_filter_and_a_search_leave_what_they_say(page):
    table = "[data-table=pis]"
    show_all(page, table)
    rows = every(f"{table} tbody tr") + ".length"
    page.choose(f"{table} label:nth-of-type(2) select", "Ring")
    assert page.run(rows) == 2 * 3  # of two views, of joint accuracy
    search = one(f"{table} input[type=search]")
    page.run(f"{search}.value = 'innermost'; {search}.dispatchEvent(new Event('input'))")
    assert page.run(rows) == 2


@pytest.mark.parametrize(
    ("chart", "number", "label"),
    [
        ("ceiling", 1, "SNR"),
        ("degradation", 1, "noise"),
        ("degradation", 2, "Joint"),
        ("attribution_curves", 1, "SNR"),
    ],
)
def test_a_select_of_a_chart_changes_it(page, chart, number, label):
    before = page.run(drawn(chart))
    page.choose(f"[data-chart={chart}] label:nth-of-type({number}) select", label)
    page.until(f"{drawn(chart)} !== {json.dumps(before)}")


def test_the_most_confused_of_an_snr_come_first(page, workspace):
    page.choose("#confusion-snr", "-10 dB")
    page.until(one("[data-table=confused]") + ".innerText.includes('-10 dB')")
    with np.load(workspace / "data/predictions.npz") as arrays:
        of_snr = arrays["snr_true_db"] == -10
        truth, said = arrays["modulation_true"][of_snr], arrays["modulation_pred"][of_snr]
    pairs = [pair for pair in zip(truth.tolist(), said.tolist(), strict=True) if len(set(pair)) > 1]
    most = max(pairs.count(pair) for pair in pairs)
    cells = page.run(
        every("[data-table=confused] tbody tr:first-child td") + ".map((cell) => cell.innerText)"
    )
    assert int(cells[3]) == most
    assert pairs.count((cells[0], cells[1])) == most


# The explorer


def probability(workspace: Path, data, words: tuple[str, int], rule: str, name: str) -> tuple:
    """Modulation that the model says of the first frame of a cell without a choice, and pixels."""
    modulation, snr_db = words
    with np.load(workspace / "data/explorer.npz") as arrays:
        cell = [data.modulations.index(modulation), data.snrs_db.index(snr_db)]
        frame = int(np.flatnonzero((arrays["frame"][:, :2] == cell).all(1))[0])
        choices = zip(arrays["choice_rule"], arrays["choice_name"], strict=True)
        choice = list(choices).index((rule, name))
        of_frame = arrays["modulation_prob"][frame, choice + 1]
        return arrays["modulations"][of_frame.argmax()], of_frame.max()


def choose_ring(page: Browser) -> None:
    page.choose("#frame-modulation", "16QAM")
    page.choose("#frame-snr", "20 dB")
    page.choose("#set-family", "Ring")
    page.choose("#set-name", "1 (innermost)")


def test_it_says_what_the_model_says_without_the_inner_ring(page, workspace, data):
    page.choose("#frame-modulation", "16QAM")
    page.choose("#frame-snr", "20 dB")
    before = page.text("#says")
    assert before.startswith("As it is, the model says")
    assert masked(page, 1) == 0
    choose_ring(page)
    name, share = probability(workspace, data, ("16QAM", 20), "ring", "1")
    says = page.text("#says")
    assert says.startswith("Without ring 1 (innermost) of the view symbol")
    assert f"the model says {name} with {100 * share:.1f}\u00a0%" in says
    assert "It is 16QAM at 20 dB." in says
    taken = int(re.search(r"\((\d+) of \d+ lit pixels\)", says)[1])
    assert taken == masked(page, 1) > 0
    assert masked(page, 2) == 0
    assert page.run("document.querySelectorAll('#answers .bar i.without').length") > 0
    assert page.text("#overall").startswith("Over 18 frames: joint accuracy")


def test_every_choice_of_the_explorer_changes_the_answer_or_the_picture(page):
    choose_ring(page)
    picture = "[...document.querySelectorAll('#views canvas')].map((one) => one.toDataURL()).join()"
    for selector, label in (
        ("#frame-modulation", "4ASK"),
        ("#frame-snr", "-10 dB"),
        ("#set-name", "3 (outermost)"),
        ("#set-view", "noise"),
        ("#map-name", "Integrated gradients, for the SNR"),
        ("#set-family", "Brightness"),
        ("#set-name", "brightest"),
        ("#set-level", "60 % of the lit pixels"),
        ("#set-family", "First pixels of Integrated gradients"),
        ("#set-name", "for the modulation"),
    ):
        before = page.text("#says"), page.run(picture)
        page.choose(selector, label)
        assert (page.text("#says"), page.run(picture)) != before, label
    assert page.errors == []


def choose_counterfactual(page: Browser, workspace: Path, moves: bool) -> dict[str, Any]:
    """Chooses the fewest moves of a frame in which some or none are made; what is known of it."""
    with np.load(workspace / "data/explorer.npz") as arrays:
        found = dict(arrays)
    row = int(np.flatnonzero((found["moves"][:, 0] > 0) == moves)[0])
    modulation, snr, _ = found["frame"][row]
    page.choose("#frame-modulation", found["modulations"][modulation])
    page.choose("#frame-snr", f"{found['snrs_db'][snr]} dB")
    page.choose("#set-family", "Counterfactual")
    assert coloured(page, 1, style.ARRIVED) == 0
    page.choose("#set-name", "the fewest of all orders")
    place = found["choice_rule"].tolist().index("counterfactual")
    said = found["modulation_prob"][row, [0, 1 + place]].argmax(1)
    return {
        "moves": found["moves"][row, 0],
        "rival": found["rival"][row],
        "why_not": found["why_not"][row],
        "said": found["modulations"][said],
        "arrived": found["arrived_per_move"].reshape(found["moves"].shape)[row, 0],
    }


def test_a_counterfactual_says_what_moved_and_shows_where_to(page, workspace):
    known = choose_counterfactual(page, workspace, moves=True)
    before, after = known["said"]
    says = page.text("#says")
    moved = rf"With {known['moves']} symbols? of \d+ moved to {known['rival']}, the fewest of all"
    assert re.match(rf"{moved} orders, the model says {after} ", says)
    assert f"As it is: {before} " in says
    assert before != after
    assert masked(page, 1) > 0
    assert coloured(page, 1, style.ARRIVED) == known["arrived"] > 0
    assert "moved" in page.text("#answers")


def test_a_frame_without_a_counterfactual_says_why(page, workspace):
    known = choose_counterfactual(page, workspace, moves=False)
    why = f"nothing moves: {known['why_not']}" if known["why_not"] else "not even all"
    assert page.text("#says").startswith(f"As it is ({why}")
    assert masked(page, 1) == coloured(page, 1, style.ARRIVED) == 0


def test_the_mouse_shows_what_goes_and_a_click_keeps_it(page):
    choose_ring(page)
    page.choose("#set-name", "nothing")
    box = place_of(page, "#views canvas", 1)
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse("mouseMoved", *middle)
    page.until("document.querySelector('#says').innerText.startsWith('Without ring')")
    assert masked(page, 1) > 0
    page.mouse("mouseMoved", 5, 5)
    page.until("document.querySelector('#says').innerText.startsWith('As it is')")
    assert masked(page, 1) == 0

    page.mouse("mouseMoved", *middle)
    page.mouse("mousePressed", *middle, pressed=True)
    page.mouse("mouseReleased", *middle)
    page.mouse("mouseMoved", 5, 5)
    assert page.text("#says").startswith("Without ring")
    assert page.run("document.querySelector('#set-name').value") != ""


def test_keys_alone_choose_a_ring_in_the_picture(page):
    choose_ring(page)
    page.choose("#set-name", "nothing")
    page.run("document.querySelectorAll('#views canvas')[1].focus()")
    page.press("ArrowRight")
    page.until("document.querySelector('#says').innerText.startsWith('Without ring')")
    page.press("Enter", text="\r")
    page.run("document.activeElement.blur()")
    assert page.text("#says").startswith("Without ring")


def test_every_control_can_be_reached_by_the_tab_key(page):
    page.run("document.querySelector('#frame-modulation').focus()")
    reached = ["frame-modulation"]
    for _ in range(12):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.tagName"))
    assert {"frame-snr", "set-family", "set-name", "map-name", "CANVAS"} <= set(reached)


# With the model behind it


@pytest.fixture(scope="module")
def live(html, workspace, explained):
    """The address of the page with its model, and the questions that came."""
    with np.load(workspace / "data/explorer.npz") as arrays:
        model = LiveModel(explained, arrays["frame"])
    asked: list[Question] = []

    def answer(question: Question) -> dict[str, list[float]]:
        asked.append(question)
        return model.answer(question)

    listening = server.listening(0)
    port = listening.getsockname()[1]
    config = uvicorn.Config(server.app(server.live_page(html), answer, port), log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/", asked, model
    running.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture
def painted(browser, live) -> Browser:
    """The served page, with a frame and the brush in hand."""
    browser.new_tab()
    browser.screen(1280)
    browser.open(live[0])
    browser.choose("#frame-modulation", "16QAM")
    browser.choose("#frame-snr", "20 dB")
    browser.run("document.querySelector('#paint-on').click()")
    browser.until("document.querySelector('#overall').innerText.includes(' ms')")
    return browser


def assert_answered(page: Browser, live) -> None:
    """The page shows what the model says without the pixels that it asked about last."""
    _, asked, model = live
    page.until("document.querySelector('#says').innerText.includes('painted pixels')")
    said = model.answer(asked[-1])
    best = int(np.argmax(said["modulation"]))
    expected = f"with {100 * said['modulation'][best]:.1f}\u00a0%"
    page.until(f"document.querySelector('#says').innerText.includes({json.dumps(expected)})")
    assert len(asked[-1].pixels) == masked(page, 1) > 0
    assert page.errors == []
    assert {re.sub("[0-9]+", "", one) for one in page.requests} == {
        re.sub("[0-9]+", "", live[0]),
        re.sub("[0-9]+", "", f"{live[0]}answer"),
    }


def test_the_mouse_paints_pixels_away_and_the_model_answers(painted, live):
    box = place_of(painted, "#views canvas", 1)
    y = box["y"] + 0.25 * box["height"]
    painted.run("document.querySelector('#paint-size').value = '9'")
    painted.mouse("mousePressed", box["x"] + 2, y, pressed=True)
    for share in np.linspace(0, 1, 30):
        for height in (0.25, 0.5, 0.75):
            x = box["x"] + share * (box["width"] - 2)
            painted.mouse("mouseMoved", x, box["y"] + height * box["height"], pressed=True)
    painted.mouse("mouseReleased", box["x"] + box["width"] - 2, y)
    assert_answered(painted, live)
    painted.run("document.querySelector('#paint-clear').click()")
    painted.until("document.querySelector('#says').innerText.startsWith('As it is')")
    assert masked(painted, 1) == 0


def test_keys_paint_pixels_away_and_the_model_answers(painted, live):
    painted.run("document.querySelector('#paint-size').value = '9'")
    painted.run("document.querySelectorAll('#views canvas')[1].focus()")
    for _ in range(14):
        painted.press("ArrowRight")
        painted.press(" ", code="Space", text=" ")
    assert_answered_after_keys(painted, live)


def assert_answered_after_keys(page: Browser, live) -> None:
    """As `assert_answered`; the cursor hides some of the pixels."""
    page.until("document.querySelector('#says').innerText.includes('painted pixels')")
    assert len(live[1][-1].pixels) > 0
    assert masked(page, 1) > 0
    assert page.errors == []


# Plots of DVC


def test_plots_of_dvc_are_drawn_without_a_network(browser, tmp_path):
    spec = {"data": {"values": [{"x": 1, "y": 2}]}, "mark": "point", "encoding": {}}
    for axis in ("x", "y"):
        spec["encoding"][axis] = {"field": axis, "type": "quantitative"}
    plot = f"<div id=one></div><script>vegaEmbed('#one', {json.dumps(spec)})</script>"
    ready = "<script>document.documentElement.dataset.ready = 'yes'</script>"
    page = plots_template.template().replace("{plot_divs}", plot + ready)
    path = tmp_path / "plots.html"
    path.write_text(page.replace("{refresh_tag}", ""))
    browser.new_tab()
    browser.open(path.as_uri())
    browser.until("document.querySelector('#one svg, #one canvas') !== null")
    assert browser.errors == []
    assert browser.requests == [path.as_uri()]
