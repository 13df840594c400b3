"""Pages and drawings: well-formed, escaped, bounded, legible; opened in a browser when there is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.engine import Analyzer
from analyzer.reports.graph_svg import NODES_MAX, graph_svg
from analyzer.reports.html import CONTENT_SECURITY_POLICY, to_html
from analyzer.reports.svg import fitted, text_of
from analyzer.reports.waterfall_svg import ROWS_MAX, waterfall_svg
from analyzer.service_graph import to_json, trace_graph
from collector.reporting import page_of_trace
from tests.support.drawing import Drawing, batch, draw
from tests.support.reported import Reporter, shop_reporter
from tests.support.shop import FAULTS

SVG = "{http://www.w3.org/2000/svg}"
CHECKOUT = draw(
    """
    gateway   GET /checkout            0..100  ERROR http.response.status_code=500
      gateway   CLIENT payment.Charge    45..95  ERROR  server.address=payment http.response.status_code=500
        payment   Charge                   50..90  ERROR  http.response.status_code=500 !KeyError: "sku"
          payment   CLIENT SELECT cards      55..60 db.system.name=mysql server.address=cards
    """
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def drawn(drawing: Drawing, reporter: Reporter | None = None) -> tuple[str, str]:
    """Waterfall and graph."""
    who = reporter or Reporter()
    verdicts = who.analyzer.analyse(batch(drawing, who.words))
    answer = who.analyzer.explain(verdicts, 0)
    graph = to_json(trace_graph(verdicts.analysis, 0, answer))
    return waterfall_svg(verdicts.analysis, 0, answer), graph_svg(graph)


def classed(svg: str, name: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(svg).iter() if name in one.get("class", "").split()]


def number(element: ElementTree.Element, key: str) -> float:
    return float(element.get(key, "nan"))


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_origin_is_ringed_and_coloured():
    """One ring, around the bar of the origin."""
    waterfall, _ = drawn(CHECKOUT)

    (ring,), (bar,) = classed(waterfall, "ring"), classed(waterfall, "role-origin")[:1]

    assert number(ring, "x") < number(bar, "x")
    assert number(ring, "y") < number(bar, "y")
    assert number(ring, "width") > number(bar, "width")


def test_bars_stand_where_the_spans_ran():
    """Payment runs from 50 to 90 of 100 ms: the same share of the plot."""
    waterfall, _ = drawn(CHECKOUT)

    bars = [one for one in classed(waterfall, "bar") if number(one, "height") == 12]
    left, width = number(bars[0], "x"), number(bars[0], "width")
    starts = [round((number(bar, "x") - left) / width * 100) for bar in bars]

    assert starts == [0, 45, 50, 55]
    assert round(number(bars[2], "width") / width * 100) == 40


def test_every_bar_and_label_is_inside_the_drawing():
    for fault in FAULTS:
        waterfall, graph = drawn(fault.drawing())
        for svg in (waterfall, graph):
            root = ElementTree.fromstring(svg)
            _, _, width, height = (float(word) for word in root.get("viewBox", "").split())
            for one in root.iter(f"{SVG}rect"):
                assert number(one, "x") >= -1
                assert number(one, "x") + number(one, "width") <= width + 1
                assert number(one, "y") + number(one, "height") <= height + 1


def test_excess_is_shown_with_its_milliseconds():
    slow = next(fault for fault in FAULTS if fault.name == "slow_query")
    waterfall, _ = drawn(slow.drawing(), shop_reporter())

    assert len(classed(waterfall, "excess")) >= 2  # the bar and the legend
    assert "+800 ms" in texts(waterfall)


def test_a_large_trace_is_folded_and_says_so():
    """Three hundred spans: at most ROWS_MAX rows, the origin among them, and the folds add up to the rest."""
    lines = ["shop GET / 0..4000 ERROR http.response.status_code=500"]
    lines += [
        f"  shop step {i} {i * 10}..{i * 10 + 9}\n    shop part {i} {i * 10 + 1}..{i * 10 + 8}" for i in range(150)
    ]
    lines += ["  stock POST /reserve 3000..3900 ERROR http.response.status_code=500 !KeyError"]
    waterfall, _ = drawn(draw("\n".join(lines)))

    rows = [text for text in texts(waterfall) if text.startswith("\u2026")]
    folded = sum(int(re.sub(r"\D", "", text)) for text in rows)
    shown = len([one for one in classed(waterfall, "bar") if number(one, "height") == 12])

    assert shown + len(rows) <= ROWS_MAX
    assert shown + folded == 302
    assert any("stock POST /reserve" in text for text in texts(waterfall))


def test_long_runs_of_like_calls_are_folded():
    many = next(fault for fault in FAULTS if fault.name == "n_plus_one")
    waterfall, _ = drawn(many.drawing())

    assert "\u2026 35 more spans folded" in texts(waterfall)


def test_callers_stand_left_of_callees_and_what_sent_no_spans_is_dashed():
    _, graph = drawn(CHECKOUT)

    boxes = classed(graph, "box")
    names = [text for text in texts(graph) if text in ("user", "gateway", "payment", "cards")]
    left = {name: number(box, "x") for name, box in zip(names, boxes, strict=True)}
    dashed = {name for name, box in zip(names, boxes, strict=True) if box.get("stroke-dasharray")}

    assert left["user"] < left["gateway"] < left["payment"] < left["cards"]
    assert dashed == {"user", "cards"}
    assert len(classed(graph, "ring")) == 1
    assert len([one for one in classed(graph, "error") if "tip" not in one.get("class", "")]) == 2


def test_a_circle_of_services_can_be_drawn():
    """A calls B calls A: two boxes, two edges, no endless walk."""
    _, graph = drawn(
        draw(
            """
            a GET /1 0..100
              a CLIENT GET 1..99 server.address=b
                b GET /2 2..98
                  b CLIENT GET 3..97 server.address=a
                    a GET /3 4..96
            """
        )
    )

    edges = [one for one in classed(graph, "edge") if "tip" not in one.get("class", "")]

    assert len(edges) == 3
    assert len(classed(graph, "box")) == 3


def test_a_large_graph_is_cut_and_says_so():
    calls = "\n".join(f"  shop CLIENT GET {i}..{i + 1} server.address=peer-{i}" for i in range(60))
    _, graph = drawn(draw(f"shop GET / 0..100\n{calls}"))

    assert len(classed(graph, "box")) == NODES_MAX
    assert f"{62 - NODES_MAX} more parties are left out" in texts(graph)


def test_boxes_do_not_cover_one_another():
    for fault in FAULTS:
        boxes = classed(drawn(fault.drawing())[1], "box")
        places = [(number(box, "x"), number(box, "y")) for box in boxes]
        for at, (x, y) in enumerate(places):
            for other_x, other_y in places[at + 1 :]:
                assert abs(x - other_x) >= 158 or abs(y - other_y) >= 48


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_any_names_make_well_formed_drawings(service: str, operation: str):
    graph = {
        "nodes": [
            {
                "id": service,
                "name": operation,
                "kind": "service",
                "system": service,
                "observed": False,
                "reason": operation,
                "root_cause_rank": 1,
                "on_causal_chain": False,
                "error_count": 1,
                "call_count": 1,
                "span_count": 1,
            }
        ],
        "edges": [],
    }

    assert ElementTree.fromstring(graph_svg(graph)).tag == f"{SVG}svg"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=100))
def test_text_is_escaped_whatever_it_is(text: str):
    escaped = text_of(text)

    assert not re.search(r"[<>\"']", escaped)
    assert len("".join(ElementTree.fromstring(f"<a>{escaped}</a>").itertext())) == len(text)
    assert len(fitted(text, 50, 10)) <= max(3, 9)


def test_the_page_names_its_style_by_hash_and_has_no_other():
    answer = Analyzer().answer(batch(CHECKOUT))
    html = page_of_trace(answer, CHECKOUT.requests()[0]).write("html")

    assert html.count("<style>") == 1
    assert "style-src 'sha256-" in CONTENT_SECURITY_POLICY
    assert not re.search(r"<[^>]*\sstyle=", html)
    assert "<script" not in html
    assert html.index("Summary and root cause") < html.index("Five whys") < html.index("Evidence")


def opened(page: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Open a page in Chromium, without its services and without a network."""
    assert CHROMIUM is not None
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    words += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
    words += ["--window-size=1100,1600", "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={out / 'profile'}"]
    command = [CHROMIUM, *words, *more, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)


@pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ,
    reason="no Chromium on this machine; the drawings are checked by the tests above; CI has it",
)
def test_a_browser_shows_the_page_with_its_style(tmp_path: Path):
    """The policy lets the style in (the page's background is ours), and nothing is reported as blocked."""
    answer = Analyzer().answer(batch(CHECKOUT))
    page = tmp_path / "report.html"
    page.write_text(page_of_trace(answer, CHECKOUT.requests()[0]).write("html"), "utf-8")
    picture = tmp_path / "report.png"

    shown = opened(page, tmp_path, f"--screenshot={picture}", "--enable-logging=stderr")
    dom = opened(page, tmp_path, "--dump-dom").stdout

    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size > 50_000  # an unstyled or empty page is smaller
    assert "Content Security Policy" not in shown.stderr
    assert "gateway GET /checkout failed" in dom
    assert dom.count("<svg") == 2


def test_a_page_without_drawings_is_whole():
    _, report = Reporter().report(CHECKOUT)

    html = to_html(report)

    assert "<svg" not in html
    assert html.endswith("</html>\n")
