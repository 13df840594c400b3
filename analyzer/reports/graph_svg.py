"""A service graph as SVG: callers left, callees right; the origin ringed, what sent no spans dashed, failing calls red.

In: the plain values of `service_graph.to_json`. Out: SVG text. Layers by longest path once circles are cut; places in a
layer by two sweeps of barycentres (Sugiyama). At most `NODES_MAX` nodes; what is left out is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from analyzer.graph_text import visible
from analyzer.reports.svg import element, fitted, label, number, text_of

NODES_MAX = 24
BOX_W, BOX_H, GAP_X, GAP_Y, EDGE = 158, 48, 96, 26, 16
LANE_H = 12.0
SWEEPS = 4
_KIND_WORDS = {
    "database": "database",
    "queue": "queue",
    "external": "no spans from it",
    "client": "not traced",
    "missing": "missing",
    "other": "folded",
}
_ERROR, _CALM, _INK, _DIM = "#c0261c", "#8a93a2", "#1d232c", "#5b6370"


class _Edge(NamedTuple):
    caller: str
    callee: str
    calls: int
    errors: int
    on_chain: bool


def graph_svg(graph: Mapping[str, Any], origin_service: str = "") -> str:
    """Draw a service graph; empty text when there is no node.

    Parameters
    ----------
    graph : as `service_graph.to_json` writes it
    origin_service : ringed when no node of the graph is a root cause (its name stands in no attribute)
    """
    nodes = {str(node["id"]): node for node in graph["nodes"]}
    if not nodes:
        return ""
    if not any(node["root_cause_rank"] == 1 for node in nodes.values()):
        shows = f"service:{origin_service}"
        if shows in nodes:
            nodes[shows] = {**nodes[shows], "root_cause_rank": 1}
    kept = _kept(nodes)
    edges = _edges(graph["edges"], kept)
    columns, lanes = _columns(list(kept), edges)
    heights = [sum(_height(name, kept) for name in column) + GAP_Y * (len(column) - 1) for column in columns]
    width = EDGE * 2 + len(columns) * BOX_W + (len(columns) - 1) * GAP_X
    height = EDGE * 2 + max(heights) + 8
    places: dict[str, tuple[float, float]] = {}
    for at, column in enumerate(columns):
        top = (height - heights[at]) / 2
        for name in column:
            places[name] = (EDGE + at * (BOX_W + GAP_X), top)
            top += _height(name, kept) + GAP_Y
    out = Counter(edge.caller for edge in edges)
    into = Counter(edge.callee for edge in edges)
    drawn = [
        _draw_edge(edge, places, lanes.get((edge.caller, edge.callee), []), out[edge.caller] > into[edge.callee])
        for edge in edges
    ]
    drawn += [_draw_node(kept[name], places[name]) for name in places if name in kept]
    left_out = len(nodes) - len(kept)
    if left_out:
        text = f"{left_out} more parties are left out"
        drawn.append(label(EDGE, height + 12, text, font_size=11, fill=_DIM, class_="dim"))
        height += 20
    told = f"Service graph of {len(nodes)} parties"
    return element(
        "svg",
        f"<title>{text_of(told)}</title>" + "".join(drawn),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        role="img",
        class_="graph",
        font_family="system-ui, sans-serif",
    )


def _height(name: str, kept: Mapping[str, Any]) -> float:
    return BOX_H if name in kept else LANE_H


def _kept(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Culprits, the chain, then what failed and what was called most."""
    order = sorted(
        nodes,
        key=lambda name: (
            nodes[name]["root_cause_rank"] or 99,
            not nodes[name]["on_causal_chain"],
            -int(nodes[name]["error_count"]),
            -int(nodes[name]["call_count"]),
        ),
    )
    chosen = set(order[:NODES_MAX])
    return {name: node for name, node in nodes.items() if name in chosen}


