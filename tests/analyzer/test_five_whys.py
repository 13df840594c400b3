"""Five whys: the first come from spans, the last say that they need people, and nothing is made up between."""

from __future__ import annotations

from analyzer.findings import Answer
from analyzer.reports.five_whys import Changed, five_whys
from tests.support.answers import checkout
from tests.support.drawing import draw
from tests.support.fakes.clock import EPOCH_NS
from tests.support.reported import Reporter
from tests.support.shop import FAULTS

# Database timeout <- pool exhausted <- long queries <- N+1 <- lazy loading <- review.
N_PLUS_ONE = "\n".join(
    [
        "shop  GET /orders  0..31000  ERROR http.response.status_code=500",
        "  shop  load orders  1..30500",
        *(
            f"    shop  CLIENT SELECT items  {2 + 700 * i}..{690 + 700 * i} db.system.name=postgresql "
            "db.namespace=shop server.address=shop-db"
            for i in range(40)
        ),
        "  shop  open connection  900..30900  ERROR !SQLTransientConnectionException: "
        '"HikariPool-1 - Connection is not available, request timed out after 30000ms"',
    ]
)


def test_the_chain_of_the_brief():
    """Timeout, pool, long queries, N+1 are measured; lazy loading and review need people."""
    _, report = Reporter().report(draw(N_PLUS_ONE))

    whys = report.five_whys.whys

    assert report.root_cause.patterns[0] == "resource.connection_pool_exhausted"
    assert [why.level for why in whys] == ["measured"] * 4 + ["needs people"] * 2
    assert "open connection" in whys[0].because
    assert "connection pool exhausted" in whys[1].because
    assert "40 of them in this request alone" in whys[2].because
    assert "40 like calls, one per element (N+1)" in whys[3].because
    assert "lazy loading" in whys[4].because
    assert "review" in whys[5].because
    assert all(why.span_ids for why in whys if why.level == "measured")


def test_every_measured_why_names_its_spans():
    reporter = Reporter()
    for fault in FAULTS:
        answer, report = reporter.report(fault.drawing())
        known = {span.span_id.hex() for span in fault.drawing().spans}
        for why in report.five_whys.whys:
            assert set(why.span_ids) <= known, answer.trace_id
            assert why.span_ids or why.level == "needs people"


def test_it_ends_where_the_other_side_sends_no_spans():
    """The bank is not instrumented: that is said, and the walk goes no further."""
    _, report = Reporter().report(
        draw(
            """
            shop  POST /pay  0..100  ERROR http.response.status_code=502
              shop  CLIENT POST  10..90  ERROR http.response.status_code=503 server.address=bank.example
            """
        )
    )

    assert report.five_whys.ended == "not observable: no server spans from bank.example"
    assert report.five_whys.whys[-1].level == "needs people"


def test_a_change_before_is_inferred_and_one_after_is_not_named():
    before = Changed(EPOCH_NS - 90_000_000_000, "release v2.3.1", "bank")
    after = Changed(EPOCH_NS + 90_000_000_000, "release v2.3.2", "bank")
    elsewhere = Changed(EPOCH_NS - 1_000_000_000, "release v9", "search")

    whys = five_whys(checkout(), changes=[before, after, elsewhere]).whys

    (told,) = [why for why in whys if "release" in why.because]
    assert told.because.startswith("release v2.3.1 at 2025-10-09 08:51:50 UTC, 1 min 30 s before")
    assert told.level == "inferred"


def test_what_is_not_sure_is_inferred():
    """The answer cannot tell: no why of it is called measured."""
    unsure = checkout().model_copy(update={"status": "unknown"})

    whys = five_whys(unsure).whys

    assert "may have begun in bank Authorize" in whys[0].because
    assert {why.level for why in whys} == {"inferred", "needs people"}


def test_a_clean_trace_is_not_asked_why():
    found = five_whys(Answer(trace_id="11" * 16, status="clean"))

    assert found.whys == []
    assert found.ended == "nothing wrong was found, so there is nothing to ask"
