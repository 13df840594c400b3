"""How failing traces look from their columns."""

from __future__ import annotations

from analyzer.engine import Analyzer
from analyzer.errors.signatures import signatures
from tests.support.drawing import Drawing, batch, draw

FAILING = """
gateway   GET /checkout   0..100  ERROR
  payment   Charge          50..90  ERROR  !{kind}: "card {number} declined"
"""


def looks(*drawings: Drawing) -> tuple[list[int], list[int]]:
    traces, keys = signatures(Analyzer().analyse(batch(list(drawings))).analysis)
    return traces.tolist(), keys.tolist()


def test_traces_that_fail_alike_look_alike():
    """Only failing ones have a look; values in messages do not show."""
    one, two = (draw(FAILING.format(kind="CardError", number=n), seed=n) for n in (1, 2))
    clean = draw("gateway  GET /  0..9  OK", seed=3)
    other = draw(FAILING.format(kind="Timeout", number=1), seed=4)

    traces, keys = looks(one, clean, two, other)

    assert traces == [0, 2, 3]
    assert keys[0] == keys[1] != keys[2]


def test_without_a_failure_there_is_nothing_to_see():
    assert looks(draw("gateway  GET /  0..9  OK")) == ([], [])


def test_codes_tell_traces_apart():
    a, b = (draw(f"shop  GET /  0..9  ERROR  http.response.status_code={code}", seed=code) for code in (500, 503))

    _, keys = looks(a, b)

    assert keys[0] != keys[1]
