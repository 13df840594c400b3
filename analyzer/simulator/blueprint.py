"""Draws a system: services in layers, what they do, whom they call, where they run.

In: dice and settings. Out: `System`. Built from the bottom up, so that what is called exists and a trace keeps to
a budget of spans; then every service that nobody calls is given a caller.
"""

from __future__ import annotations

from math import log2

from analyzer.simulator.case import CaseSettings
from analyzer.simulator.dialects import DIALECT_WEIGHTS, DIALECTS, MIXED
from analyzer.simulator.dice import LAW_NAMES, MS, Dice
from analyzer.simulator.system import CONSUMER, LEVELS_MAX, SERVER, Call, Operation, Pod, Service, System

_THINGS = (
    "cart", "checkout", "payment", "catalog", "inventory", "shipping", "user", "account", "auth",
    "session", "search", "review", "rating", "recommendation", "ad", "currency", "email", "notification",
    "order", "invoice", "ledger", "price", "promo", "coupon", "wishlist", "media", "image",
    "profile", "address", "tax", "fraud", "risk", "loyalty", "point", "seat", "station",
    "route", "train", "ticket", "food", "travel", "basic", "config", "security", "consign",
    "delivery", "assurance", "contact", "voucher", "wallet", "quote", "stock", "supplier", "warehouse",
    "report", "audit", "geo", "weather", "feed", "message", "chat", "friend", "timeline",
)  # fmt: skip
_ENDINGS = ("", "-api", "-store", "-core", "-gateway", "-sync")
_VERBS = ("get", "list", "create", "update", "check", "find", "reserve", "price")
_SHAPES = ("layered", "hub", "chain", "star")
_BUDGETS = (40.0, 20.0, 11.0, 6.0, 4.0, 3.0, 3.0, 3.0)  # spans of an operation, by level


def draw_system(dice: Dice, settings: CaseSettings, dialect: str) -> System:
    """Draw a system of `settings.services` services (drawn when None).

    Raises
    ------
    ValueError
        The dialect is unknown.
    """
    if dialect not in DIALECTS and dialect != MIXED:
        raise ValueError(f"dialect is {dialect!r}; expected one of {', '.join((*DIALECTS, MIXED))}")
    size = draw_size(dice)  # drawn even when given: what is asked for changes nothing else
    count = settings.services or size
    shape = dice.pick(_SHAPES)
    law = dice.pick(LAW_NAMES)
    builder = _Builder(dice, count, shape, law)
    builder.place_services()
    builder.build_operations()
    builder.adopt_orphans()
    builder.use_shared_parts()
    for operation in builder.operations:  # deepest level first
        operation.estimate()
    builder.set_deadlines()
    names = [name for name in DIALECTS if name not in ("bare", "all_internal", "server_only")]
    for service in builder.services:
        drawn = dice.pick(names)
        service.dialect = drawn if dialect == MIXED else dialect
    _hide_services(dice, builder.services, settings.uninstrumented_share)
    _set_clocks(dice, builder, settings.clock_skew_ms)
    return System(
        name=f"sim-{shape}-{count}",
        services=builder.services,
        operations=builder.operations,
        entries=builder.entries,
        entry_weights=[dice.log_between(0.4, 2.5) for _ in builder.entries],
        hosts=builder.hosts,
        zones=["zone-a", "zone-b", "zone-c"],
        dialect=dialect,
        law=law,
        cancels=dice.chance(0.4),
        breaks_context=dice.chance(0.25),
        tenants=[f"tenant-{i}" for i in range(dice.whole(3, 8))],
        host_noise=[[max(0.8, 1 + 0.05 * dice.normal()) for _ in range(64)] for _ in builder.hosts],
        wave_ns=dice.between(10, 60) * 60e9,
        wave_depth=dice.between(0.0, 0.4),
        wave_phase=dice.uniform(),
    )


def draw_dialect(dice: Dice) -> str:
    return dice.weighted(list(DIALECT_WEIGHTS), list(DIALECT_WEIGHTS.values()))


def draw_size(dice: Dice) -> int:
    """Mostly 6 to 40 services, one in twenty 100 to 200."""
    return dice.whole(100, 200) if dice.chance(0.05) else round(dice.log_between(6, 40))


