"""Errors whose truth is known: bugs drawn from a seed, each reported many times, never twice in the same words.

A bug has a service, a language, a type, a way through application and library code, and a message with values. Each of
its reports is changed as deploys, users and frameworks change them. Close relatives are bugs of their own: the same type
on another way, another type on the same way, the same fault in another language.

With `hard`, reports also lose what a group rests on: the stack, its outer half (an await), a function's name (a
refactoring), the way in (another caller). Nobody can put all of these together without mixing bugs; they show how it fails.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from analyzer.errors.model import ExceptionFact, Frame, StackTrace, Thrown

LANGUAGES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # frame style, exception types, transparent wrappers
    "java": (
        "com.acme.{module}",
        ("java.lang.NullPointerException", "java.lang.IllegalStateException", "com.acme.CardException"),
        ("java.util.concurrent.CompletionException", "java.util.concurrent.ExecutionException"),
    ),
    "python": ("acme/{module}.py", ("KeyError", "ValueError", "acme.errors.CardError"), ("RuntimeError",)),
    "javascript": ("/app/dist/{module}.js", ("TypeError", "RangeError", "CardError"), ("Error",)),
    "dotnet": (
        "Acme.{module}",
        ("System.NullReferenceException", "System.InvalidOperationException", "Acme.CardException"),
        ("System.AggregateException", "System.Reflection.TargetInvocationException"),
    ),
    "go": (
        "github.com/acme/{module}",
        ("*errors.errorString", "runtime.boundsError", "*acme.CardError"),
        ("*fmt.wrapError",),
    ),
}
MODULES = ("cart", "billing", "stock", "mail", "pricing", "session", "ledger", "search")
VERBS = ("load", "find", "charge", "reserve", "render", "parse", "merge", "apply", "send", "validate")
SERVICES = ("payment", "orders", "cart", "users", "stock", "search")
MESSAGES = (
    "user {n} not found in tenant '{word}'",
    "card {hex} declined after {n}ms",
    "timeout calling http://{word}.acme.svc:{port}/v1/items/{n}",
    "cannot read property 'price' of order {uuid}",
    "connection to {ip}:{port} refused",
    "duplicate key (id)=({n}) in {word}_2025",
    "no value for {word}@example.com",
    "state is CLOSED",
)
HttpStatus = (500, 502, 503, 404)


@dataclass(frozen=True)
class Report:
    """One trace's errors, the span where it began, and which bug it was."""

    bug: int
    kind: str
    facts: tuple[ExceptionFact, ...]


@dataclass(frozen=True)
class Bug:
    number: int
    service: str
    operation: str
    language: str
    type: str
    message: str
    way: tuple[Frame, ...]  # innermost first, application and library; empty: no stack is ever reported


