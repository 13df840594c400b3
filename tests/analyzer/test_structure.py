"""What is wrong with the shape of a drawn trace, and when nothing is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzer.baselines import Baselines
from analyzer.config import AnalysisConfig
from analyzer.spans import ReleaseReason, TraceBatch
from analyzer.structure import StructureMemory, StructureStory, explain_structure
from tests.support.drawing import Drawing, batch, draw, healthy
from tests.support.naive.analysis import measure
from tests.support.naive.vocabulary import vocabulary

T0 = 1_760_000_000 * 10**9

CHECKOUT = """
shop POST /checkout 0..60
  shop CLIENT POST 5..20
    stock POST /reserve 6..19
  shop CLIENT POST 25..40
    bank POST /charge 26..39
      bank CLIENT INSERT payments 28..36 db.system=postgresql
  shop PRODUCER orders publish 45..50 messaging.destination.name=orders
    mail CONSUMER orders process 51..58
"""


class Room:
    """What is known after some healthy traces, and what is said of another one."""

    def __init__(self, *texts: str, count: int = 300) -> None:
        self.config = AnalysisConfig()
        self.words = vocabulary()
        self.memory, self.baselines = StructureMemory(self.config), Baselines(self.config)
        for text in texts:
            analysis = measure(batch(healthy(draw(text), count), self.words))
            traces, forest = analysis.traces, analysis.forest
            bad = np.zeros(len(forest.trace_ptr) - 1, np.bool_)
            self.memory.learn(traces, forest, analysis.failed, bad, T0)
            ones = np.ones(len(forest.row), np.float32)
            self.baselines.learn(traces, forest, analysis.own_ns, ones, T0)

    def say(self, trace: str | Drawing | TraceBatch, reason: ReleaseReason = ReleaseReason.ROOT_IDLE) -> StructureStory:
        if isinstance(trace, str):
            trace = draw(trace)
        if isinstance(trace, Drawing):
            trace = batch(trace, self.words, reason)
        analysis = measure(trace)
        analysis = replace(
            analysis,
            duration=self.baselines.score_duration(trace, analysis.forest),
            structure=self.memory.score(trace, analysis.forest, analysis.failed),
        )
        return explain_structure(analysis, 0, self.memory, self.config)


@pytest.fixture(scope="module")
def room() -> Room:
    return Room(CHECKOUT)


def origins(story: StructureStory) -> list[tuple[str, str]]:
    found = []
    for cause in story.candidates:
        span = cause.origin_spans[0]
        found.append((cause.rule, f"{span.service} {span.operation}"))
    return found


NO_CHARGE = """
shop POST /checkout 0..35 {attributes}
  shop CLIENT POST 5..20
    stock POST /reserve 6..19
  shop PRODUCER orders publish 25..30 messaging.destination.name=orders
    mail CONSUMER orders process 31..34
