"""What we are made of: the locked packages, their hashes and licences.

packages = read_lock(ROOT / "requirements.lock")
packages[0].name, packages[0].version, packages[0].sha256      # "annotated-doc", "0.0.7", ("0a30...", ...)
licence_of("orjson")                                           # "MPL-2.0 AND (Apache-2.0 OR MIT)"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Licences that ask for no more than their notice. MPL-2.0 asks for the source of its own files, which we do not change.
ALLOWED = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC"),
        *("LLVM-exception", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Zlib"),
    }
)
# What a package says in words, in SPDX's.
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
}
# What a package does not say clearly enough; read in its LICENSE file.
_READ = {"numba": "BSD-2-Clause", "colorama": "BSD-3-Clause", "uvloop": "Apache-2.0 OR MIT"}
_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)(?: ; (.+?))?(?: \\)?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    marker: str
    sha256: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def read_lock(path: Path) -> list[Package]:
    """Every requirement of a lock, in its order; anything else in it is an error."""
    found: list[Package] = []
    hashes: list[str] = []
    for line in [*path.read_text().splitlines(), ""]:
        if match := _HASH.search(line):
            hashes.append(match[1])
            continue
        if found:
            found[-1] = Package(found[-1].name, found[-1].version, found[-1].marker, tuple(hashes))
        hashes = []
        if line and (pinned := _PINNED.match(line)):
            found.append(Package(pinned[1], pinned[2], pinned[3] or "", ()))
        elif line:
            raise ValueError(f"{path.name}: {line[:80]!r} is no pinned requirement")
    return found


def licence_of(name: str) -> str:
    """SPDX expression of a package; "" when nobody says."""
    if name in _READ:
        return _READ[name]
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return ""
    if said["License-Expression"]:
        return str(said["License-Expression"])
    words = (said["License"] or "").strip()
    if words in ALLOWED or words in _SPDX:
        return _SPDX.get(words, words)
    named = [one.rpartition(":: ")[2] for one in said.get_all("Classifier") or [] if one.startswith("License ::")]
    return " AND ".join(_SPDX.get(re.sub(r" \(.*\)$", "", one), one) for one in named)


def ids_of(expression: str) -> set[str]:
    """Every licence (and exception) of an expression."""
    return set(re.findall(r"[A-Za-z0-9.-]+", expression)) - {"AND", "OR", "WITH"}


def needs_of(name: str) -> set[str]:
    """Names of what a package asks for, without extras; of ours, what pyproject.toml asks for."""
    if name == "firstfault":
        return _names(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    try:
        return _names(one for one in requires(name) or [] if "extra ==" not in one)
    except PackageNotFoundError:
        return set()


def _names(requirements: Iterable[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", one)[0]).lower() for one in requirements}