class _Builder:
    def __init__(self, dice: Dice, count: int, shape: str, law: str) -> None:
        self.dice, self.count, self.shape, self.law = dice, count, shape, law
        self.services: list[Service] = []
        self.operations: list[Operation] = []
        self.entries: list[Operation] = []
        self.shared: set[int] = set()  # services that many call
        self.hosts: list[str] = []
        self.spread = dice.between(0.1, 0.45)

    def place_services(self) -> None:
        dice, count = self.dice, self.count
        names = [thing + ending for ending in _ENDINGS for thing in dice.shuffled(_THINGS)]
        fronts = 1 + count // 40
        workers = max(1, count // 12)
        depth = {"star": 2, "hub": 3, "chain": min(6, count - 2)}.get(self.shape, 2 + round(log2(count) / 2))
        depth = min(depth, LEVELS_MAX - 1)
        self.hosts = [f"node-{i + 1}" for i in range(max(3, count // 2))]
        for i in range(count):
            if i < fronts:
                name, level, worker = ("frontend", "gateway", "mobile", "partner", "admin", "batch")[i % 6], 0, False
            elif i >= count - workers:
                name, level, worker = f"{names[i]}-worker", depth, True
            else:
                name, worker = names[i], False
                level = i - fronts + 1 if i - fronts < depth else dice.whole(1, depth)
            pods = [self.new_pod(name, "1.4.0") for _ in range(dice.weighted((1, 2, 3, 4), (3, 3, 2, 1)))]
            self.services.append(Service(i, name, level, pods, worker))
            if level > 0 and not worker and dice.chance(0.25):
                self.shared.add(i)

    def new_pod(self, service: str, version: str) -> Pod:
        dice = self.dice
        letters = "bcdfghjklmnpqrstvwxz2456789"
        tail = "".join(dice.pick(letters) for _ in range(5))
        pod = Pod(f"{service}-{version.replace('.', '')}-{tail}", dice.whole(0, len(self.hosts) - 1), version)
        if dice.chance(0.3):
            pod.pause_every_ns, pod.pause_ns = dice.between(5, 40) * 1e9, dice.between(5, 60) * MS
            pod.phase_ns = dice.uniform() * pod.pause_every_ns
        return pod

    def build_operations(self) -> None:
        for service in sorted(self.services, key=lambda s: (not s.worker, -s.level)):
            wanted = self.dice.whole(1, 3)
            if service.level == 0:
                wanted = max(2, round(self.count / 3 / (1 + self.count // 40)))
            verbs = self.dice.shuffled(_VERBS)
            for i in range(wanted):
                self.build_operation(service, verbs[i % len(verbs)] + ("" if i < len(verbs) else str(i)))

    def build_operation(self, service: Service, verb: str) -> None:
        dice = self.dice
        median = dice.log_between(0.8, 12) * MS
        operation = Operation(
            index=len(self.operations),
            service=service.index,
            name=f"{verb}/{service.name}",  # the dialect makes a name of it
            kind=CONSUMER if service.worker else SERVER,
            work=dice.law(self.law if dice.chance(0.7) else dice.pick(LAW_NAMES), median, self.spread),
            typical_work_ns=median,
            work_name=f"{verb} {service.name.split('-')[0]}" if dice.chance(0.35) else "",
            flake=dice.log_between(0.0003, 0.008) if dice.chance(0.6) else 0.0,
            business=dice.between(0.002, 0.02) if dice.chance(0.15) else 0.0,
        )
        budget = _BUDGETS[service.level] * dice.between(0.6, 1.2)
        below = [o for o in self.operations if self.services[o.service].level > service.level and o.kind == SERVER]
        used = 1.0
        for _ in range(dice.whole(2, 6) if service.level == 0 else dice.whole(1, 4)):
            fitting = [o for o in below if o.spans + 1 <= budget - used]
            if not fitting or (service.level and dice.chance(0.15)):
                break
            if self.shape == "hub" and dice.chance(0.5):
                fitting = fitting[: max(1, len(fitting) // 4)]
            near = [o for o in fitting if self.services[o.service].level == service.level + 1]
            shared = [o for o in fitting if o.service in self.shared]
            if shared and dice.chance(0.4):
                fitting = shared
            elif near and dice.chance(0.7):
                fitting = near
            call = self.service_call(dice.pick(fitting))
            used += (1 + call.target.spans) * call.times[1] if call.target else 0
            if operation.stages and dice.chance(0.35):
                operation.stages[-1].append(call)  # at the same time as the one before
            else:
                operation.stages.append([call])
        if not operation.stages or dice.chance(0.3):
            operation.stages.append([self.database_call(service)])
        operation.estimate()
        self.operations.append(operation)
        if service.level == 0:
            self.entries.append(operation)

    def service_call(self, target: Operation) -> Call:
        dice = self.dice
        many = dice.chance(0.12) and target.spans < 6
        return Call(
            kind="service",
            name=target.name,
            callee=self.services[target.service].name,
            target=target,
            network=dice.law("log_normal", dice.log_between(0.15, 0.8) * MS, 0.3),
            probability=dice.between(0.3, 0.95) if dice.chance(0.2) else 1.0,
            times=(2, 5) if many else (1, 1),
            together=dice.chance(0.5),
            retries=dice.whole(1, 2) if dice.chance(0.3) else 0,
            handled=dice.chance(0.12),
            fire=dice.chance(0.04),
        )

    def database_call(self, service: Service) -> Call:
        dice = self.dice
        verb = dice.pick(("SELECT", "SELECT", "INSERT", "UPDATE"))
        return Call(
            kind="database",
            name=f"{verb} {service.name.split('-')[0]}",
            callee=f"{service.name}-db",
            law=dice.law(self.law, dice.log_between(0.6, 6) * MS, self.spread),
            times=(1, 3) if dice.chance(0.2) else (1, 1),
            flake=0.0005,
        )

    def adopt_orphans(self) -> None:
        """Give every service that nobody calls a caller, the least busy one above it."""
        called = {call.target.service for o in self.operations for call in o.calls() if call.target}
        for operation in self.operations:
            service = self.services[operation.service]
            if service.level == 0 or service.index in called:
                continue
            called.add(service.index)
            if service.worker:
                continue  # a queue brings it its work
            above = [o for o in self.operations if self.services[o.service].level < service.level]
            caller = min(above, key=lambda o: (o.spans * (1 if o.kind == SERVER else 9), o.index))
            call = self.service_call(operation)
            call.fire = call.handled = False
            caller.stages.append([call])
            caller.estimate()

    def use_shared_parts(self) -> None:
        """Put caches before some databases, queues before the workers, and software as a service at the end."""
        dice = self.dice
        plain = [o for o in self.operations if o.kind == SERVER and self.services[o.service].level > 0]
        cached = [o for o in plain if any(c.kind == "database" for c in o.calls())]
        for operation in dice.shuffled(cached)[: max(1, len(cached) // 4)]:
            for stage in operation.stages:
                for i, call in enumerate(stage):
                    if call.kind == "database":
                        stage[i] = self.cache_before(operation, call)
        for worker in (o for o in self.operations if o.kind == CONSUMER):
            for operation in dice.shuffled(plain)[: dice.whole(1, 2)]:
                topic = f"{self.services[worker.service].name.removesuffix('-worker')}-events"
                publish = Call("publish", topic, topic, target=worker, fire=True)
                publish.law = dice.law("log_normal", dice.log_between(2, 60) * MS, 0.5)  # the wait in the queue
                operation.stages.append([publish])
        for i, operation in enumerate(dice.shuffled(plain)[: 1 + len(plain) // 12]):
            name = ("api.bank.example", "mail.example", "maps.example", "id.example", "sms.example")[i % 5]
            law = dice.law("log_normal", dice.log_between(15, 90) * MS, 0.35)
            operation.stages.append([Call("saas", f"POST {name}", name, law=law, flake=0.002, timeout_ns=3e9)])

    def cache_before(self, operation: Operation, database: Call) -> Call:
        dice = self.dice
        name = f"{self.services[operation.service].name}-cache"
        law = dice.law("log_normal", dice.log_between(0.2, 0.8) * MS, 0.25)
        return Call("cache", "GET", name, law=law, hit_share=dice.between(0.8, 0.97), misses=[database])

    def set_deadlines(self) -> None:
        """Clients wait some times as long as usual; a third of them wait for seconds whatever they call."""
        for operation in self.operations:
            for call in operation.calls():
                if call.target is not None and call.kind == "service":
                    usual = call.target.typical_ns * self.dice.between(5, 20) + 150 * MS
                    call.timeout_ns = self.dice.between(2e9, 10e9) if self.dice.chance(0.35) else min(usual, 10e9)


def _hide_services(dice: Dice, services: list[Service], share: float | None) -> None:
    drawn, dark = dice.between(0.0, 0.4), dice.chance(0.35)
    if share is None:
        share = drawn if dark else 0.0
    hidden = [s for s in services if s.level > 0 and not s.worker]
    for service in dice.shuffled(hidden)[: round(share * len(services))]:
        service.seen = False


def _set_clocks(dice: Dice, builder: _Builder, skew_ms: float | None) -> None:
    drawn, off = dice.log_between(0.1, 30), dice.chance(0.4)
    spread = (drawn if off else 0.0) if skew_ms is None else skew_ms
    clocks = [spread * MS * dice.normal() for _ in builder.hosts]
    for service in builder.services:
        for pod in service.pods:
            pod.clock_ns = clocks[pod.host]
