"""A service graph in text: Graphviz DOT and Mermaid.

In: the plain values of `service_graph.to_json`. Out: text. Names come from telemetry and are hostile: they are
never identifiers, only quoted labels, and no character of theirs can end the quotes, open a tag or reorder the line.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

NAME_MAX = 120  # characters of a name that are shown

_DOT_SHAPES = {
    "service": "box",
    "database": "cylinder",
    "queue": "cds",
    "external": "hexagon",
    "client": "ellipse",
    "missing": "octagon",
    "other": "folder",
}
_MERMAID_SHAPES = {
    "service": ("[", "]"),
    "database": ("[(", ")]"),
    "queue": ("[[", "]]"),
    "external": ("{{", "}}"),
    "client": ("([", "])"),
    "missing": (">", "]"),
    "other": ("[/", "/]"),
}
_MERMAID_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,_-")


def visible(text: str) -> str:
    """Show what cannot be seen (controls, bidirectional marks, surrogates) as U+FFFD."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else c for c in text)


def visible_lines(text: str) -> str:
    """The same for several lines; whatever system wrote them, a line ends with one line feed. Tabs become blanks."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    return "\n".join(visible(line.replace("\t", "    ")) for line in lines)


def dot_quoted(text: str) -> str:
    """Quote a label for DOT: no backslash escape of ours or theirs, entities for what HTML would read."""
    shown = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return '"' + shown.replace("\\", "\\\\").replace('"', "&quot;") + '"'


def mermaid_quoted(text: str) -> str:
    """Quote a label for Mermaid: all but letters, digits and a few signs become `#code;`."""
    shown = visible(text)
    return '"' + "".join(c if c in _MERMAID_PLAIN else f"#{ord(c)};" for c in shown) + '"'


def dot_text(graph: Mapping[str, Any]) -> str:
    """Write the graph for Graphviz; a red frame is the root cause, dashes are inferred."""
    lines = ["digraph service_graph {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    index: dict[str, str] = {}
    for i, node in enumerate(graph["nodes"]):
        index[node["id"]] = f"n{i}"
        attributes = {
            "label": dot_quoted(_node_label(node)),
            "shape": _DOT_SHAPES.get(node["kind"], "box"),
            "style": "solid" if node["observed"] else "dashed",
        }
        if node["root_cause_rank"] == 1:
            attributes |= {"color": '"#c00000"', "penwidth": "3"}
        lines.append(f"  n{i} [{_pairs(attributes)}];")
    for edge in graph["edges"]:
        attributes = {"label": dot_quoted(_edge_label(edge))}
        if edge["error_count"] or edge["root_cause_rank"] == 1:
            attributes["color"] = '"#c00000"'
        if edge["rule"] not in ("client_server", "producer_consumer"):
            attributes["style"] = "dashed"
        if edge["on_causal_chain"]:
            attributes["penwidth"] = "2"
        lines.append(f"  {index[edge['caller']]} -> {index[edge['callee']]} [{_pairs(attributes)}];")
    return "\n".join([*lines, "}", ""])


def mermaid_text(graph: Mapping[str, Any]) -> str:
    """Write the graph as a Mermaid flowchart; class `rootcause` is the root cause, `inferred` has no spans."""
    lines = ["flowchart LR"]
    index: dict[str, str] = {}
    classes: dict[str, list[str]] = {"rootcause": [], "inferred": []}
    for i, node in enumerate(graph["nodes"]):
        index[node["id"]] = f"n{i}"
        begin, end = _MERMAID_SHAPES.get(node["kind"], ("[", "]"))
        lines.append(f"  n{i}{begin}{mermaid_quoted(_node_label(node))}{end}")
        if node["root_cause_rank"] == 1:
            classes["rootcause"].append(f"n{i}")
        elif not node["observed"]:
            classes["inferred"].append(f"n{i}")
    wrong: list[str] = []
    for i, edge in enumerate(graph["edges"]):
        arrow = "-->" if edge["rule"] in ("client_server", "producer_consumer") else "-.->"
        label = mermaid_quoted(_edge_label(edge))
        lines.append(f"  {index[edge['caller']]} {arrow}|{label}| {index[edge['callee']]}")
        if edge["error_count"] or edge["root_cause_rank"] == 1:
            wrong.append(str(i))
    lines.append("  classDef rootcause stroke:#c00000,stroke-width:4px")
    lines.append("  classDef inferred stroke-dasharray:5 5")
    lines += [f"  class {','.join(members)} {name}" for name, members in classes.items() if members]
    if wrong:
        lines.append(f"  linkStyle {','.join(wrong)} stroke:#c00000")
    return "\n".join([*lines, ""])


def _pairs(attributes: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in attributes.items())


def _node_label(node: Mapping[str, Any]) -> str:
    name = node["name"]
    words = [name if len(name) <= NAME_MAX else name[: NAME_MAX - 1] + "…", _times(node["call_count"], "call")]
    if node["error_count"]:
        words.append(_times(node["error_count"], "error"))
    if node["root_cause_rank"] is not None:
        words.append(f"root cause {node['root_cause_rank']}")
    return ", ".join(words)


def _edge_label(edge: Mapping[str, Any]) -> str:
    words = [_times(edge["count"], "call")]
    if edge["error_count"]:
        words.append(_times(edge["error_count"], "error"))
    if edge["count"] and edge["duration_sum_ns"]:
        words.append(f"mean {edge['duration_sum_ns'] / edge['count'] / 1e6:.1f} ms")
    if edge["queue_wait_count"]:
        words.append(f"wait {edge['queue_wait_sum_ns'] / edge['queue_wait_count'] / 1e6:.1f} ms")
    return ", ".join([*words, edge["rule"]])


def _times(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
