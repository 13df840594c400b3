"""What stays the same is one group; each tier, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.errors.fingerprint import VERSION, fingerprint_of
from analyzer.errors.frames import clean_file, clean_function, clean_module
from analyzer.errors.model import ExceptionFact, Fingerprint
from analyzer.errors.trace_groups import grouped
from analyzer.findings import Answer, Entity, RootCause, SpanRef
from tests.support.drawn_stacks import parse_drawn

NPE = """
NullPointerException: user is null
  lib.HashMap.hash(HashMap.java:339)
  app.Users.find(Users.java:45)
  app.Orders.place(Orders.java:7)
"""


def fact(stack: str = "", **more: object) -> ExceptionFact:
    known = {
        "trace_id": "aa",
        "span_id": "01",
        "service": "orders",
        "operation": "POST /orders",
        "time_ns": 1,
        "type": "NullPointerException",
        "message": "user is null",
        "stack": parse_drawn(stack) if stack else None,
    }
    return ExceptionFact(**(known | more))  # type: ignore[arg-type]


def of(stack: str = "", **more: object) -> Fingerprint:
    return fingerprint_of(fact(stack, **more))


def test_the_parts_say_why():
    found = of(NPE)

    assert (found.version, found.tier) == (VERSION, "stack")
    assert found.parts == (
        ("service", "orders"),
        ("type", "NullPointerException"),
        ("frame", "app.Users:find"),
        ("frame", "app.Orders:place"),
    )
    assert len(found.fine) == len(found.coarse) == 16


def test_lines_and_messages_do_not_matter_to_a_stack():
    shifted = NPE.replace(":45)", ":52)").replace("user is null", "user 17 is null")

    assert of(shifted, message="user 17 is null") == of(NPE)


def test_another_way_into_the_same_failure_is_near():
    """The same first application frame: another group, and one that may be merged with it."""
    other = of(NPE.replace("app.Orders.place(Orders.java:7)", "app.Carts.show(Carts.java:9)"))

    assert other.fine != of(NPE).fine
    assert other.coarse == of(NPE).coarse


def test_wrapping_changes_nothing():
    """Caught in place() and thrown again around its cause; together they tell the same way."""
    wrapped = """
    OrderError: could not place
      app.Orders.place(Orders.java:9)
    Caused by: NullPointerException: user is null
      lib.HashMap.hash(HashMap.java:339)
      app.Users.find(Users.java:45)
      app.Orders.place(Orders.java:7)
    """

    assert of(wrapped, type="OrderError", message="could not place") == of(NPE)


def test_recursion_counts_once():
    deep = NPE.replace("  app.Users.find(Users.java:45)\n", "  app.Users.find(Users.java:45)\n" * 40)

    assert of(deep) == of(NPE)


def test_without_application_frames_all_are_taken():
    found = of("TimeoutError: x\n  lib.Pool.get(Pool.java:1)\n  lib.Pool.wait(Pool.java:2)\n")

    assert [value for name, value in found.parts if name == "frame"] == ["lib.Pool:get", "lib.Pool:wait"]


def test_without_a_stack_the_template_of_the_message_counts():
    one, two = of(message="user 1 is gone"), of(message="user 2 is gone")

    assert one == two
    assert one.tier == "message"
    assert ("message", "user <n> is gone") in one.parts
    assert of(message="disk is full").fine != one.fine


def test_operations_differ_finely_and_agree_coarsely():
    one, two = of(operation="GET /users/1"), of(operation="DELETE /users/1")

    assert one.fine != two.fine
    assert one.coarse == two.coarse


def test_without_anything_said_the_status_counts():
    """GET /users/1 and GET /users/2 are one operation."""
    one = of(type="", message="", http_status=503, error_class="unavailable", operation="GET /users/1")
    two = of(type="", message="", http_status=503, error_class="unavailable", operation="GET /users/2")

    assert one == two
    assert one.tier == "status"
    assert ("http_status", "503") in one.parts
    assert of(type="", message="", http_status=500, operation="GET /users/1").fine != one.fine


def test_the_program_has_the_last_word():
    """Whatever the stack, and whatever the service."""
    said = (("error.fingerprint", "payment-insufficient-funds"),)

    assert of(NPE, attributes=said) == of(attributes=said, service="other")
    assert of(NPE, attributes=said).tier == "custom"


def test_services_are_kept_apart():
    assert of(NPE, service="carts").fine != of(NPE).fine


@pytest.mark.parametrize(
    ("function", "cleaned"),
    [
        ("lambda$charge$3", "lambda$charge"),
        ("Foo$$Lambda$12/0x0000000800c8.run", "Foo$$.run"),
        ("<DoAsync>d__5.MoveNext", "DoAsync"),
        ("handler.func1.2", "handler.func"),
        ("core::ops::function::h0123456789abcdef", "core::ops::function"),
        ("block (2 levels) in index", "index"),
        ("<lambda>", "<lambda>"),
        ("Object.<anonymous>", "Object.<anonymous>"),
        ("std::vector<int>::at(unsigned long)", "std::vector::at"),
        ("(*Server).serve", "(*Server).serve"),
        ("Foo$1.run", "Foo$.run"),
        ("OrderService$$EnhancerBySpringCGLIB$$abc12.place", "OrderService.place"),
        ("OrderService$$SpringCGLIB$$0.place", "OrderService.place"),
        ("anonymous_12", "lambda"),
    ],
)
def test_what_a_compiler_counted_is_left_out(function: str, cleaned: str):
    assert clean_function(function) == cleaned


def test_files_lose_their_folders_and_build_hashes():
    assert clean_file("/app/dist/main.3f2a1b9c.js?x") == "main.js"
    assert clean_file("C:\\src\\Pay.cs") == "Pay.cs"
    assert clean_file("test-utils.js") == "test-utils.js"
    assert clean_module("github.com/acme/pay") == "github.com/acme/pay"


def answer(*origins: str) -> Answer:
    spans = [SpanRef(span_id=one, service="x", operation="y") for one in origins]
    cause = RootCause(
        rank=1,
        entity=Entity(kind="service", name="x"),
        origin_spans=spans,
        probability=0.9,
        rule="error.origin.local",
        sentence="x failed",
    )
    return Answer(trace_id="aa", status="finding", verdict="error", root_causes=[cause])


def group(found: Answer, facts: list[ExceptionFact]) -> Fingerprint | None:
    """The trace's own group, as it is counted."""
    explained = grouped(found, facts)
    return explained.groups[0].fingerprint if explained.answer.group is not None else None


def test_the_error_at_the_edge_belongs_to_its_origin():
    """A 500 at the gateway, a NullPointerException in orders: one group, the origin's."""
    edge = fact(span_id="01", service="gateway", type="HttpError", message="500", sources=("event",))
    origin = fact(NPE, span_id="02", sources=("event",))

    assert group(answer("02"), [origin, edge]) == fingerprint_of(origin)


def test_a_fact_is_found_under_each_of_its_spans():
    edge = fact(span_id="01", service="gateway", sources=("event",))
    inner = replace(fact(NPE, span_id="03", sources=("event",)), span_ids=("03", "02"))

    assert group(answer("02"), [inner, edge]) == fingerprint_of(inner)


def test_without_a_known_origin_the_innermost_exception_counts():
    """Facts come innermost first; a bare status says less than an exception."""
    status = fact(span_id="03", type="", message="", http_status=500, sources=("status",))
    inner = fact(NPE, span_id="02", sources=("log",))

    assert group(answer("09"), [status, inner]) == fingerprint_of(inner)
    assert group(answer("09"), [status]) == fingerprint_of(status)
    assert group(answer("09"), []) is None
