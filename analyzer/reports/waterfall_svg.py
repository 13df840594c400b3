"""A trace as a waterfall: who ran when, coloured by role, the origin ringed, the critical path and the excess shown.

In: a measured trace and its answer. Out: SVG text. At most `ROWS_MAX` rows: the origin, the causal chain, spans with a
role or an excess and the longest ones stay, with the spans above them; the others are folded where they stood, long
runs of like calls always, and each fold says how many. Names are hostile and escaped.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.analysis import Analysis
from analyzer.findings import Answer, Excess
from analyzer.reports.svg import element, fitted, label, text_of
from analyzer.words import ms, named, shown, span_ref

ROWS_MAX = 60
FILLER_SHARE = 0.05  # of the time of a large trace: a span without a part in the story that is shorter is folded
ALIKE_MAX, ALIKE_FIRST = 8, 4  # a longer run of like calls is folded after its first ones
WIDTH, LABELS, TIMES = 1000, 330, 92  # pixels: of all, of the names, of the durations at the right
ROW, HEAD, FOOT = 22, 34, 56
INDENT, DEPTH_MAX = 11, 12  # deeper spans are not moved further right
BAR_MIN = 2.0
NAME_SIZE = 11.5
ROLE_COLOURS = {
    "origin": "#c0261c",
    "unseen_dependency": "#c0261c",
    "propagated": "#dd7a26",
    "transformed": "#b8860b",
    "victim": "#7d5bbe",
    "recovered": "#2f8f4e",
    "handled": "#1f8a8a",
    "noise": "#8a8f98",
    "": "#7f9cc4",
}
ROLE_WORDS = {
    "origin": "origin",
    "unseen_dependency": "unseen dependency shows here",
    "propagated": "passed it on",
    "transformed": "passed it on as another error",
    "victim": "cancelled",
    "recovered": "recovered by a retry",
    "handled": "handled",
    "noise": "noise",
    "": "no part in it",
}


class _Row(NamedTuple):
    """A span, or a fold when `folded` is not 0."""

    node: int
    depth: int
    folded: int = 0


def waterfall_svg(analysis: Analysis, trace: int, answer: Answer) -> str:
    """Draw one trace."""
    nodes = analysis.forest.nodes(trace)
    if not len(nodes):
        return ""
    rows = _rows(analysis, nodes, answer)
    begin = min(int(analysis.forest.start_ns[node]) for node in nodes)
    end = max(int(analysis.forest.end_ns[node]) for node in nodes)
    paper = _Paper(analysis, answer, begin, max(1, end - begin))
    height = HEAD + ROW * len(rows) + FOOT
    parts = [paper.axis(HEAD + ROW * len(rows))]
    parts += [paper.row(row, HEAD + ROW * place) for place, row in enumerate(rows)]
    parts.append(paper.legend(HEAD + ROW * len(rows) + 20, [row.node for row in rows if not row.folded]))
    told = f"Waterfall of trace {answer.trace_id}: {len(nodes)} spans in {ms(end - begin)}"
    return element(
        "svg",
        f"<title>{text_of(told)}</title>" + "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        class_="waterfall",
        font_family="system-ui, sans-serif",
    )


def _rows(analysis: Analysis, nodes: range, answer: Answer) -> list[_Row]:
    """Which spans are shown, in the order of the tree, and where the others are folded."""
    parent = analysis.forest.parent
    depth: dict[int, int] = {}
    order: list[int] = []
    roots = [node for node in nodes if int(parent[node]) < 0]
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        above = int(parent[node])
        depth[node] = depth[above] + 1 if above >= 0 else 0
        order.append(node)
        stack += [int(child) for child in reversed(analysis.forest.children(node))]
    alike = _alike(analysis, order, answer)
    if len(order) - len(alike) <= ROWS_MAX:
        kept = set(order) - alike
    else:
        kept = _kept(analysis, order, answer)
    rows: list[_Row] = []
    for node in order:
        if node in kept:
            rows.append(_Row(node, depth[node]))
        elif rows and rows[-1].folded:
            rows[-1] = rows[-1]._replace(folded=rows[-1].folded + 1)
        else:
            rows.append(_Row(node, depth[node], 1))
    return rows


def _alike(analysis: Analysis, order: list[int], answer: Answer) -> set[int]:
    """The middle of long runs of like calls: leaves of one operation under one span, without a part in the story."""
    told = _telling(answer)
    hidden: set[int] = set()
    run: list[int] = []
    last: tuple[int, int] | None = None
    for node in [*order, -1]:
        key = None
        if node >= 0 and not len(analysis.forest.children(node)) and span_ref(analysis, node).span_id not in told:
            row = analysis.traces.rows[analysis.forest.row[node]]
            key = int(analysis.forest.parent[node]), int(row["operation"])
        if key is None or key != last:
            if len(run) > ALIKE_MAX:
                hidden |= set(run[ALIKE_FIRST:-1])
            run = []
        last = key
        if key is not None:
            run.append(node)
    return hidden


def _telling(answer: Answer) -> dict[str, int]:
    """Span ids with a part in the story, the most telling with the lowest number."""
    telling: dict[str, int] = {}
    for cause in answer.root_causes[:1]:
        telling |= dict.fromkeys((span.span_id for span in cause.origin_spans), 0)
    for step in answer.causal_chain:
        telling.setdefault(step.span.span_id, 1)
    for role in answer.roles:
        telling.setdefault(role.span_id, 2)
    for excess in answer.latency.excess if answer.latency is not None else []:
        telling.setdefault(excess.span.span_id, 2)
    return telling


def _kept(analysis: Analysis, order: list[int], answer: Answer) -> set[int]:
    """The most telling spans with all above them; folds need rows too, so half of the rows is for spans."""
    telling = _telling(answer)
    forest = analysis.forest
    ids = {node: span_ref(analysis, node).span_id for node in order}
    wanted = sorted(
        order, key=lambda node: (telling.get(ids[node], 9), -int(forest.end_ns[node] - forest.start_ns[node]), node)
    )
    length = max(int(forest.end_ns[node]) for node in order) - min(int(forest.start_ns[node]) for node in order)
    kept: set[int] = set()
    for node in wanted:
        if ids[node] not in telling and int(forest.end_ns[node] - forest.start_ns[node]) < FILLER_SHARE * length:
            continue
        way = [node]
        while int(forest.parent[way[-1]]) >= 0 and len(way) <= ROWS_MAX:
            way.append(int(forest.parent[way[-1]]))
        fresh = set(way) - kept
        if len(kept) + len(fresh) <= ROWS_MAX // 2:
            kept |= fresh
    return kept


class _Paper:
    """Where things stand."""

    def __init__(self, analysis: Analysis, answer: Answer, begin_ns: int, length_ns: int) -> None:
        self._analysis, self._begin, self._length = analysis, begin_ns, length_ns
        self._roles = {role.span_id: str(role.role) for role in answer.roles}
        self._origins = {span.span_id for cause in answer.root_causes[:1] for span in cause.origin_spans}
        self._excess: dict[str, Excess] = {}
        if answer.latency is not None and answer.verdict in ("latency", "mixed"):
            self._excess = {one.span.span_id: one for one in answer.latency.excess if one.excess_ns > 0}
        self._plot = WIDTH - LABELS - TIMES

    def _x(self, time_ns: int) -> float:
        return LABELS + (time_ns - self._begin) / self._length * self._plot

    def axis(self, bottom: float) -> str:
        """Ticks at round times."""
        step = _tick(self._length)
        parts = []
        at = 0
        while at <= self._length:
            x = self._x(self._begin + at)
            anchor = "start" if at == 0 else "middle"
            parts.append(element("line", x1=x, x2=x, y1=HEAD - 8, y2=bottom, stroke="#d5d9e0", class_="grid"))
            parts.append(label(x, HEAD - 13, ms(at), font_size=11, fill="#5b6370", class_="dim", text_anchor=anchor))
            at += step
        return "".join(parts)

    def row(self, row: _Row, top: float) -> str:
        if row.folded:
            word = "span" if row.folded == 1 else "spans"
            x = 8 + INDENT * min(row.depth, DEPTH_MAX)
            text = f"\u2026 {row.folded} more {word} folded"
            return label(x, top + 15, text, font_size=11, fill="#5b6370", class_="dim", font_style="italic")
        node, forest = row.node, self._analysis.forest
        ref = span_ref(self._analysis, node)
        start, end = int(forest.start_ns[node]), int(forest.end_ns[node])
        left, right = self._x(start), max(self._x(end), self._x(start) + BAR_MIN)
        role = self._role(ref.span_id)
        origin = ref.span_id in self._origins
        name = named(ref.service, ref.operation)
        indent = 8 + INDENT * min(row.depth, DEPTH_MAX)
        weight = "700" if origin else "400"
        inner = [
            element("title", text_of(f"{name}, {ref.kind}, {ms(end - start)}, {ROLE_WORDS[role]}, span {ref.span_id}")),
            self._name(ref.service, ref.operation, indent, top, weight),
            element(
                "rect",
                x=left,
                y=top + 5,
                width=right - left,
                height=ROW - 10,
                rx=2,
                fill=ROLE_COLOURS[role],
                class_=f"bar role-{role or 'none'}",
            ),
        ]
        inner += self._critical(node, left, right, top)
        inner += self._over(ref.span_id, end - start, left, right, top)
        if origin:
            inner.append(
                element(
                    "rect",
                    x=left - 4,
                    y=top + 1.5,
                    width=right - left + 8,
                    height=ROW - 3,
                    rx=5,
                    fill="none",
                    stroke="#c0261c",
                    stroke_width=2,
                    class_="ring",
                )
            )
        inner.append(
            label(WIDTH - 6, top + 15, ms(end - start), font_size=11, fill="#3a414d", class_="ink", text_anchor="end")
        )
        return element("g", "".join(inner))

    def _role(self, span_id: str) -> str:
        role = self._roles.get(span_id, "")
        return "origin" if span_id in self._origins and role not in ("unseen_dependency",) else role

    def _name(self, service: str, operation: str, indent: float, top: float, weight: str) -> str:
        """Service in bold dim, operation after it, cut to the column."""
        room = LABELS - indent - 14
        name = fitted(f"{shown(service)} {shown(operation)}", room, NAME_SIZE)
        cut = min(len(shown(service)), len(name))
        inner = element("tspan", text_of(name[:cut]) or " ", fill="#5b6370", class_="dim") + text_of(name[cut:])
        return element(
            "text",
            inner,
            x=indent,
            y=top + 15,
            font_size=NAME_SIZE,
            font_weight=weight,
            fill="#1d232c",
            class_="ink",
            **{"xml:space": "preserve"},
        )

    def _critical(self, node: int, left: float, right: float, top: float) -> list[str]:
        """A dark line below bars that hold time of the critical path; its length is that time."""
        own = int(self._analysis.critical_ns[node])
        if own <= 0:
            return []
        length = max(BAR_MIN, min(right - left, own / self._length * self._plot))
        return [element("rect", x=left, y=top + ROW - 5, width=length, height=2.5, fill="#1d232c", class_="critical")]

    def _over(self, span_id: str, duration_ns: int, left: float, right: float, top: float) -> list[str]:
        """The part of a bar that is more than usual, at its end."""
        excess = self._excess.get(span_id)
        if excess is None or duration_ns <= 0:
            return []
        width = max(BAR_MIN, (right - left) * min(1.0, excess.excess_ns / duration_ns))
        text = f"+{ms(excess.excess_ns)}"
        inside = right - left > 70
        mark = element(
            "rect", x=right - width, y=top + 5, width=width, height=ROW - 10, rx=2, fill="#f2c230", class_="excess"
        )
        if inside:
            shown_at = label(
                right - 6, top + 15, text, font_size=10.5, fill="#1d232c", text_anchor="end", font_weight="600"
            )
            return [mark, shown_at]
        before = right > LABELS + self._plot - 60
        x, anchor = (left - 8, "end") if before else (right + 8, "start")
        return [mark, label(x, top + 15, text, font_size=10.5, fill="#8a6a00", class_="over", text_anchor=anchor)]

    def legend(self, top: float, nodes: list[int]) -> str:
        """Only what is in the drawing."""
        ids = [span_ref(self._analysis, node).span_id for node in nodes]
        roles = [role for role in ROLE_COLOURS if role in {self._role(span_id) for span_id in ids}]
        parts, x = [], 8.0
        items = [(ROLE_COLOURS[role], ROLE_WORDS[role], f"bar role-{role or 'none'}") for role in roles]
        items.append(("#1d232c", "time on the critical path", "critical"))
        if any(span_id in self._excess for span_id in ids):
            items.append(("#f2c230", "more than usual", "excess"))
        for colour, word, kind in items:
            line = kind == "critical"
            height = 3 if line else 10
            parts.append(
                element(
                    "rect", x=x, y=top + (4 if line else 0), width=14, height=height, rx=1, fill=colour, class_=kind
                )
            )
            parts.append(label(x + 19, top + 9, word, font_size=11, fill="#3a414d", class_="ink"))
            x += 34 + len(word) * 6.3
        return "".join(parts)


def _tick(length_ns: int) -> int:
    """A round step that gives four to ten ticks."""
    step = 1
    while step * 10 <= length_ns:
        step *= 10
    for factor in (1, 2, 5):
        if length_ns / (step * factor) <= 8 and length_ns / (step * factor) >= 3:
            return step * factor
    return max(1, step // 2) if length_ns / step < 3 else step * 2
