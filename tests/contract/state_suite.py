"""What every store promises of state: the last one saved is the one loaded."""

from __future__ import annotations

from collector.contracts import Store


class StateContract:
    """Bring a fixture `store` (retention 72 hours, a quota nobody reaches)."""

    def test_state_is_replaced(self, store: Store):
        assert store.load_state("baselines") is None

        store.save_state("baselines", b"old")
        store.save_state("baselines", b"new")

        assert store.load_state("baselines") == b"new"