def _edges(edges: Sequence[Mapping[str, Any]], kept: Mapping[str, Any]) -> list[_Edge]:
    """One edge per pair, whatever rules saw its calls."""
    found: dict[tuple[str, str], _Edge] = {}
    for edge in edges:
        key = str(edge["caller"]), str(edge["callee"])
        if key[0] not in kept or key[1] not in kept or key[0] == key[1]:
            continue
        before = found.get(key, _Edge(*key, 0, 0, False))
        found[key] = _Edge(
            *key,
            before.calls + int(edge["count"]),
            before.errors + int(edge["error_count"]),
            before.on_chain or bool(edge["on_causal_chain"]),
        )
    return list(found.values())


def _columns(names: list[str], edges: Sequence[_Edge]) -> tuple[list[list[str]], dict[tuple[str, str], list[str]]]:
    """Layers: longest path from a source, circles cut where a walk first comes back; then sweeps.

    An edge over several layers gets a lane in each layer between: an empty place that no box stands in.
    """
    below: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        below[edge.caller].append(edge.callee)
    called = {edge.callee for edge in edges}
    order, forward = _walk([*(name for name in names if name not in called), *names], below)
    layer = dict.fromkeys(names, 0)
    for name in order:  # callers before callees
        for callee in forward[name]:
            layer[callee] = max(layer[callee], layer[name] + 1)
    columns: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for name in names:
        columns[layer[name]].append(name)
    near: dict[str, list[str]] = {name: [] for name in names}
    lanes: dict[tuple[str, str], list[str]] = {}
    for edge in edges:
        way = [edge.caller]
        for between in range(layer[edge.caller] + 1, layer[edge.callee]):
            way.append(f"\0{len(near)}")  # no id of a party begins so
            near[way[-1]] = []
            columns[between].append(way[-1])
        lanes[edge.caller, edge.callee] = way[1:]
        for caller, callee in pairwise([*way, edge.callee]):
            near[caller].append(callee)
            near[callee].append(caller)
    for sweep in range(SWEEPS):
        place = {name: row / max(1, len(column)) for column in columns for row, name in enumerate(column)}
        for column in columns if sweep % 2 == 0 else reversed(columns):
            column.sort(key=lambda name: _centre(name, near, place))
            place.update({name: row / max(1, len(column)) for row, name in enumerate(column)})
    return columns, lanes


def _centre(name: str, near: Mapping[str, list[str]], place: Mapping[str, float]) -> float:
    others = near[name]
    return sum(place[other] for other in others) / len(others) if others else place[name]


def _walk(starts: Sequence[str], below: Mapping[str, list[str]]) -> tuple[list[str], dict[str, list[str]]]:
    """Depth first, without recursion: an order with callers first, and the edges that close no circle."""
    forward: dict[str, list[str]] = {name: [] for name in below}
    state: dict[str, int] = {}
    done: list[str] = []
    for start in starts:
        if start in state:
            continue
        state[start] = 1
        stack = [(start, iter(below[start]))]
        while stack:
            name, rest = stack[-1]
            callee = next(rest, None)
            if callee is None:
                state[name] = 2
                done.append(name)
                stack.pop()
            elif state.get(callee) != 1:
                forward[name].append(callee)
                if callee not in state:
                    state[callee] = 1
                    stack.append((callee, iter(below[callee])))
    return done[::-1], forward


