"""What must hold before a server starts: versions below which known attacks work, kernels that only we can write.

In: what is installed. Out: a `Line` for each floor. No scanner told of the first of them (docs/adr/0002), so we look
ourselves. Loads nothing heavy: the parent process of a server looks, too.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

Level = Literal["ok", "warn", "fault"]
Version = tuple[int, ...]
ROOT = Path(__file__).parent.parent  # of the packages that hold kernels
PACKAGES = ("analyzer", "collector")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at: what was found, and what to do when it is not well."""

    name: str
    level: Level
    words: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Floor:
    """The oldest version of a package that may be there.

    since : the oldest good version
    why : what an older one does
    ours : we are made of it; others only must not be there in an old version, and are warned of
    branches : older branches that were mended, too, each from this version on
    """

    package: str
    since: str
    why: str
    ours: bool = True
    branches: tuple[str, ...] = ()


FLOORS = (
    Floor("grpcio", "1.84", "lets 1 MiB of gzip take more than 1 GiB of memory"),
    Floor("protobuf", "6.33.5", "recurses without bound in JSON (CVE-2026-0994)", branches=("5.29.6",)),
    Floor("orjson", "3.11.6", "crashes on deeply nested JSON (CVE-2025-67221)"),
    Floor("starlette", "1.1.1", "lets a Host header lead past who may come in (CVE-2026-48710 and later ones)"),
    Floor("pydantic", "2", "hangs on an infinite date (PYSEC-2021-47)"),
    Floor("h11", "0.16.0", "lets requests be smuggled (CVE-2025-43859)", ours=False),
    Floor("python-multipart", "0.0.27", "reads forms of strangers with a known fault (CVE-2026-42561)", ours=False),
    Floor("pyarrow", "14.0.1", "runs code out of a data file (CVE-2023-47248)", ours=False),
)


def check_floors(
    installed: Callable[[str], str] = version,
    parser: Callable[[], str] | None = None,
    environ: Mapping[str, str] | None = None,
    root: Path = ROOT,
) -> list[Line]:
    """Look at all of it.

    Parameters
    ----------
    installed : callable
        Version of a package; raises `PackageNotFoundError`.
    parser : callable, optional
        Name of protobuf's implementation.
    environ : mapping, optional
        The environment.
    root : Path
        Folder of the packages with kernels.
    """
    found = [line for floor in FLOORS if (line := _version_line(floor, installed)) is not None]
    found.append(_parser_line((parser or _parser)()))
    found.append(check_cache(os.environ if environ is None else environ, root))
    return found


def check_cache(environ: Mapping[str, str], root: Path = ROOT) -> Line:
    """Kernels are read with pickle: who may write into their folder runs code here.

    Who owns our sources may write kernels beside them: these could be changed as well. A group that may write there is
    a warning, since it is what a umask of 002 leaves. A folder of its own (NUMBA_CACHE_DIR) must be ours alone.
    """
    told = environ.get("NUMBA_CACHE_DIR", "")
    own = Path(told).expanduser() if told else None
    folders = [own, *_below(own)] if own is not None else list(_beside_sources(root, environ))
    trusted = {os.geteuid(), 0} | ({root.stat().st_uid} if own is None else set())
    warned = ""
    for folder in folders:
        try:
            status = folder.stat()
        except OSError:  # not there yet: it is made by us
            continue
        if status.st_uid not in trusted:
            return _open(folder, f"belongs to user {status.st_uid}", own is None)
        if status.st_mode & stat.S_IWOTH or (own is not None and status.st_mode & stat.S_IWGRP):
            return _open(folder, f"has mode {stat.S_IMODE(status.st_mode):04o}: others may write there", own is None)
        if status.st_mode & stat.S_IWGRP:
            warned = warned or f"{folder} has mode {stat.S_IMODE(status.st_mode):04o}: its group may write there"
    if warned:
        return Line("kernel cache", "warn", warned, "chmod -R g-w the folder firstfault is installed in")
    return Line("kernel cache", "ok", f"{own or 'beside the sources'}: only its owner may write there")


def _open(folder: Path, why: str, beside_sources: bool) -> Line:
    todo = "install it anew, as yourself or root, with umask 022" if beside_sources else f"chmod -R go-w {folder}"
    return Line("kernel cache", "fault", f"{folder} {why}; compiled kernels there are run as they are", todo)


def _below(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return


def _beside_sources(root: Path, environ: Mapping[str, str]) -> Iterable[Path]:
    """Where numba looks without being told: beside the sources; where these are read-only, in the user's cache."""
    for package in PACKAGES:
        yield from (root / package).rglob("__pycache__")
    if home := environ.get("HOME"):
        users = Path(environ.get("XDG_CACHE_HOME") or Path(home) / ".cache") / "numba"
        yield users
        yield from _below(users)


def _version_line(floor: Floor, installed: Callable[[str], str]) -> Line | None:
    name = f"version of {floor.package}"
    try:
        found = installed(floor.package)
    except PackageNotFoundError:
        return Line(name, "fault", "is not installed", _install(floor)) if floor.ours else None
    if _good(floor, found):
        return Line(name, "ok", found)
    words = f"{found} {floor.why}; expected {floor.since} or newer"
    return Line(name, "fault" if floor.ours else "warn", words, _install(floor))


def _install(floor: Floor) -> str:
    return f"pip install '{floor.package}>={floor.since}'"


def _good(floor: Floor, found: str) -> bool:
    have = _numbers(found)
    if have >= _numbers(floor.since):
        return True
    return any(have[0] == _numbers(branch)[0] and have >= _numbers(branch) for branch in floor.branches)


def _numbers(text: str) -> Version:
    """Numbers of a release; what stands behind them (rc1, +local) is not looked at. Unreadable: older than all."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else (0,)


def _parser_line(found: str) -> Line:
    name = "parser of protobuf"
    if found == "upb":
        return Line(name, "ok", found)
    words = f"is {found}; expected upb: others recurse as deep as a request says (CVE-2025-4565)"
    return Line(name, "fault", words, "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION; install protobuf from a wheel")


def _parser() -> str:
    from google.protobuf.internal import api_implementation

    return str(api_implementation.Type())
