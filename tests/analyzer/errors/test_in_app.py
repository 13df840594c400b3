"""Whose code is a frame: built-in lists, the user's rules, and the memory behind them."""

from __future__ import annotations

import pytest

from analyzer.errors.stack_traces import DEFAULT, InAppRules, in_app, java, parse_stack

JAVA = "a.B\n\tat com.acme.gen.Stub.call(Stub.java:1)\n\tat org.springframework.web.Door.open(Door.java:2)"


@pytest.mark.parametrize(
    ("language", "module", "file", "expected"),
    [
        ("java", "java.util.HashMap", "HashMap.java", False),
        ("java", "javaland.Shop", "Shop.java", True),
        ("java", "com.acme.Shop", "", True),
        ("python", "", "/srv/app/shop.py", True),
        ("python", "", "/usr/lib/python3.11/json/decoder.py", False),
        ("python", "django.core", "/srv/venv/lib/python3.11/site-packages/django/core.py", False),
        ("python", "", "<frozen importlib._bootstrap>", False),
        ("python", "", "<string>", True),
        ("javascript", "", "/srv/app/shop.js", True),
        ("javascript", "express", "/srv/app/node_modules/express/lib/router.js", False),
        ("javascript", "", "node:internal/process/task_queues", False),
        ("go", "main", "/srv/app/main.go", True),
        ("go", "net/http", "/usr/local/go/src/net/http/server.go", False),
        ("go", "net/http", "net/http/server.go", False),
        ("go", "github.com/gin-gonic/gin", "/home/app/go/pkg/mod/github.com/gin-gonic/gin@v1.9.1/gin.go", False),
        ("go", "github.com/acme/shop", "github.com/acme/shop/cart.go", True),
        ("dotnet", "System.Linq.Enumerable", "", False),
        ("dotnet", "Systematic.Shop", "", True),
        ("ruby", "", "/usr/lib/ruby/gems/3.4.0/gems/rack-3.1/lib/rack.rb", False),
        ("ruby", "", "/srv/app/models/cart.rb", True),
        ("php", "Symfony\\Kernel", "/srv/app/vendor/symfony/kernel.php", False),
        ("php", "Acme\\Cart", "/srv/app/src/Cart.php", True),
        ("rust", "std::panicking", "/rustc/abc/library/std/src/panicking.rs", False),
        ("rust", "stdlike::shop", "./src/shop.rs", True),
        ("rust", "main", "", False),
        ("c", "acme::Cart", "/srv/app/cart.cc", True),
        ("c", "free_cart", "/srv/app/cart.c", True),
        ("c", "free", "", False),
        ("c", "std::map<int, int>", "/usr/include/c++/12/bits/stl_map.h", False),
        ("elixir", "Enum", "lib/enum.ex", False),
        ("elixir", "Enumerated.Shop", "lib/shop.ex", True),
        ("elixir", ":erlang", "", False),
        ("javascript", "", "", None),
        ("python", "", "", None),
    ],
)
def test_built_in_lists(language: str, module: str, file: str, expected: bool | None):
    """Library by its package or its place; a name that only starts alike is the application's; nothing known, nothing said."""
    assert DEFAULT.decide(language, module, file) is expected


def decided(rules: InAppRules, text: str = JAVA) -> list[bool | None]:
    stack = parse_stack(text, rules=rules)
    assert stack is not None
    return [frame.in_app for frame in stack.root.frames]


def test_users_are_believed():
    """Excluded is library though it looks like the application; included is the application though it is on a list."""
    assert decided(DEFAULT) == [True, False]
    assert decided(InAppRules(exclude=("com.acme.gen.",))) == [False, False]
    assert decided(InAppRules(include=("org.springframework.web.",))) == [True, True]
    assert decided(InAppRules(include=("com.acme.",), exclude=("com.acme.gen.",))) == [True, False]


def test_globs_over_files():
    text = 'Traceback (most recent call last):\n  File "/opt/shop/site-packages/till.py", line 1, in f\nE: x'

    assert decided(DEFAULT, text) == [False]
    assert decided(InAppRules(include_paths=("/opt/shop/*",)), text) == [True]
    assert decided(InAppRules(exclude_paths=("*/vendored/*",)), text.replace("site-packages", "vendored")) == [False]


def test_rules_are_equal_by_what_they_say():
    """What was remembered is not part of them."""
    used = InAppRules(include=("a.",))
    decided(used)

    assert used == InAppRules(include=("a.",))
    assert hash(used) == hash(InAppRules(include=("a.",)))


def test_the_memory_of_calls_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """Full, it starts afresh and counts that; a call too long is never kept; answers stay right."""
    monkeypatch.setattr(in_app, "CALLS_LENGTH_MAX", 200)
    calls = InAppRules().calls("java", java.split)

    for number in range(25):
        assert calls.places[f"com.acme.C{number}.m", "C.java"] == ("m", f"com.acme.C{number}", "C.java", True)
    long = "a." * 400 + "m"
    assert calls.places[long, ""][0] == "m"

    assert calls.forgotten == 2
    assert len(calls.places) == 5  # of 19 and 20 letters, ten of them are full
    assert (long, "") not in calls.places


def test_the_memory_of_stacks_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """Seen stacks are the same frames, not copies; full, it starts afresh and counts that."""
    monkeypatch.setattr(in_app, "BLOCKS_LENGTH_MAX", 300)
    rules = InAppRules()

    first, again = (parse_stack(f"a.B: {number}\n\tat c.D.e(F.java:1)", rules=rules) for number in range(2))
    assert first is not None
    assert again is not None
    assert first.root.frames is again.root.frames
    for number in range(40):
        parse_stack(f"a.B\n\tat c.D.e(F.java:{number})", rules=rules)

    assert rules.calls("java", java.split).forgotten == 2