def _draw_edge(edge: _Edge, places: Mapping[str, tuple[float, float]], lanes: Sequence[str], at_end: bool) -> str:
    """A curve from box to box through its lanes, an arrow head, and how many calls."""
    (x1, y1), (x2, y2) = places[edge.caller], places[edge.callee]
    y1, y2 = y1 + BOX_H / 2, y2 + BOX_H / 2
    toward = 1.0
    if x2 > x1:
        points = [(x1 + BOX_W, y1)]
        for lane in lanes:
            x, y = places[lane]
            points += [(x, y + LANE_H / 2), (x + BOX_W, y + LANE_H / 2)]
        points.append((x2, y2))
    elif x2 < x1:
        points, toward = [(x1, y1), (x2 + BOX_W, y2)], -1.0
    else:
        points, toward = [(x1 + BOX_W, y1), (x2 + BOX_W, y2)], -1.0
    bend = GAP_X / 2 if x2 >= x1 else -GAP_X / 2
    path = f"M{_at(*points[0])}"
    for place, ((ax, ay), (bx, by)) in enumerate(pairwise(points)):
        if place % 2:
            path += f" L{_at(bx, by)}"
        else:
            other = bx + bend if x2 == x1 else bx - bend
            path += f" C{_at(ax + bend, ay)} {_at(other, by)} {_at(bx, by)}"
    colour = _ERROR if edge.errors else _CALM
    kind = "edge error" if edge.errors else "edge"
    tip = f"M{_at(*points[-1])} l{_at(-9 * toward, -4.5)} l0,9 z"
    words = f"{edge.calls:,} call" + ("s" if edge.calls != 1 else "")
    if edge.errors:
        words = f"{edge.errors:,} of {edge.calls:,} failed"
    x, y = points[-1] if at_end else points[0]
    x += (-18 if at_end else 11) * (toward if x2 != x1 else -1.0)
    anchor = "end" if at_end == (x2 > x1) else "start"
    return "".join(
        (
            element(
                "path",
                d=path,
                fill="none",
                stroke=colour,
                stroke_width=2.4 if edge.on_chain or edge.errors else 1.4,
                class_=kind,
            ),
            element("path", d=tip, fill=colour, class_=f"{kind} tip"),
            label(
                x,
                y - 6,
                words,
                font_size=10.5,
                fill=colour if edge.errors else _DIM,
                class_="over" if edge.errors else "dim",
                text_anchor=anchor,
                paint_order="stroke",
                stroke="#ffffff",
                stroke_width=3,
            ),
        )
    )


def _at(x: float, y: float) -> str:
    return f"{number(x)},{number(y)}"


def _draw_node(node: Mapping[str, Any], place: tuple[float, float]) -> str:
    x, y = place
    origin = node["root_cause_rank"] == 1
    failed = int(node["error_count"]) > 0
    name = visible(str(node["name"])) or "(no name)"
    about = _KIND_WORDS.get(str(node["kind"]), "")
    if node["observed"]:
        about = f"{node['span_count']:,} spans" + (f", {node['error_count']:,} failed" if failed else "")
    system = visible(str(node["system"]))
    if system and not node["observed"]:
        about = f"{system}, {about}" if about else system
    attributes: dict[str, str | float] = {
        "stroke": _ERROR if origin or failed else "#9aa3b2",
        "stroke_width": 1.6,
        "fill": "#ffffff",
        "class_": "box" + (" failed" if failed or origin else ""),
    }
    if not node["observed"]:
        attributes["stroke_dasharray"] = "6 4"
    inner = [element("title", text_of(f"{name}: {visible(str(node['reason']))}"))]
    if origin:
        inner.append(
            element(
                "rect",
                x=x - 5,
                y=y - 5,
                width=BOX_W + 10,
                height=BOX_H + 10,
                rx=12,
                fill="none",
                stroke=_ERROR,
                stroke_width=2.5,
                class_="ring",
            )
        )
    inner.append(element("rect", x=x, y=y, width=BOX_W, height=BOX_H, rx=8, **attributes))
    weight = "700" if origin else "600"
    inner.append(
        label(
            x + BOX_W / 2,
            y + 21,
            fitted(name, BOX_W - 16, 13),
            font_size=13,
            font_weight=weight,
            fill=_INK,
            class_="ink",
            text_anchor="middle",
        )
    )
    inner.append(
        label(
            x + BOX_W / 2,
            y + 37,
            fitted(about, BOX_W - 16, 10.5),
            font_size=10.5,
            fill=_DIM,
            class_="dim",
            text_anchor="middle",
        )
    )
    return element("g", "".join(inner))
