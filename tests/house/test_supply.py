"""What we are made of is known, pinned, and may be passed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sbom import sbom
from tests.support.supply import ALLOWED, ROOT, ids_of, licence_of, needs_of, read_lock

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
RUNTIME = read_lock(ROOT / "requirements.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pinned_packages_with_hashes_and_nothing_else(lock: str):
    """A line of another kind (an option, an address) is an error of the reader."""
    packages = read_lock(ROOT / lock)

    assert packages
    assert [package.name for package in packages if not package.sha256] == []


def test_a_lock_with_an_address_is_refused(tmp_path: Path):
    lock = tmp_path / "bad.lock"
    lock.write_text("--find-links wheels\nanyio==4.16.0\n")

    with pytest.raises(ValueError, match="is no pinned requirement"):
        read_lock(lock)


@pytest.mark.parametrize("name", sorted({package.name for package in RUNTIME}))
def test_every_licence_is_allowed(name: str):
    """An unknown licence is not allowed either."""
    licence = licence_of(name)

    assert licence, f"{name} does not say its licence; read its LICENSE and add it to tests/support/supply.py"
    assert ids_of(licence) - ALLOWED == set()


@pytest.mark.parametrize("licence", ["GPL-3.0-only", "MIT AND AGPL-3.0-or-later", "BUSL-1.1", "Proprietary"])
def test_other_licences_are_found(licence: str):
    assert ids_of(licence) - ALLOWED


def test_the_bill_of_materials_names_everything_in_the_lock():
    """Each package once, with a version, a package URL, a licence and its hashes."""
    components = sbom()["components"]

    assert {(one["name"], one["version"]) for one in components} == {(one.name, one.version) for one in RUNTIME}
    for component in components:
        assert component["purl"] == component["bom-ref"] == f"pkg:pypi/{component['name']}@{component['version']}"
        assert component["licenses"]
        assert any(one["name"] == "firstfault:locked:sha256" for one in component["properties"])


def test_every_dependency_leads_to_a_component():
    """The graph is closed, and everything in it is needed by somebody."""
    found = sbom()
    known = {one["bom-ref"] for one in found["components"]}
    edges = {one["ref"]: set(one["dependsOn"]) for one in found["dependencies"]}
    needed = set().union(*edges.values())

    assert set(edges) == known | {found["metadata"]["component"]["bom-ref"]}
    assert needed <= known
    assert known - needed <= {one["bom-ref"] for one in found["components"] if "marker" in str(one["properties"])}


def test_the_bill_is_the_same_each_time():
    assert sbom() == sbom()


def test_all_we_ask_for_is_locked():
    assert needs_of("firstfault") - {package.name for package in RUNTIME} == set()
