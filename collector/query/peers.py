"""One trace, whoever holds it: this instance, a peer, or several of them in parts.

In: the name of a trace. Out: the same `Look` whichever instance is asked, with who said it. Every peer is asked for a
sketch of what it holds; the one with the best part (`Held.order`) is the home of the trace. When others hold spans too,
the home puts all of them together and analyses the trace again, against what it has learned itself: so all instances
tell the same. A peer that does not answer is named; what only it may hold is `unsure`, never `unknown`. Any thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.message import DecodeError

from analyzer.findings import Answer, AskedPeer
from collector.contracts import Found, Signal
from collector.errors import RefusedError
from collector.query.desk import Desk
from collector.query.lookup import Look, kept_by_tenants, look, look_here, which_of
from collector.query.peer_calls import PeerCalls
from collector.query.peer_words import Held, Reply, held_from, sketch
from collector.query.union import union
from collector.trace_names import read_name, split_name, text_of

HERE = ""  # the address of this instance, where parts are compared

log = logging.getLogger(__name__)


def look_everywhere(desk: Desk, name: bytes, *, alone: bool = False) -> Look:
    """Look here, and at the peers unless the question comes from one of them (`alone`).

    An id that only one tenant's trace has here needs no tenant behind it.
    """
    if alone:
        return look_here(desk, name)
    if desk.peers is None:
        found, namesakes = look_here(desk, name), set[str]()
    else:
        own = _own(desk, name)
        search = _Search(desk, desk.peers, name, desk.peers.ask_all(text_of(name)))
        found, namesakes = search.look(sketch(own)), search.namesakes()
    if found.state not in ("unknown", "unsure"):
        return found
    namesakes |= kept_by_tenants(desk, name)
    if len(namesakes) == 1:
        return look_everywhere(desk, read_name(*namesakes))
    return which_of(name, namesakes) if namesakes else found


def hold(desk: Desk, name: bytes, part: str) -> Held:
    """What is told to a peer: a sketch; or whole; or, at the home of the trace, merged with what others hold."""
    if part == "merged" and desk.peers is not None:
        replies = desk.peers.ask_all(text_of(name))
        return _held(desk, _Search(desk, desk.peers, name, replies).merge_for_peer())
    return sketch(_own(desk, name)) if part == "sketch" else _held(desk, look_here(desk, name))


class Vigil:
    """One question that waits for its verdict: looks here often, at the peers now and then."""

    def __init__(self, desk: Desk, name: bytes, *, alone: bool = False) -> None:
        self._desk = desk
        self._name = name
        self._peers = None if alone else desk.peers
        self._ask_again = 0.0
        self._decided_here = False

    def over(self) -> bool:
        """Whether waiting longer would change nothing."""
        decided = look(self._desk, self._name).decided
        if self._peers is None:
            return decided or self._is_a_tenants()
        if decided == self._decided_here and time.monotonic() < self._ask_again:
            return False
        self._decided_here, self._ask_again = decided, time.monotonic() + self._desk.settings.peers_poll_s
        parts = [reply.held for reply in self._peers.ask_all(text_of(self._name)) if reply.held]
        parts.append(_own(self._desk, self._name))
        states = {held.state for held in parts}
        return "open" not in states and (bool(states - {"unknown"}) or any(held.namesakes for held in parts))

    def _is_a_tenants(self) -> bool:
        """Whether a trace of this id is kept for a tenant, while nobody's is open: then nobody's is not waited for."""
        if not kept_by_tenants(self._desk, self._name):
            return False
        return self._desk.open_traces.ask(self._name, self._desk.settings.ask_timeout_s) is None


class _Search:
    """What all instances say of one trace, while it becomes one look."""

    def __init__(self, desk: Desk, peers: PeerCalls, name: bytes, replies: Sequence[Reply]) -> None:
        self._desk = desk
        self._peers = peers
        self._name = name
        self._asked = {reply.peer: reply.asked() for reply in replies}
        self._parts: dict[str, Held] = {reply.peer: reply.held for reply in replies if reply.held is not None}
        self._dropped = {held.name: held.reason for held in self._parts.values() if held.state == "dropped"}
        self._deadline = time.monotonic() + peers.answer_timeout_s

    def look(self, own: Held) -> Look:
        """Find the home of the trace, and have it answer."""
        parts = {peer: held for peer, held in self._parts.items() if held.found}
        if own.found:
            parts[HERE] = own
        elif own.state == "dropped":
            self._dropped[own.name] = own.reason
        while parts:
            holders = [peer for peer, held in parts.items() if held.spans_kept]
            several = len(holders) > 1
            home = max(holders if several else parts, key=lambda peer: parts[peer].order)
            if home != HERE:
                found = self._fetch(home, "merged" if several else "whole")
            else:
                found = self.merge_here() if several else look_here(self._desk, self._name)
            if found is not None and found.answer is not None:
                return self._told(found, parts[home].name, any(held.state == "open" for held in parts.values()))
            parts.pop(home)  # it held it a moment ago; the next best must do
        return self._missing(own)

    def namesakes(self) -> set[str]:
        """Names under which peers keep traces of this id, when the question does not say whose it is."""
        said = {one for held in self._parts.values() for one in held.namesakes}
        return {one for one in said if one.startswith(text_of(self._name) + "@")}

    def merge_here(self) -> Look:
        """Be the home: take what the peers hold into what is held here."""
        own = look_here(self._desk, self._name)
        if own.answer is None or own.found is None or not own.found.trace_otlp or self._desk.explain is None:
            return own
        holders = sorted(
            (peer for peer, held in self._parts.items() if held.spans_kept),
            key=lambda peer: self._parts[peer].order,
            reverse=True,
        )
        wholes = self._wholes(holders)
        parts = [(own.found.trace_otlp, own.found.logs_otlp)]
        parts += [(held.spans, held.logs) for held in wholes if held.spans]
        try:
            together = union(split_name(self._name)[0], parts)
            if not any(together.added_counts[1:]):
                return own
            payloads = [(together.spans, Signal.TRACES)]
            payloads += [(together.logs, Signal.LOGS)] if together.logs else []
            (answer,) = self._desk.explain(payloads)
        except (DecodeError, RefusedError, ValueError) as error:
            log.warning("the spans that peers hold of a trace cannot be read: %s", type(error).__name__)
            return own
        self._peers.count_merged()
        merged = [held.name for held, added in zip(wholes, together.added_counts[1:], strict=True) if added]
        changed = {
            # Grows whenever that of a part does.
            "revision": own.answer.revision + sum(held.revision for held in wholes),
            "merged_from": sorted({self._desk.identity.name, *merged}),
        }
        answer = answer.model_copy(update=changed)
        return replace(own, answer=answer, found=Found("stored", answer, together.spans, together.logs))

    def merge_for_peer(self) -> Look:
        """Be the home for another instance, which tells people of it."""
        found = self.merge_here()
        if found.answer is None:
            return found
        return replace(found, answer=found.answer.model_copy(update={"asked_peers": list(self._asked.values())}))

    def _wholes(self, holders: Sequence[str]) -> list[Held]:
        """Spans of the peers, the best first; who does not send them is named as failed."""
        found = []
        for reply in self._peers.ask(holders, text_of(self._name), "whole", self._left_s()):
            if reply.held is not None and reply.held.spans:
                found.append(reply.held)
            else:
                self._fail(reply.peer, reply.failure or "it has let go of its spans")
        return found

    def _fetch(self, peer: str, part: Any) -> Look | None:
        """The answer and spans of the home of the trace."""
        for reply in self._peers.ask([peer], text_of(self._name), part, self._left_s()):
            held = reply.held
            if held is None or held.answer is None or not held.found:
                self._fail(peer, reply.failure or "it has let go of the trace")
                return None
            try:
                # Also when it is one part: so nothing of another trace comes in.
                whole = union(split_name(self._name)[0], [(held.spans, held.logs)]) if held.spans else None
            except DecodeError:
                self._fail(peer, "its spans cannot be read")
                return None
            for one in held.answer.asked_peers:
                if one.state == "failed":
                    self._asked.setdefault(one.peer, one)
            spans, logs = (whole.spans, whole.logs) if whole is not None else (None, None)
            return Look(
                held.state, text_of(self._name), held.answer, Found("stored", held.answer, spans, logs), held.reason
            )
        return None

    def _told(self, found: Look, name: str, still_open: bool) -> Look:
        """Say who answered, who was asked and who did not answer."""
        assert found.answer is not None
        failed = [one for one in self._asked.values() if one.state == "failed"]
        reasons = [found.answer.status_reason]
        changed: dict[str, Any] = {"answered_by": name, "asked_peers": list(self._asked.values())}
        if failed:
            reasons.append(f"what {_listed(failed)} may hold is missing here")
        if self._dropped and found.answer.status == "clean":  # of its part; another part was not
            changed["status"] = "partial"
        reasons += [f"{holder} had a part of it: {reason}" for holder, reason in sorted(self._dropped.items())]
        if still_open and found.state != "open":
            changed["status"] = "in_progress"
            reasons.append("another instance still holds spans of it that are open")
        changed["status_reason"] = "; ".join(reason for reason in reasons if reason)
        answer = found.answer.model_copy(update=changed)
        kept = replace(found.found, answer=answer) if found.found is not None else None
        return replace(found, state="open" if still_open else found.state, answer=answer, found=kept)

    def _missing(self, own: Held) -> Look:
        """Nobody has an answer: what happened to the trace, as far as it can be told."""
        failed = [one for one in self._asked.values() if one.state == "failed"]
        everybody = [own, *self._parts.values()]
        for state in ("expired", "dropped"):
            for held in everybody:
                if held.state == state:
                    reason = held.reason or f"trace {text_of(self._name)} is {state}"
                    if held is not own:
                        reason += f" (at {held.name})"
                    if failed:
                        reason += f"; {_listed(failed)} did not answer"
                    return Look(state, text_of(self._name), reason=reason)
        if failed:
            words = f"trace {text_of(self._name)} is not known here, and it cannot be told whether it is elsewhere: "
            return Look("unsure", text_of(self._name), reason=words + _listed(failed, reasons=True))
        asked = len(self._parts)
        words = f"trace {text_of(self._name)} is unknown here and at {asked} peer{'s' if asked != 1 else ''}"
        return Look("unknown", text_of(self._name), reason=words)

    def _fail(self, peer: str, reason: str) -> None:
        before = self._asked.get(peer, AskedPeer(peer=peer, state="failed"))
        self._asked[peer] = before.model_copy(update={"state": "failed", "reason": reason})
        self._parts.pop(peer, None)

    def _left_s(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)


def _own(desk: Desk, name: bytes) -> Held:
    """All that is held here, as it is kept."""
    return _held(desk, look_here(desk, name, desk.find_stored))


def _held(desk: Desk, found: Look) -> Held:
    kept = found.found
    spans, logs = (kept.trace_otlp, kept.logs_otlp) if kept is not None and found.state == "answered" else (None, None)
    answer: Answer | None = found.answer
    namesakes = kept_by_tenants(desk, read_name(found.name)) if found.state == "unknown" else ()
    return held_from(desk.identity, found.state, found.reason, answer, spans, logs, sorted(namesakes))


def _listed(failed: Sequence[AskedPeer], *, reasons: bool = False) -> str:
    return ", ".join(f"{one.peer} ({one.reason})" if reasons else one.peer for one in failed)
