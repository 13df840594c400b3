"""What is breaking the system now: facts of many traces, compared, ranked, said with how sure."""

from __future__ import annotations

from analyzer.incidents.facts import TraceFacts, gather_facts, join_facts

__all__ = ["TraceFacts", "gather_facts", "join_facts"]
