"""Peers that lie, babble or say nothing: named, counted, bounded, never followed."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from collector.query import peer_calls
from collector.query.peer_words import Held
from tests.collector.query.answers import HOSTILE_TEXTS, OTHER, TRACE, full, small
from tests.collector.query.test_peers import CHECKOUT, problem
from tests.support.drawing import draw
from tests.support.fakes.peer import http, scripted_peer
from tests.support.instances import instances

INSTANCE = "ab" * 16
SKETCH: dict[str, Any] = {
    "name": "liar",
    "instance": INSTANCE,
    "state": "answered",
    "status": "finding",
    "revision": 3,
    "span_count": 9,
    "root_seen": True,
    "spans_kept": True,
}


def told(**fields: Any) -> bytes:
    return http(json.dumps(SKETCH | fields).encode())


def whole(**fields: Any) -> bytes:
    """A peer that says the same to every question, answer and spans included."""
    traces, _ = CHECKOUT.requests()
    held = Held(**{**SKETCH, "answer": small(), "spans": traces, **fields})
    return http(held.model_dump_json().encode())


@pytest.mark.parametrize(
    ("says", "outcome", "words"),
    [
        (b"", "unreadable", "hung up"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "unreadable", "not HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", "unreadable", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}", "unreadable", "hung up"),
        (http(b"<html>"), "unreadable", "cannot be read"),
        (http(b"{}"), "unreadable", "cannot be read (at name)"),
        (http(b"[" * 60_000), "unreadable", "cannot be read"),
        (http(b"\xff\xfe{"), "unreadable", "cannot be read"),
        (told(name="<script>"), "unreadable", "cannot be read (at name)"),
        (told(name="a\r\nx: y"), "unreadable", "cannot be read (at name)"),
        (told(state="perfect"), "unreadable", "cannot be read (at state)"),
        (told(revision=2**40), "unreadable", "cannot be read (at revision)"),
        (http(b"no", "500 Internal Server Error"), "status", "HTTP 500"),
        (http(b"busy", "503 Service Unavailable"), "status", "HTTP 503"),
    ],
)
def test_what_cannot_be_believed_is_no_answer(says: bytes, outcome: str, words: str):
    """An unknown trace stays undecided, an answer of ours stands."""
    with scripted_peer(says) as peer, instances("a", others=[peer.address]) as (a,):
        body = problem(a.get(TRACE), 503, "peers_silent")
        assert peer.address in body["detail"]
        assert words in body["detail"]
        assert a.counts("query_peer_replies") == {outcome: 1, "own": 1}

        a.keep(CHECKOUT)
        answer = a.root_cause(TRACE)
        assert (answer["status"], answer["answered_by"]) == ("finding", "a")
        assert answer["asked_peers"][0]["state"] == "failed"


def test_no_redirect_is_followed():
    with scripted_peer(told()) as canary:
        elsewhere = http(b"", "302 Found", f"location: http://{canary.address}/\r\n")
        with scripted_peer(elsewhere) as peer, instances("a", others=[peer.address]) as (a,):
            assert "HTTP 302" in problem(a.get(TRACE), 503, "peers_silent")["detail"]
        assert canary.asked == []


def test_a_silent_peer_is_given_up():
    """It takes the connection and says nothing; the others are heard."""
    with scripted_peer(None) as peer, instances("a", "b", others=[peer.address], timeout_s=0.3) as (a, b):
        b.keep(CHECKOUT)

        answer = a.root_cause(TRACE)

        assert answer["answered_by"] == "b"
        (failed,) = [one for one in answer["asked_peers"] if one["state"] == "failed"]
        assert failed["reason"].startswith("no answer within 0.")
        assert a.counts("query_peer_replies")["timeout"] >= 1


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_an_endless_answer_is_cut(endless: bytes):
    """Body, chunks or headers without end: at most so many bytes are taken."""
    more = b"x" * 4_000 + b": y\r\n" if endless.endswith(b"OK\r\n") else b"1000\r\n" + b"x" * 4_096 + b"\r\n"
    with scripted_peer(endless, more) as peer, instances("a", others=[peer.address], timeout_s=30) as (a,):
        problem(a.get(TRACE), 503, "peers_silent")

        assert a.counts("query_peer_replies").keys() <= {"own", "too_large", "unreadable"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"answer": small(OTHER)}, "another trace"),
        ({"answer": small(start_ns=2**70)}, "what no answer can"),
        ({"answer": None}, "let go of the trace"),
        ({"spans": b"\xff\xff\xff"}, "its spans cannot be read"),
    ],
)
def test_a_home_that_lies_is_left(fields: dict[str, Any], words: str):
    """Its sketch is the best; what it sends then is not taken, and what is held here is told."""
    with scripted_peer(whole(**fields)) as peer, instances("a", others=[peer.address]) as (a,):
        detail = problem(a.get(TRACE), 503, "peers_silent")["detail"]
        assert words in detail

        a.keep(CHECKOUT, CHECKOUT.spans[:2])
        answer = a.root_cause(TRACE)
        assert (answer["answered_by"], answer["status"]) == ("a", "finding")
        assert answer["asked_peers"][0]["state"] == "failed"


def test_spans_of_another_trace_do_not_come_in():
    """A peer that mixes in what was not asked for."""
    stranger = draw("shop GET / 0..10", trace_id=OTHER).requests()[0]
    mixed = CHECKOUT.requests()[0] + stranger
    with scripted_peer(whole(spans=mixed)) as peer, instances("a", others=[peer.address]) as (a,):
        page = a.get(TRACE, "spans").json()

        assert page["span_count"] == 3
        assert OTHER.hex() not in json.dumps(page)


def test_words_of_a_peer_are_shown_harmless():
    for text in HOSTILE_TEXTS:
        with (
            scripted_peer(whole(answer=full(text).model_copy(update={"tenant": ""}), reason=text)) as peer,
            instances("a", others=[peer.address]) as (a,),
        ):
            response = a.get(TRACE)

            assert response.status_code == 200
            assert not {b"<", b">", b"&"} & {response.content[at : at + 1] for at in range(len(response.content))}


def test_a_newer_peer_is_understood():
    """In the middle of an upgrade: fields we do not know are passed over."""
    answer = json.loads(small().model_dump_json()) | {"mood": "good", "links": {"graph": "x"}}
    body = json.dumps(SKETCH | {"spans_kept": False, "answer": answer, "weather": [1, 2]}).encode()
    with scripted_peer(http(body)) as peer, instances("a", others=[peer.address]) as (a,):
        assert a.root_cause(TRACE)["answered_by"] == "liar"


def test_what_is_asked_names_the_asker_and_says_ask_nobody():
    with scripted_peer(told(state="unknown")) as peer, instances("a", others=[peer.address]) as (a,):
        a.get(TRACE, x_correlation_id="from-the-user")

        (head,) = peer.asked
        assert head.startswith(f"GET /api/v1/traces/{TRACE.hex()}/held?part=sketch HTTP/1.1\r\n")
        assert f"x-firstfault-peer: {a.calls.identity.instance}\r\n" in head
        assert "x-correlation-id: from-the-user\r\n" in head


def test_questions_over_the_bound_are_not_asked(monkeypatch: pytest.MonkeyPatch):
    """Peers that hang must not take all files of the process."""
    monkeypatch.setattr(peer_calls, "CONNECTIONS_MAX", 1)
    with (
        scripted_peer(None) as first,
        scripted_peer(None) as second,
        instances("a", others=[first.address, second.address], timeout_s=0.3) as (a,),
    ):
        threads = [threading.Thread(target=a.get, args=(TRACE,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        replies = a.counts("query_peer_replies")
        assert replies["busy"] > 0
        assert sum(replies.values()) == sum(a.counts("query_peer_requests").values())
