"""Stack traces: frames a second from text to frames with in-app decided, per language.

Run: python -m tests.benchmarks.bench_stack_traces [--quick]

Traces are printed from a code base of 3000 calls; each has two exceptions and 60 frames, each message is another.

* seen: the stack came before, as when an error comes again; only its message is new
* fresh: the calls came before, every stack and nearly every line is new (lines are drawn for each frame)
* first: nothing came before, not even the calls

CPU time of the one thread, best of several rounds; the language is given as a hint, as SDKs do.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from analyzer.errors.stack_traces import InAppRules, parse_stack
from tests.benchmarks.goals import Measured, show, write

CALLS, FRAMES = 3000, 60
WORDS = (
    "order",
    "cart",
    "price",
    "till",
    "shop",
    "user",
    "stock",
    "mail",
    "proxy",
    "filter",
    "chain",
    "invoke",
    "handle",
)
Call = tuple[str, str, str]


def code_base(draw: random.Random) -> list[Call]:
    """(package, class, method); a third is application code."""
    roots = ("acme.shop", "springframework.web", "apache.catalina.core")
    return [
        (
            f"{draw.choice(roots)}.{draw.choice(WORDS)}",
            (draw.choice(WORDS) + draw.choice(WORDS).title() + draw.choice(WORDS).title()).capitalize(),
            draw.choice(WORDS) + draw.choice(WORDS).title(),
        )
        for _ in range(CALLS)
    ]


def java(calls: list[Call], line: Callable[[], int]) -> str:
    frames = [f"\tat org.{package}.{kind}.{method}({kind}.java:{line()})" for package, kind, method in calls]
    half = len(frames) // 2
    return "\n".join(
        [
            "java.lang.IllegalStateException: no price",
            *frames[:half],
            "Caused by: java.io.IOException: gone",
            *frames[half:],
        ]
    )


def python(calls: list[Call], line: Callable[[], int]) -> str:
    frames = [
        f'  File "/srv/app/{package.replace(".", "/")}/{kind.lower()}.py", line {line()}, in {method}\n'
        f"    return self.{method}(order, price)"
        for package, kind, method in calls
    ]
    half = len(frames) // 2
    header = "Traceback (most recent call last):"
    between = "\nThe above exception was the direct cause of the following exception:\n"
    return "\n".join(
        [header, *frames[:half], "OSError: gone", between, header, *frames[half:], "shop.CheckoutError: no price"]
    )


def javascript(calls: list[Call], line: Callable[[], int]) -> str:
    frames = [
        f"    at {kind}.{method} (/srv/app/{package.replace('.', '/')}/{kind.lower()}.js:{line()}:{line() % 90 + 1})"
        for package, kind, method in calls
    ]
    half = len(frames) // 2
    return "\n".join(["Error: no price", *frames[:half], "  [cause]: TypeError: gone", *frames[half:]])


def go(calls: list[Call], line: Callable[[], int]) -> str:
    frames = [
        f"github.com/{package.replace('.', '/')}.(*{kind}).{method}(0xc000{line():06x}, {{0x{line():x}, 0x1}})\n"
        f"\t/srv/app/{package.replace('.', '/')}/{kind.lower()}.go:{line()} +0x{line():x}"
        for package, kind, method in calls
    ]
    half = len(frames) // 2
    return "\n".join(
        ["panic: gone", "", "goroutine 1 [running]:", *frames[:half], "", "goroutine 7 [select]:", *frames[half:]]
    )


def dotnet(calls: list[Call], line: Callable[[], int]) -> str:
    frames = [
        f"   at {package.title()}.{kind}.{method}(String name, Int32 count) in /srv/app/{kind}.cs:line {line()}"
        for package, kind, method in calls
    ]
    half = len(frames) // 2
    end = "   --- End of inner exception stack trace ---"
    return "\n".join(
        [
            "System.InvalidOperationException: no",
            " ---> System.IO.IOException: gone",
            *frames[:half],
            end,
            *frames[half:],
        ]
    )


def ruby(calls: list[Call], line: Callable[[], int]) -> str:
    places = [
        f"/srv/app/{package.replace('.', '/')}/{kind.lower()}.rb:{line()}:in '{kind}#{method}'"
        for package, kind, method in calls
    ]
    half = len(places) // 2
    head, tail = places[:half], places[half:]
    return "\n".join(
        [
            *(f"{head[0]}: no price (CheckoutError)", *[f"\tfrom {place}" for place in head[1:]]),
            *(f"{tail[0]}: gone (IOError)", *[f"\tfrom {place}" for place in tail[1:]]),
        ]
    )


def php(calls: list[Call], line: Callable[[], int]) -> str:
    frames = [
        f"#{number} /srv/app/{package.replace('.', '/')}/{kind}.php({line()}): {kind}->{method}()"
        for number, (package, kind, method) in enumerate(calls)
    ]
    half = len(frames) // 2
    second = ["", "Next LogicException: no price in /srv/app/b.php:4", "Stack trace:", *frames[half:]]
    return "\n".join(["RuntimeException: gone in /srv/app/a.php:3", "Stack trace:", *frames[:half], *second])


def rust(calls: list[Call], line: Callable[[], int]) -> str:
    frames = [
        f"  {number:2}: {package.replace('.', '::')}::{kind}::{method}\n             at ./src/{kind.lower()}.rs:{line()}:{line()}"
        for number, (package, kind, method) in enumerate(calls)
    ]
    return "\n".join(["thread 'main' panicked at src/main.rs:4:5:", "gone", "stack backtrace:", *frames])


def c(calls: list[Call], line: Callable[[], int]) -> str:
    frames = [
        f"#{number}  0x{line():016x} in {kind}::{method} (this=0x{line():x}, count=3) at src/{kind.lower()}.cc:{line()}"
        for number, (_, kind, method) in enumerate(calls)
    ]
    return "\n".join(["Program received signal SIGSEGV, Segmentation fault.", *frames])


def elixir(calls: list[Call], line: Callable[[], int]) -> str:
    frames = [
        f"    (shop 0.1.0) lib/shop/{kind.lower()}.ex:{line()}: Shop.{kind}.{method}/2" for _, kind, method in calls
    ]
    return "\n".join(["** (KeyError) gone", *frames])


PRINTERS = (java, python, javascript, go, dotnet, ruby, php, rust, c, elixir)


def frames_per_second(texts: list[str], language: str, rules: InAppRules) -> float:
    """One round; every text must give its frames."""
    began = time.thread_time()
    parsed = [parse_stack(text, language, rules) for text in texts]
    took = time.thread_time() - began
    count = sum(len(thrown.frames) for stack in parsed if stack for thrown in stack.chain)
    assert count >= len(texts) * (FRAMES - 2), f"{language}: {count} frames of {len(texts) * FRAMES}"
    return count / took


def measured(printer: Callable[[list[Call], Callable[[], int]], str], quick: bool) -> dict[str, float]:
    """The best rounds of one language, in M frames/s."""
    draw = random.Random(7)
    calls = code_base(draw)
    name = printer.__name__

    def texts() -> list[str]:
        stacks = [printer(draw.choices(calls, k=FRAMES), lambda: draw.randrange(1, 2000)) for _ in range(100)]
        return [stack.replace("gone", f"gone {number}") for number, stack in enumerate(stacks)]

    best = {"seen": 0.0, "fresh": 0.0, "first": 0.0}
    known = InAppRules()
    for _ in range(5):
        frames_per_second(texts(), name, known)
    for number in range(4 if quick else 12):
        stacks = texts()
        again = [stack.replace("gone", f"gone again {number}") for stack in stacks]
        best["first"] = max(best["first"], frames_per_second(stacks, name, InAppRules()))
        best["fresh"] = max(best["fresh"], frames_per_second(stacks, name, known))
        best["seen"] = max(best["seen"], frames_per_second(again, name, known))
    return {kind: rate / 1e6 for kind, rate in best.items()}


def run(quick: bool = False) -> tuple[list[Measured], dict[str, object]]:
    """Measure every language, print one line each."""
    figures: dict[str, object] = {}
    seconds = {"seen": 0.0, "fresh": 0.0}
    for printer in PRINTERS:
        rates = measured(printer, quick)
        figures[printer.__name__] = rates
        print(f"{printer.__name__:10} " + "   ".join(f"{kind} {rate:6.2f} M frames/s" for kind, rate in rates.items()))
        for kind in seconds:
            seconds[kind] += 1 / rates[kind]
    note = "the same number of frames of each of ten languages"
    found = [
        Measured("stack_frames", len(PRINTERS) / seconds["seen"], note),
        Measured("stack_frames_fresh", len(PRINTERS) / seconds["fresh"], note),
    ]
    return found, figures


if __name__ == "__main__":
    found, numbers = run("--quick" in sys.argv)
    show(found)
    print(f"written to {write('stack_traces', found, numbers)}")