"""


def test_a_healthy_trace_has_nothing_to_say(room: Room):
    assert room.say(CHECKOUT) == StructureStory()


def test_the_call_that_was_not_made(room: Room):
    """No error anywhere, but nobody was charged: the shop should have called the bank."""
    story = room.say(NO_CHARGE.format(attributes=""))

    assert origins(story) == [("structure.silent_missing_call", "shop POST /checkout")]
    cause = story.candidates[0]
    assert (cause.entity.kind, cause.entity.name) == ("service", "shop")
    assert "bank POST /charge" in cause.evidence[0].claim
    assert cause.evidence[0].numbers["executions"] == 300.0
    assert [role.role for role in story.roles] == ["origin"]


def test_the_highest_deviation_is_named_and_not_what_follows_from_it():
    """Without the charge there is no insert either; and both levels skip something of their own."""
    room = Room(CHECKOUT.replace("bank POST /charge 26..39", "bank POST /charge 26..39\n      bank audit 27..28"))
    story = room.say(
        """
        shop POST /checkout 0..60
          shop CLIENT POST 25..40
            bank POST /charge 26..39
              bank audit 27..28
          shop PRODUCER orders publish 45..50 messaging.destination.name=orders
            mail CONSUMER orders process 51..58
        """
    )

    assert origins(story) == [("structure.silent_missing_call", "shop POST /checkout")]


@pytest.mark.parametrize("attribute", ["cache.hit=true", "app.cache.hit=true", "cache.status=HIT", "cached=1"])
def test_a_cache_hit_explains_it(room: Room, attribute: str):
    assert room.say(NO_CHARGE.format(attributes=attribute)).candidates == ()


def test_a_cache_miss_does_not(room: Room):
    assert room.say(NO_CHARGE.format(attributes="cache.hit=false")).rules == {"structure.silent_missing_call"}


@pytest.mark.parametrize("mark", ["ERROR", "!CardError", 'log: "declined"'])
def test_an_error_an_exception_or_an_error_log_explains_it(room: Room, mark: str):
    assert room.say(NO_CHARGE.format(attributes=mark)).candidates == ()


def test_an_error_further_down_explains_it(room: Room):
    story = room.say(NO_CHARGE.format(attributes="").replace("/reserve 6..19", "/reserve 6..19 ERROR"))

    assert story.candidates == ()


@pytest.mark.parametrize(
    "reason", [ReleaseReason.OPEN, ReleaseReason.SPAN_LIMIT, ReleaseReason.MEMORY_PRESSURE, ReleaseReason.MAX_AGE]
)
def test_a_trace_released_early_proves_no_absence(room: Room, reason: ReleaseReason):
    """It is noted, with the reason, and is no finding."""
    story = room.say(draw(NO_CHARGE.format(attributes="")), reason)

    assert story.candidates == ()
    assert "released early" in story.notes[0].claim


def test_a_hole_in_the_trace_proves_no_absence(room: Room):
    story = room.say(NO_CHARGE.format(attributes="") + "  bank POST /charge 21..24 parent:LOST\n")

    assert story.candidates == ()
    assert "missing_parent" in story.notes[0].claim


def test_dropped_spans_prove_no_absence(room: Room):
    traces = batch(draw(NO_CHARGE.format(attributes="")), room.words)

    assert room.say(replace(traces, dropped=np.array([3], np.int32))).candidates == ()


def test_a_sampled_trace_halves_the_confidence(room: Room):
    whole = batch(draw(NO_CHARGE.format(attributes="")), room.words)
    rows = whole.rows.copy()
    rows["flags"] |= 1 << 11
    confident, doubtful = room.say(whole).candidates[0], room.say(replace(whole, rows=rows)).candidates[0]

    assert doubtful.probability == pytest.approx(confident.probability / 2)


def test_a_lost_server_span_is_not_a_call_not_made(room: Room):
    """The client span is there: the bank was called, its answer was not seen."""
    story = room.say(
        """
        shop POST /checkout 0..60
          shop CLIENT POST 5..20
            stock POST /reserve 6..19
          shop CLIENT POST 25..40
          shop PRODUCER orders publish 45..50 messaging.destination.name=orders
            mail CONSUMER orders process 51..58
        """
    )

    assert story.candidates == ()


def loop(count: int, gap: int = 4, mark: str = "", between: str = "") -> str:
    lines = [f"shop GET /basket 0..{count * gap + 4}"]
    for i in range(count):
        lines.append(f"  shop CLIENT SELECT items {2 + i * gap}..{2 + i * gap + gap - 1} db.system=postgresql {mark}")
        if between:
            lines.append(f"  shop {between} {2 + i * gap + gap - 1}..{2 + i * gap + gap}")
    return "\n".join(lines)


def test_n_plus_one_against_the_usual_number():
    """Two queries usually, forty now, other work between them; the span that loops is the origin."""
    story = Room(loop(2)).say(loop(40, between="render row"))

    assert origins(story) == [("structure.n_plus_one", "shop GET /basket")]
    numbers = story.candidates[0].evidence[0].numbers
    assert (numbers["calls"], numbers["usual"]) == (40.0, 2.0)
    assert numbers["wasted_ms"] == pytest.approx(40 * 3 - 2 * 3)


def test_a_loop_that_is_usual_is_not_reported():
    assert Room(loop(40)).say(loop(44)).candidates == ()


def test_n_plus_one_with_nothing_learned():
    """Cold: only when the calls run one after another and take most of the parent's time."""
    cold = Room()

    assert origins(cold.say(loop(12))) == [("structure.n_plus_one", "shop GET /basket")]
    assert cold.say(loop(9)).candidates == ()
    assert cold.say(loop(12).replace("0..52", "0..500")).candidates == ()


