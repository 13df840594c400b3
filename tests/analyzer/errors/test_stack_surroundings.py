"""What stands around a trace, in any language: messages, logs, colours, a wrong hint, or no trace at all."""

from __future__ import annotations

from analyzer.errors.stack_traces import parse_stack
from tests.support.stacks import drawn, read


def test_a_message_of_many_lines_that_looks_like_frames():
    """Prose that starts with "at" is no frame."""
    found = read("""
        java.lang.IllegalStateException: it failed
          at the bottom of the stairs
          at once (really)
        \tat com.acme.Shop.buy(Shop.java:12)
    """)

    assert found == drawn("""
        thrown java.lang.IllegalStateException: it failed
          + com.acme.Shop.buy Shop.java:12
    """)


def test_python_inside_an_indented_log():
    found = read("""
        ERROR shop: request failed
            Traceback (most recent call last):
              File "/srv/app/shop.py", line 12, in buy
                total(cart)
              File "/usr/lib/python3/dist-packages/till/count/__init__.py", line 7, in count
                raise Gone(name)
            till.Gone: tea
    """)

    assert found == drawn("""
        thrown till.Gone: tea
          - till.count.count /usr/lib/python3/dist-packages/till/count/__init__.py:7
          + buy /srv/app/shop.py:12
    """)


def test_a_wrong_hint_is_looked_past():
    """A Python service logs what its Java neighbour answered."""
    stack = parse_stack("a.B: gone\n\tat com.acme.Shop.buy(Shop.java:12)", "python")

    assert stack is not None
    assert (stack.language, stack.origin and stack.origin.line) == ("java", 12)


def test_names_that_sdks_give_their_language():
    text = "Error: gone\n    at buy (/srv/app/shop.js:12:5)"

    assert {stack.language for name in ("nodejs", "webjs", "TypeScript") if (stack := parse_stack(text, name))} == {
        "javascript"
    }


def test_text_without_frames_is_no_stack():
    """A message alone says nothing of where."""
    for text in ("", "\n", "java.lang.NullPointerException", "ValueError: seven", "at", "the cat sat at the mat"):
        assert parse_stack(text) is None


def test_colours_are_taken_off():
    found = read("\x1b[31mError: gone\x1b[0m\n    at \x1b[1mbuy\x1b[0m (/srv/app/shop.js:12:5)")

    assert found == "thrown Error: gone\n  + buy /srv/app/shop.js:12:5"


def test_the_name_of_a_logger_is_not_the_error():
    found = read("""
        shop.till: request failed
        java.io.IOException: gone
        \tat com.acme.Till.count(Till.java:7)
    """)

    assert found == "thrown java.io.IOException: gone\n  + com.acme.Till.count Till.java:7"
