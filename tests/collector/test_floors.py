"""What must hold before a server starts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from collector.floors import FLOORS, Line, check_cache, check_floors

ROOT = Path(__file__).parents[2]
GOOD = {"grpcio": "1.84.0", "protobuf": "6.33.5", "orjson": "3.11.6", "starlette": "1.1.1", "pydantic": "2.12.0"}


def installed(**changed: str) -> Callable[[str], str]:
    """Versions: good ones, but for those named (h11="0.14.0"); "" is not installed."""
    versions = GOOD | {key.replace("_", "-"): value for key, value in changed.items()}

    def version(package: str) -> str:
        if not versions.get(package):
            raise PackageNotFoundError(package)
        return versions[package]

    return version


def levels(tmp_path: Path, parser: str = "upb", **changed: str) -> dict[str, str]:
    """Name -> level of what is not well."""
    lines = check_floors(installed(**changed), lambda: parser, {}, tmp_path)
    return {line.name: line.level for line in lines if line.level != "ok"}


def test_what_is_installed_here_is_good():
    assert [line for line in check_floors(environ={}) if line.level == "fault"] == []


def test_the_floors_themselves_are_good(tmp_path: Path):
    assert levels(tmp_path) == {}


@pytest.mark.parametrize(
    ("package", "version", "level"),
    [
        ("grpcio", "1.83.9", "fault"),
        ("grpcio", "1.84.0rc1", None),
        ("grpcio", "2.0", None),
        ("protobuf", "6.33.4", "fault"),
        ("protobuf", "5.29.6", None),
        ("protobuf", "5.29.5", "fault"),
        ("protobuf", "4.99.9", "fault"),
        ("orjson", "3.9.15", "fault"),
        ("starlette", "1.1.0", "fault"),
        ("pydantic", "1.10.26", "fault"),
        ("pydantic", "", "fault"),
        ("grpcio", "unknown", "fault"),
        ("h11", "", None),
        ("h11", "0.16.0", None),
        ("h11", "0.14.0", "warn"),
        ("python_multipart", "0.0.26", "warn"),
        ("python_multipart", "0.0.27", None),
        ("pyarrow", "14.0.0", "warn"),
    ],
)
def test_an_old_version_is_told(tmp_path: Path, package: str, version: str, level: str | None):
    """What we are made of is refused; what only lies about is warned of."""
    found = levels(tmp_path, **{package: version})

    assert found == ({f"version of {package.replace('_', '-')}": level} if level else {})


@pytest.mark.parametrize("parser", ["python", "cpp"])
def test_another_parser_is_refused(tmp_path: Path, parser: str):
    assert levels(tmp_path, parser) == {"parser of protobuf": "fault"}


def test_what_is_told_says_what_to_do(tmp_path: Path):
    (line,) = [one for one in check_floors(installed(grpcio="1.60.2"), lambda: "upb", {}, tmp_path) if one.todo]

    assert line.words == "1.60.2 lets 1 MiB of gzip take more than 1 GiB of memory; expected 1.84 or newer"
    assert line.todo == "pip install 'grpcio>=1.84'"


def test_installing_us_installs_nothing_below_a_floor(tmp_path: Path):
    """The bounds of pyproject.toml are not lower than the floors."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = dict(re.match(r"([\w.-]+)>=([\d.]+)", one).groups() for one in project["dependencies"])  # type: ignore[union-attr]
    for floor in FLOORS:
        if floor.ours:
            assert levels(tmp_path, **{floor.package: bounds[floor.package]}) == {}


# -- the kernel cache ----------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """An installation: analyzer/kernels with a cache beside the sources."""
    cache = tmp_path / "analyzer" / "kernels" / "__pycache__"
    cache.mkdir(parents=True)
    cache.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("mode", "level"), [(0o755, "ok"), (0o700, "ok"), (0o775, "warn"), (0o777, "fault"), (0o1777, "fault")]
)
def test_a_cache_beside_the_sources(sources: Path, mode: int, level: str):
    """A group that may write there may write the sources as well; the whole world may not."""
    (sources / "analyzer" / "kernels" / "__pycache__").chmod(mode)

    assert check_cache({}, sources).level == level


@pytest.mark.parametrize(("mode", "level"), [(0o755, "ok"), (0o775, "fault"), (0o777, "fault"), (0o1777, "fault")])
@pytest.mark.parametrize("below", ["", "kernels_1234"])
def test_a_cache_of_its_own(tmp_path: Path, mode: int, level: str, below: str):
    """NUMBA_CACHE_DIR, and the folders that numba makes in it."""
    cache = tmp_path / "cache"
    (cache / below).mkdir(parents=True)
    cache.chmod(0o755)
    (cache / below).chmod(mode)

    line = check_cache({"NUMBA_CACHE_DIR": str(cache)})

    assert line.level == level
    if level == "fault":
        assert line.todo == f"chmod -R go-w {cache / below}"


def test_a_cache_that_is_not_there_yet_is_made_by_us(tmp_path: Path):
    assert check_cache({"NUMBA_CACHE_DIR": str(tmp_path / "later")}).level == "ok"


def test_the_cache_of_the_user_is_looked_at_too(sources: Path):
    """Numba goes there when the sources are read-only."""
    users = sources / "home" / ".cache" / "numba"
    users.mkdir(parents=True)
    users.chmod(0o777)

    assert check_cache({"HOME": str(sources / "home")}, sources).level == "fault"


def test_a_line_is_plain(tmp_path: Path):
    assert all(isinstance(line, Line) and line.words for line in check_floors(installed(), lambda: "upb", {}, tmp_path))