def test_side_by_side_is_not_n_plus_one_when_cold():
    lines = ["shop GET /basket 0..60"] + [
        f"  shop CLIENT SELECT items {2 + i}..{40 + i} db.system=x" for i in range(15)
    ]

    assert Room().say("\n".join(lines)).candidates == ()


def test_a_loop_inside_the_process_is_not_n_plus_one():
    assert Room().say(loop(40).replace("CLIENT SELECT items", "INTERNAL step").replace("db.system=postgresql", "")) == (
        StructureStory()
    )


def test_a_storm_of_retries():
    """Eight attempts in a row, all but the last failed."""
    text = loop(8, mark="ERROR")
    last = text.rindex(" ERROR")
    story = Room(loop(1)).say(text[:last] + text[last + len(" ERROR") :])

    assert origins(story) == [("structure.retry_storm", "shop GET /basket")]
    assert story.candidates[0].evidence[0].numbers == {"attempts": 8.0, "failed": 7.0, "usual": 1.0}


def test_three_tries_are_a_policy():
    assert Room(loop(1)).say(loop(3, mark="ERROR")).candidates == ()


PARALLEL = """
web GET /home 0..40
  web CLIENT ads 2..35
  web CLIENT news 3..36
  web CLIENT mail 4..37
"""


def test_calls_that_used_to_overlap():
    story = Room(PARALLEL).say(
        """
        web GET /home 0..120
          web CLIENT ads 2..35
          web CLIENT news 36..70
          web CLIENT mail 71..110
        """
    )

    assert origins(story) == [("structure.serialised", "web GET /home")]


def test_slow_calls_that_still_overlap_are_not_serialised():
    slow = PARALLEL.replace("0..40", "0..120").replace("2..35", "2..110")

    assert Room(PARALLEL).say(slow).candidates == ()


def test_a_message_that_waited(room: Room):
    """Usually a millisecond in the queue, now two seconds: the queue is named, at the span that began late."""
    story = room.say(CHECKOUT.replace("51..58", "2050..2058"))

    assert origins(story) == [("structure.queue_wait", "mail orders process")]
    entity = story.candidates[0].entity
    assert (entity.kind, entity.name, entity.service) == ("queue", "orders", "shop")


def test_a_call_never_made_before_is_noted(room: Room):
    """Informative only."""
    story = room.say(CHECKOUT + "  shop CLIENT POST 52..55\n    spy POST /collect 53..54\n")

    assert story.candidates == ()
    assert [note.claim for note in story.notes] == ["shop POST /checkout has not called shop POST before"]


def test_probabilities_sum_to_one_at_most():
    """Two loops under one root, each an N+1 of its own."""
    text = loop(40).replace("0..164", "0..400")
    more = "\n".join(f"  shop CLIENT SELECT prices {170 + 4 * i}..{173 + 4 * i} db.system=x" for i in range(40))
    story = Room(loop(2)).say(text + "\n" + more)

    assert len(story.candidates) == 2
    assert sum(cause.probability for cause in story.candidates) <= 0.95 + 1e-9
    assert [cause.rank for cause in story.candidates] == [1, 2]


def test_hostile_names_are_shown_safely():
    """Control characters and endless names do not reach a sentence."""
    name = "SELECT " + "x" * 5000
    text = loop(40).replace("SELECT items", name)
    story = Room().say(text)

    assert len(story.candidates[0].sentence) < 2000


def test_a_fan_out_of_thousands_stays_short():
    """The evidence names a hundred spans at most."""
    story = Room().say(loop(3000))

    assert len(story.candidates[0].evidence[0].span_ids) == 100
