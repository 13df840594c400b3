"""The chain of an error: from where it began, by what each span did with it, to the entry."""

from __future__ import annotations

from tests.support.error_stories import explain, origin, roles


def test_the_chain_of_a_timeout():
    """The query began it, the server was held up, the client gave up, the root passed it on."""
    story = explain(
        """
        a  GET /a                   0..520 ERROR http.response.status_code=504
          a  CLIENT GET               5..510 ERROR error.type=timeout server.address=b
            b  GET /b                   7..2000
              b  SELECT huge              20..1990
        """
    )

    assert [(step.span.operation, step.effect) for step in story.causal_chain] == [
        ("SELECT huge", "began"),
        ("GET /b", "slowed"),
        ("GET", "timed_out"),
        ("GET /a", "propagated"),
    ]


def test_the_chain_of_a_transformation():
    """A deadlock became an internal error."""
    story = explain(
        """
        order POST /order        0..100 ERROR http.response.status_code=500 !OrderFailed
          order CLIENT INSERT      10..95 ERROR db.system=mysql server.address=db1 !Deadlock: "deadlock found"
        """
    )

    assert [step.effect for step in story.causal_chain] == ["began", "transformed"]


def test_the_chain_of_a_recovered_retry_ends_at_who_tried_again():
    story = explain(
        """
        a  GET /a       0..100 http.response.status_code=200
          a  CLIENT GET   10..20 ERROR http.response.status_code=503 peer.service=b
          a  CLIENT GET   40..60 http.response.status_code=200 peer.service=b
        """
    )

    assert [(step.span.operation, step.effect) for step in story.causal_chain] == [
        ("GET", "began"),
        ("GET /a", "retried"),
    ]
    assert roles(story) == {"a GET": "unseen_dependency"}


def test_a_deep_chain_is_told_in_bounds():
    lines = "\n".join(f"{' ' * i}a op{i} {i / 1000}..{100 - i / 1000} ERROR" for i in range(1_000))
    story = explain(lines)

    assert origin(story) == "a op999"
    assert len(story.causal_chain) == 64
