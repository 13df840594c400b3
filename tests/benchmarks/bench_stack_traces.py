"""Stack traces: frames a second from text to frames with in-app decided, per language.

Run: python -m tests.benchmarks.bench_stack_traces [--quick]

The code base has 3000 functions, and each calls others from 1 to 3 lines of it: a call site always stands in the same
line and calls the same function. A stack is a random way of 60 calls through it; most languages print it in two
exceptions, each message is another. What a run decides is drawn for each frame: the arguments and offsets that Go
prints, the arguments and addresses of C.

* seen: the stack came before, as when an error comes again; only its message is new
* fresh: the stack never came, its call sites did
* lines: the functions came before, the lines are drawn for each frame: nearly every one is new
* first: nothing came before, not even the functions (a hundred stacks)

CPU time of the one thread, best of several rounds; the language is given as a hint, as SDKs do.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from analyzer.errors.stack_traces import InAppRules, parse_stack
from tests.benchmarks.goals import Measured, show, write

FUNCTIONS, FRAMES = 3000, 60
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
Printer = Callable[[list["Site"], Callable[[], int]], str]


class Site(NamedTuple):
    """A line of a function that calls another."""

    package: str
    kind: str
    method: str
    line: int
    callee: int


def code_base(draw: random.Random) -> list[list[Site]]:
    """The call sites of each function; a third is application code."""
    roots = ("acme.shop", "springframework.web", "apache.catalina.core")
    return [
        [
            Site(package, kind, method, draw.randrange(1, 2000), draw.randrange(FUNCTIONS))
            for _ in range(draw.randint(1, 3))
        ]
        for package, kind, method in [
            (
                f"{draw.choice(roots)}.{draw.choice(WORDS)}",
                (draw.choice(WORDS) + draw.choice(WORDS).title() + draw.choice(WORDS).title()).capitalize(),
                draw.choice(WORDS) + draw.choice(WORDS).title(),
            )
            for _ in range(FUNCTIONS)
        ]
    ]


def walk(draw: random.Random, functions: list[list[Site]]) -> list[Site]:
    """A stack, innermost first."""
    at = draw.randrange(FUNCTIONS)
    stack: list[Site] = []
    while len(stack) < FRAMES:
        stack.append(draw.choice(functions[at]))
        at = stack[-1].callee
    return stack[::-1]


def java(stack: list[Site], _drawn: Callable[[], int]) -> str:
    frames = [f"\tat org.{package}.{kind}.{method}({kind}.java:{line})" for package, kind, method, line, _ in stack]
    half = len(frames) // 2
    return "\n".join(
        [
            "java.lang.IllegalStateException: no price",
            *frames[:half],
            "Caused by: java.io.IOException: gone",
            *frames[half:],
        ]
    )


def python(stack: list[Site], _drawn: Callable[[], int]) -> str:
    frames = [
        f'  File "/srv/app/{package.replace(".", "/")}/{kind.lower()}.py", line {line}, in {method}\n'
        f"    return self.{method}(order, price)"
        for package, kind, method, line, _ in stack
    ]
    half = len(frames) // 2
    header = "Traceback (most recent call last):"
    between = "\nThe above exception was the direct cause of the following exception:\n"
    return "\n".join(
        [header, *frames[:half], "OSError: gone", between, header, *frames[half:], "shop.CheckoutError: no price"]
    )


def javascript(stack: list[Site], _drawn: Callable[[], int]) -> str:
    frames = [
        f"    at {kind}.{method} (/srv/app/{package.replace('.', '/')}/{kind.lower()}.js:{line}:{line % 90 + 1})"
        for package, kind, method, line, _ in stack
    ]
    half = len(frames) // 2
    return "\n".join(["Error: no price", *frames[:half], "  [cause]: TypeError: gone", *frames[half:]])


def go(stack: list[Site], drawn: Callable[[], int]) -> str:
    frames = [
        f"github.com/{package.replace('.', '/')}.(*{kind}).{method}(0xc000{drawn():06x}, {{0x{drawn():x}, 0x1}})\n"
        f"\t/srv/app/{package.replace('.', '/')}/{kind.lower()}.go:{line} +0x{drawn():x}"
        for package, kind, method, line, _ in stack
    ]
    half = len(frames) // 2
    return "\n".join(
        ["panic: gone", "", "goroutine 1 [running]:", *frames[:half], "", "goroutine 7 [select]:", *frames[half:]]
    )


def dotnet(stack: list[Site], _drawn: Callable[[], int]) -> str:
    frames = [
        f"   at {package.title()}.{kind}.{method}(String name, Int32 count) in /srv/app/{kind}.cs:line {line}"
        for package, kind, method, line, _ in stack
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


def ruby(stack: list[Site], _drawn: Callable[[], int]) -> str:
    places = [
        f"/srv/app/{package.replace('.', '/')}/{kind.lower()}.rb:{line}:in '{kind}#{method}'"
        for package, kind, method, line, _ in stack
    ]
    half = len(places) // 2
    head, tail = places[:half], places[half:]
    return "\n".join(
        [
            *(f"{head[0]}: no price (CheckoutError)", *[f"\tfrom {place}" for place in head[1:]]),
            *(f"{tail[0]}: gone (IOError)", *[f"\tfrom {place}" for place in tail[1:]]),
        ]
    )


def php(stack: list[Site], _drawn: Callable[[], int]) -> str:
    # The line says where the function was called, so the place is the caller's.
    frames = [
        f"#{number} /srv/app/{package.replace('.', '/')}/{kind}.php({line}): {called.kind}->{called.method}()"
        for number, ((package, kind, _, line, _), called) in enumerate(zip(stack[1:], stack, strict=False))
    ]
    frames.append(f"#{len(frames)} {{main}}")
    half = len(frames) // 2
    second = ["", "Next LogicException: no price in /srv/app/b.php:4", "Stack trace:", *frames[half:]]
    return "\n".join(["RuntimeException: gone in /srv/app/a.php:3", "Stack trace:", *frames[:half], *second])


def rust(stack: list[Site], _drawn: Callable[[], int]) -> str:
    frames = [
        f"  {number:2}: {package.replace('.', '::')}::{kind}::{method}\n             at ./src/{kind.lower()}.rs:{line}:{line}"
        for number, (package, kind, method, line, _) in enumerate(stack)
    ]
    return "\n".join(["thread 'main' panicked at src/main.rs:4:5:", "gone", "stack backtrace:", *frames])


def c(stack: list[Site], drawn: Callable[[], int]) -> str:
    frames = [
        f"#{number}  0x{drawn():016x} in {kind}::{method} (this=0x{drawn():x}, count=3) at src/{kind.lower()}.cc:{line}"
        for number, (_, kind, method, line, _) in enumerate(stack)
    ]
    return "\n".join(["Program received signal SIGSEGV, Segmentation fault.", *frames])


def elixir(stack: list[Site], _drawn: Callable[[], int]) -> str:
    frames = [
        f"    (shop 0.1.0) lib/shop/{kind.lower()}.ex:{line}: Shop.{kind}.{method}/2"
        for _, kind, method, line, _ in stack
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


def measured(printer: Printer, quick: bool) -> dict[str, float]:
    """The best rounds of one language, in M frames/s."""
    draw = random.Random(7)
    functions = code_base(draw)
    name = printer.__name__

    def drawn() -> int:
        return draw.randrange(1, 2000)

    def printed(stacks: list[list[Site]]) -> list[str]:
        return [printer(stack, drawn).replace("gone", f"gone {number}") for number, stack in enumerate(stacks)]

    def texts() -> list[str]:
        return printed([walk(draw, functions) for _ in range(100)])

    def texts_of_new_lines() -> list[str]:
        return printed([[site._replace(line=drawn()) for site in walk(draw, functions)] for _ in range(100)])

    best = {"seen": 0.0, "fresh": 0.0, "lines": 0.0, "first": 0.0}
    known, flooded = InAppRules(), InAppRules()
    for _ in range(30):
        frames_per_second(texts(), name, known)
    for _ in range(5):
        frames_per_second(texts_of_new_lines(), name, flooded)
    for number in range(4 if quick else 12):
        stacks = texts()
        again = [stack.replace("gone", f"gone again {number}") for stack in stacks]
        rates = {
            "first": frames_per_second(stacks, name, InAppRules()),
            "fresh": frames_per_second(stacks, name, known),
            "seen": frames_per_second(again, name, known),
            "lines": frames_per_second(texts_of_new_lines(), name, flooded),
        }
        best = {kind: max(rate, rates[kind]) for kind, rate in best.items()}
    return {kind: rate / 1e6 for kind, rate in best.items()}


def show_rates(name: str, rates: dict[str, float]) -> None:
    print(f"{name:10} " + "   ".join(f"{kind} {rate:6.2f} M frames/s" for kind, rate in rates.items()))


def run(quick: bool = False) -> tuple[list[Measured], dict[str, object]]:
    """Measure every language, print one line each."""
    figures: dict[str, object] = {}
    seconds = dict.fromkeys(("seen", "fresh", "lines", "first"), 0.0)
    for printer in PRINTERS:
        rates = measured(printer, quick)
        figures[printer.__name__] = rates
        show_rates(printer.__name__, rates)
        for kind, rate in rates.items():
            seconds[kind] += 1 / rate
    overall = {kind: len(PRINTERS) / took for kind, took in seconds.items()}
    show_rates("all ten", overall)
    note = "the same number of frames of each of ten languages"
    found = [
        Measured("stack_frames", overall["seen"], note),
        Measured("stack_frames_fresh", overall["fresh"], note),
    ]
    return found, figures


if __name__ == "__main__":
    found, numbers = run("--quick" in sys.argv)
    show(found)
    print(f"written to {write('stack_traces', found, numbers)}")