class Generator:
    """Draws bugs and their reports; everything comes from the seed."""

    def __init__(self, seed: int, *, hard: bool = False) -> None:
        self.random, self.hard = random.Random(seed), hard
        self.bugs: list[Bug] = []

    def reports(self, bugs: int, each: int) -> list[Report]:
        """Draw so many bugs, a third of them close relatives of another, and reports of each."""
        while len(self.bugs) < bugs:
            self.bugs.append(self._bug())
            if len(self.bugs) < bugs and self.random.random() < 0.5:
                self.bugs.append(self._relative(self.bugs[-1]))
        return [self._report(bug, index) for bug in self.bugs for index in range(each)]

    # -- bugs --------------------------------------------------------------------------------

    def _bug(self) -> Bug:
        pick = self.random.choice
        language = pick(list(LANGUAGES))
        service = pick(SERVICES)
        shape = self.random.random()
        way = self._way(language) if shape < 0.75 else ()
        return Bug(
            number=len(self.bugs),
            service=service,
            operation=f"{pick(('GET', 'POST'))} /{pick(MODULES)}/{pick(VERBS)}",
            language=language,
            type=pick(LANGUAGES[language][1]) if shape < 0.9 else "",
            message=pick(MESSAGES) + f" ({pick(VERBS)} {pick(MODULES)})" if shape < 0.9 else "",
            way=way,
        )

    def _way(self, language: str) -> tuple[Frame, ...]:
        names = [(m, v) for m in MODULES for v in VERBS]
        self.random.shuffle(names)
        length = self.random.choice((2, 3, 4, 5, 6, 8, 12, 30))
        app = [self._frame(language, module, verb) for module, verb in names[:length]]
        deep = [self._library(n) for n in range(self.random.randint(0, 3))]
        outer = [self._library(n + 10) for n in range(self.random.randint(1, 4))]
        return (*deep, *app, *outer)

    def _frame(self, language: str, module: str, verb: str) -> Frame:
        where = LANGUAGES[language][0].format(module=module)
        path = "/" in where and language != "go"
        return Frame(
            verb, "" if path else where, where if path else f"{module}.src", self.random.randint(1, 900), in_app=True
        )

    def _library(self, number: int) -> Frame:
        return Frame(f"dispatch{number}", "framework.core", "core.src", self.random.randint(1, 900), in_app=False)

    def _relative(self, bug: Bug) -> Bug:
        number = len(self.bugs)
        app = [at for at, frame in enumerate(bug.way) if frame.in_app]
        kind = self.random.choice(("other way", "other type", "other language", "other service"))
        if kind == "other language" and bug.type:
            language = self.random.choice([one for one in LANGUAGES if one != bug.language])
            way = tuple(
                frame if not frame.in_app else replace_frame(frame, LANGUAGES[language][0]) for frame in bug.way
            )
            index = LANGUAGES[bug.language][1].index(bug.type)
            return replace(bug, number=number, language=language, type=LANGUAGES[language][1][index], way=way)
        if kind == "other way" and len(app) > 2:
            other = self._way(bug.language)
            return replace(bug, number=number, way=(*bug.way[: app[0] + 1], *other))
        if kind == "other service":
            return replace(bug, number=number, service=f"{bug.service}-{number}")
        types = [one for one in LANGUAGES[bug.language][1] if one != bug.type]
        return replace(bug, number=number, type=self.random.choice(types))

    # -- reports -----------------------------------------------------------------------------

    def _report(self, bug: Bug, index: int) -> Report:
        kinds: dict[str, Callable[[Bug], list[ExceptionFact]]] = {
            "values": self._plain,
            "lines": self._lines,
            "wrapped": self._wrapped,
            "wrapped twice": self._wrapped_twice,
            "own wrapper": self._own_wrapper,
            "recursion": self._recursion,
            "counters": self._counters,
            "framework": self._framework,
            "across services": self._across,
        }
        if self.hard:
            kinds |= {
                "stack lost": self._stack_lost,
                "outer half lost": self._outer_lost,
                "function renamed": self._renamed,
                "another way in": self._other_entry,
            }
        kind = list(kinds)[index % len(kinds)] if bug.way else ("values", "across services")[index % 2]
        facts = kinds[kind](bug)
        return Report(bug.number, kind, tuple(replace(fact, trace_id=f"{bug.number}-{index}") for fact in facts))

    def _message(self, bug: Bug) -> str:
        r = self.random
        return bug.message.format(
            n=r.randint(1, 10**6),
            hex=f"{r.getrandbits(64):016x}",
            uuid=f"{r.getrandbits(32):08x}-{r.getrandbits(16):04x}-4{r.getrandbits(12):03x}-9000-{r.getrandbits(48):012x}",
            ip=".".join(str(r.randint(1, 254)) for _ in range(4)),
            port=r.randint(1024, 60000),
            word=r.choice(("alpha", "omega", "delta")) if "'" in bug.message or "@" in bug.message else "eu",
        )

    def _fact(self, bug: Bug, chain: Sequence[Thrown] | None = None) -> ExceptionFact:
        message = self._message(bug)
        if chain is None and bug.way:
            chain = (Thrown(bug.type, message, bug.way),)
        outer = chain[0] if chain else None
        return ExceptionFact(
            trace_id="",
            span_id="origin",
            service=bug.service,
            operation=bug.operation,
            time_ns=1,
            type=outer.type if outer else bug.type,
            message=outer.message if outer else message,
            stack=StackTrace(bug.language, tuple(chain)) if chain else None,
            sources=("event",) if bug.type else ("status",),
            http_status=0 if bug.type else HttpStatus[bug.number % len(HttpStatus)],
        )

    def _plain(self, bug: Bug) -> list[ExceptionFact]:
        return [self._fact(bug)]

    def _on(self, bug: Bug, change: Callable[[Frame], Frame]) -> list[ExceptionFact]:
        way = tuple(change(frame) for frame in bug.way)
        return [self._fact(bug, (Thrown(bug.type, self._message(bug), way),))]

    def _lines(self, bug: Bug) -> list[ExceptionFact]:
        return self._on(bug, lambda frame: frame._replace(line=frame.line + self.random.randint(-40, 40), column=3))

    def _wrap(self, bug: Bug, kinds: Sequence[tuple[str, str]]) -> list[ExceptionFact]:
        """Catch it somewhere on its way, throw another around it; the cause tells its way up to there."""
        message = self._message(bug)
        chain = [Thrown(bug.type, message, bug.way)]
        for kind, text in kinds:
            cut = self.random.randint(1, len(chain[0].frames) - 1) if len(chain[0].frames) > 1 else 1
            inner = replace(chain[0], frames=chain[0].frames[:cut], relation="cause")
            around = chain[0].frames[cut - 1 :]
            caught = around[0]._replace(line=around[0].line + 2)
            outer = Thrown(kind, text or f"{bug.type}: {message}", (caught, *around[1:]))
            chain = [outer, inner, *chain[1:]]
        return [self._fact(bug, chain)]

    def _wrapped(self, bug: Bug) -> list[ExceptionFact]:
        return self._wrap(bug, [(self.random.choice(LANGUAGES[bug.language][2]), "")])

    def _wrapped_twice(self, bug: Bug) -> list[ExceptionFact]:
        return self._wrap(bug, [(LANGUAGES[bug.language][2][0], ""), (LANGUAGES[bug.language][2][-1], "")])

    def _own_wrapper(self, bug: Bug) -> list[ExceptionFact]:
        return self._wrap(bug, [("acme.RequestFailed", f"request {self.random.randint(1, 999)} failed")])

    def _recursion(self, bug: Bug) -> list[ExceptionFact]:
        at = next(at for at, frame in enumerate(bug.way) if frame.in_app)
        times = self.random.randint(2, 60)
        way = (*bug.way[:at], *[bug.way[at]] * times, *bug.way[at + 1 :])
        return [self._fact(bug, (Thrown(bug.type, self._message(bug), way),))]

    def _counters(self, bug: Bug) -> list[ExceptionFact]:
        """Another build: a bundle's hash, the count of generated classes. They are in every report of such a bug."""
        tag = "".join(self.random.choice("0123456789abcdef") for _ in range(7)) + "7"

        def change(frame: Frame) -> Frame:
            if frame.in_app and frame.file.endswith(".js"):
                return frame._replace(file=frame.file.replace(".js", f".{tag}.js"))
            if frame.in_app and bug.language == "java":
                return frame._replace(module=f"{frame.module}$$SpringCGLIB$${self.random.randint(0, 9)}")
            return frame

        return self._on(bug, change)

    def _framework(self, bug: Bug) -> list[ExceptionFact]:
        """A newer framework has other frames between ours."""
        way: list[Frame] = []
        for frame in bug.way:
            if frame.in_app:
                way.append(frame)
            if self.random.random() < 0.5:
                way.append(self._library(self.random.randint(20, 99)))
        return [self._fact(bug, (Thrown(bug.type, self._message(bug), tuple(way)),))]

    def _stack_lost(self, bug: Bug) -> list[ExceptionFact]:
        return [replace(self._fact(bug), stack=None)]

    def _outer_lost(self, bug: Bug) -> list[ExceptionFact]:
        way = bug.way[: max(1, len(bug.way) // 2)]
        if not any(frame.in_app for frame in way):
            way = bug.way
        return [self._fact(bug, (Thrown(bug.type, self._message(bug), way),))]

    def _renamed(self, bug: Bug) -> list[ExceptionFact]:
        app = [at for at, frame in enumerate(bug.way) if frame.in_app]
        renamed = self.random.choice(app)
        way = tuple(
            frame._replace(function=f"{frame.function}All") if at == renamed else frame
            for at, frame in enumerate(bug.way)
        )
        return [self._fact(bug, (Thrown(bug.type, self._message(bug), way),))]

    def _other_entry(self, bug: Bug) -> list[ExceptionFact]:
        app = [at for at, frame in enumerate(bug.way) if frame.in_app]
        way = (*bug.way[: app[-1]], self._frame(bug.language, "entry", f"route{self.random.randint(1, 3)}"))
        return [replace(self._fact(bug, (Thrown(bug.type, self._message(bug), way),)), operation="GET /other")]

    def _across(self, bug: Bug) -> list[ExceptionFact]:
        """The caller reports an error about the error, and so does the edge."""
        origin = self._fact(bug)
        caller = replace(
            origin,
            span_id="caller",
            service=self.random.choice(("gateway", "bff")),
            type="HttpClientError",
            message=f"500 from {bug.service}: {origin.message}",
            stack=StackTrace("java", (Thrown("HttpClientError", "", (self._frame("java", "client", "call"),)),)),
            sources=("event",),
        )
        edge = replace(origin, span_id="edge", service="edge", type="", message="", stack=None, sources=("status",))
        return [origin, caller, replace(edge, http_status=500)]


def replace_frame(frame: Frame, style: str) -> Frame:
    module = (frame.module or frame.file).replace("\\", "/").split("/")[-1].split(".")
    name = next((one for one in module if one in MODULES), module[-1])
    where = style.format(module=name)
    path = "/" in where and not where.startswith("github")
    return frame._replace(module="" if path else where, file=where if path else f"{name}.src")
