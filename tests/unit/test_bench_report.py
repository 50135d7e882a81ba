"""The tables and the page, from results that are made up."""

import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fwbuild.bench import report, tables
from fwbuild.bench.events import Event
from fwbuild.bench.result import Result, Row
from tests.conftest import need
from tests.support.results import OURS, result

CHROMIUM = "chromium"
VOID = {"meta", "br"}
# What the browser says of the page: its width against the window's, and what is seen of a bar.
PROBE = """<script>
const bars = [...document.querySelectorAll(".lane rect")].map(r => r.getBoundingClientRect().width);
document.title = JSON.stringify({
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  bars: bars.length, invisible: bars.filter(w => w <= 0).length,
  back: getComputedStyle(document.body).backgroundColor,
  colours: new Set([...document.querySelectorAll(".legend rect")].map(
    r => getComputedStyle(r).fill)).size,
});</script></body>"""


class Checker(HTMLParser):
    """Every tag is closed, in order; nothing is loaded and nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "href", "onload"} & dict(attributes).keys()
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page() -> str:
    return report.html(result())


def test_json_keeps_everything() -> None:
    text = result().to_json()
    again = Result.from_json(text)
    assert again == result()
    assert again.to_json() == text
    with pytest.raises(ValueError, match="format"):
        Result.from_json(text.replace('"format": 1', '"format": 2'))


def test_spans_and_ratios() -> None:
    made = result()
    ours, qboot, broken = made.rows
    assert ours.handoff() == [2.0, 2.0, 2.0]
    assert qboot.handoff() == [8.0, 8.0, 8.0]
    ratio = made.ratio(qboot, Row.handoff)
    assert ratio and (ratio.median, ratio.low, ratio.high) == (4.0, 4.0, 4.0)
    assert made.ratio(ours, Row.handoff) is None
    assert made.ratio(broken, Row.handoff) is None
    assert [(name, s.median) for name, s in ours.stages()] == [
        ("reset", 0.25),
        ("start", 0.25),
        ("acpi", 1.5),
    ]


def test_table() -> None:
    made = result()
    out = io.StringIO()
    Console(width=120, file=out).print(tables.group(made, made.rows))
    text = out.getvalue()
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert re.search(r"43\.50 \(\+2\.00\) .* 49\.50 \(\+8\.00\) .* - ", rows["fw_do_boot"])
    assert "x 4.00 (4.00-4.00)" in text
    assert "broken.bin: nothing more came in time after fw_start" in " ".join(text.split())
    assert "62739" in rows["instructions to the kernel"]


def test_page_is_whole(page: str) -> None:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(checker.tags)
    assert "@import" not in page and "url(" not in page and "http" not in page
    words = " ".join(checker.text.split())
    for expected in (
        "fwbuild <x>",
        "a <note>",
        "7.2.22",
        "43.50 (+2.00)",
        "x 4.00 (4.00-4.00)",
        "62739",
        "qemu-system-x86_64 -M pc -append 'a b'",
        "2 x Example",
        "broken.bin does not boot this kernel here: nothing more came",
    ):
        assert expected in words
    assert "/usr/bin" not in words


@pytest.mark.parametrize("event", Event)
def test_an_event_is_everywhere(event: Event, page: str) -> None:
    """In the made-up results, the table, the legend, and both schemes of colours."""
    assert event in OURS
    style, body = page.split("</style>")
    assert body.count(f"<td>{event}</td>") == 1
    assert event.phase in html.unescape(body)
    assert [style.count(f"--{event}: {c};") for c in (event.light, event.dark)] == [1, 1]
    # the legend, and a bar of each image that boots
    assert body.count(f'class="{event}"') >= 3
    colours = {(other.light, other.dark) for other in Event}
    assert len(colours) == len(Event)


def test_the_legend_has_what_came() -> None:
    """Not the events after the one at which the boots end."""
    made, last = result(), list(Event).index(Event.FW_DO_BOOT)
    for row in made.rows:
        for run in row.runs:
            for event in list(Event)[last + 1 :]:
                run.events.pop(event, None)
    legend = report.html(made).partition('<ul class="legend">')[2].partition("</ul>")[0]
    assert re.findall(r'<rect class="(\w+)"', legend) == list(Event)[: last + 1]


def test_bars_are_to_scale() -> None:
    ours, qboot, broken = result().rows
    chart = report.waterfall([ours, qboot, broken], 300.0)
    first, second, third = chart.lanes
    assert third.segments == [] and "nothing more came" in third.value
    for lane, events in ((first, ours), (second, qboot)):
        ends = [s.x + s.width for s in lane.segments]
        assert [s.x for s in lane.segments[1:]] == pytest.approx(ends[:-1], abs=0.01)
        medians = [events.at(event)[1] for event in Event]
        scale = [end / at for end, at in zip(ends, medians, strict=True) if at]
        assert scale == pytest.approx([scale[0]] * len(scale), rel=0.001)
    end, text = chart.ticks[1]
    assert float(text) / end == pytest.approx((medians[-1] or 0) / ends[-1], rel=0.001)


@pytest.mark.parametrize("longest", [0.004, 0.3, 1.0, 7.0, 99.0, 4711.0])
def test_scale(longest: float) -> None:
    end, ticks = report.scale(longest)
    assert end >= longest
    assert 2 <= len(ticks) <= report.TICKS + 1
    assert ticks[0] == (0, "0")
    assert all(0 <= x <= 100 for x, _ in ticks)


def browse(page: str, folder: Path, *options: str) -> dict[str, Any]:
    """The measurements that the page's probe takes in headless Chromium."""
    if not shutil.which(CHROMIUM):
        need(CHROMIUM)
    path = folder / "boot.html"
    path.write_text(page.replace("</body>", PROBE))
    argv = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        f"--user-data-dir={folder / 'profile'}",
        *options,
        path.as_uri(),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert found, done.stdout[:500]
    return dict(json.loads(found[1]))


@pytest.mark.parametrize("width", [390, 1100])
def test_in_a_browser(width: int, page: str, tmp_path: Path) -> None:
    seen = browse(page, tmp_path, f"--window-size={width},900")
    assert seen["overflow"] <= 0, "the page scrolls sideways"
    assert seen["bars"] > 10 and seen["invisible"] == 0
    assert seen["colours"] == len(Event)
    assert seen["back"] == "rgb(255, 255, 255)"


def test_in_the_dark(page: str, tmp_path: Path) -> None:
    seen = browse(page, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert seen["back"] == "rgb(20, 23, 26)"
    assert seen["colours"] == len(Event)
