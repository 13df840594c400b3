"""Which exception of a chain is the root, and which frame is looked at first."""

from __future__ import annotations

from analyzer.errors.model import Frame, Relation, StackTrace, Thrown

OURS, LIBRARY, UNKNOWN = (
    Frame(name, in_app=own) for name, own in (("ours", True), ("library", False), ("unknown", None))
)


def chain(*relations: Relation) -> StackTrace:
    return StackTrace(
        "java", tuple(Thrown(f"E{number}", "", (), relation) for number, relation in enumerate(relations))
    )


def test_causes_lead_to_the_root():
    assert chain("thrown").root.type == "E0"
    assert chain("thrown", "cause", "context").root.type == "E2"


def test_what_was_printed_beside_it_is_not_its_cause():
    """Suppressed exceptions and other goroutines have causes of their own."""
    assert chain("thrown", "suppressed", "cause").root.type == "E0"
    assert chain("thrown", "cause", "suppressed", "cause").root.type == "E1"
    assert chain("thrown", "goroutine").root.type == "E0"


def test_a_group_speaks_through_its_first_member():
    """The group only counts its members; with a cause of its own it does not need them."""
    assert chain("thrown", "member", "cause", "member", "cause").root.type == "E2"
    assert chain("thrown", "cause", "member").root.type == "E1"


def test_the_origin_is_ours_or_of_what_wraps_it_or_the_innermost():
    root_in_library = StackTrace("java", (Thrown("A", "", (OURS,)), Thrown("B", "", (LIBRARY, UNKNOWN), "cause")))
    all_library = StackTrace("java", (Thrown("A", "", (UNKNOWN, LIBRARY)),))

    assert root_in_library.origin == OURS
    assert all_library.origin == UNKNOWN
    assert chain("thrown").origin is None
