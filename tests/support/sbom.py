"""`python -m tests.support.sbom FILE`: what the server is made of, as CycloneDX 1.6 JSON.

In: the lock of the runtime, and what the installed packages say of themselves. Out: the same bytes for the same lock: no
time, no serial number, so that two can be compared. `make sbom` writes build/sbom.cdx.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from analyzer.version import __version__
from tests.support.supply import ROOT, licence_of, needs_of, read_lock


def sbom(lock: Path = ROOT / "requirements.lock") -> dict[str, Any]:
    """Build the document."""
    packages = read_lock(lock)
    refs: dict[str, list[str]] = {}  # some have a version for old Pythons and one for new ones
    for package in packages:
        refs.setdefault(package.name, []).append(package.purl)
    ours = f"pkg:pypi/firstfault@{__version__}"
    components = []
    for package in packages:
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": package.purl,
            "name": package.name,
            "version": package.version,
            "purl": package.purl,
            "licenses": _licences(licence_of(package.name)),
            "properties": [{"name": "firstfault:locked:sha256", "value": one} for one in package.sha256],
        }
        if package.marker:
            component["properties"].append({"name": "firstfault:locked:marker", "value": package.marker})
        components.append(component)
    needs = {ours: needs_of("firstfault")} | {package.purl: needs_of(package.name) for package in packages}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": "firstfault",
                "version": __version__,
                "purl": ours,
                "licenses": _licences("Apache-2.0"),
            }
        },
        "components": components,
        "dependencies": [
            {"ref": one, "dependsOn": sorted(ref for name in names for ref in refs.get(name, ()))}
            for one, names in needs.items()
        ],
    }


def _licences(expression: str) -> list[dict[str, Any]]:
    """One licence by its id, more by their expression."""
    if not expression:
        return []
    return [{"expression": expression}] if " " in expression else [{"license": {"id": expression}}]


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sbom(), indent=1) + "\n")
