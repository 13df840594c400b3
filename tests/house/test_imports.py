"""The floors of the house: who may import whom. No circle, no arrow back up."""

from __future__ import annotations

import ast
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("analyzer", "collector")
    for path in sorted((ROOT / package).rglob("*.py"))
    if "pb" not in path.relative_to(ROOT).parts
}
# Rooms on the way of a trace meet in contracts.py, never one another.
ROOMS = ("receivers", "journal", "exporters", "query", "store", "assembly", "wire")
# The quiet half knows no network, no protobuf, no clock, no threads, no environment, no logging.
LOUD = (
    "collector",
    "grpc",
    "google",
    "opentelemetry",
    "asyncio",
    "threading",
    "multiprocessing",
    "time",
    "datetime",
    "os",
    "logging",
    "socket",
    "http",
    "subprocess",
    "sqlite3",
    "random",
    "secrets",
)
# Only these know every room.
KNOW_ALL = ("collector.app", "collector.cli", "collector.demo", "collector.analyze_files", "collector.evaluate_cases")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions; "package.name" for from-imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            assert node.module
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


IMPORTS = {name: imports(path) for name, path in MODULES.items()}


def under(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def room(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "collector" and len(parts) > 1 and parts[1] in ROOMS else None


@pytest.mark.parametrize("name", [name for name in MODULES if under(name, "analyzer")])
def test_the_analyzer_is_pure(name: str):
    """Columns in, findings out: nothing loud is imported."""
    assert [found for found in sorted(IMPORTS[name]) if under(found, *LOUD)] == []


@pytest.mark.parametrize("name", [name for name in MODULES if under(name, "analyzer.kernels")])
def test_kernels_know_arrays_only(name: str):
    """Of ours, a kernel may know other kernels and the layout of the rows."""
    ours = [found for found in IMPORTS[name] if under(found, "analyzer")]

    assert [
        found
        for found in sorted(ours)
        if not under(found, "analyzer.kernels", "analyzer.spans", "analyzer.error_classes", "analyzer.forest")
    ] == []


def test_only_graph_rooms_import_networkx():
    users = {name for name, found in IMPORTS.items() if any(under(one, "networkx") for one in found)}

    assert {name for name in users if not under(name, "analyzer.service_graph", "analyzer.incidents")} == set()


@pytest.mark.parametrize("name", [name for name in MODULES if room(name)])
def test_rooms_never_import_one_another(name: str):
    """They meet in contracts.py."""
    own = room(name)

    others = [found for found in sorted(IMPORTS[name]) if room(found) not in (None, own)]

    assert others == []


@pytest.mark.parametrize("name", [name for name in MODULES if under(name, "collector.wire")])
def test_translators_know_the_words_only(name: str):
    allowed = ("collector.wire", "collector.contracts", "collector.errors", "analyzer.spans")
    words = (
        "analyzer.strings",
        "analyzer.error_classes",
        "analyzer.kernels.hashing",
        "analyzer.kernels.options",
        "analyzer.resource_fields",
    )

    ours = [found for found in IMPORTS[name] if under(found, "analyzer", "collector")]

    assert [found for found in sorted(ours) if not under(found, *allowed, *words)] == []


def test_only_the_app_knows_every_room():
    """Who imports more than one room is the app, the command line or the demo."""
    for name, found in IMPORTS.items():
        known = {room(one) for one in found} - {None}
        if len(known) > 1 and not under(name, *KNOW_ALL):
            pytest.fail(f"{name} imports the rooms {sorted(str(one) for one in known)}")


def test_there_is_no_circle():
    graph = nx.DiGraph(
        (name, found) for name, targets in IMPORTS.items() for found in targets if found in MODULES and found != name
    )

    assert list(nx.simple_cycles(graph)) == []
