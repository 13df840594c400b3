"""The shop: who calls whom, and how each fault is played.

    frontend -> cart -> database
             -> checkout -> inventory -> database
                         -> payment   -> payment gateway (not instrumented)
                         -> broker    -> shipping -> database

`python -m collector.demo.shop ROLE` runs one of them.
"""

from __future__ import annotations

import http.client
import json
import socketserver
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from opentelemetry import context as otel_context
from opentelemetry.trace import Status, StatusCode

from collector.demo import wire
from collector.demo.wire import HttpFault, Request, call, carried, publish, query, tracer

WORK_S = 0.001


# -- frontend ------------------------------------------------------------------------------


def frontend_checkout(request: Request) -> dict[str, Any]:
    cart = call("cart", "GET /cart", request)
    time.sleep(WORK_S)
    return call("checkout", "POST /checkout", request, body=cart)


def frontend_home(request: Request) -> dict[str, Any]:
    """Recommendations are nice to have: without them the page shows the best sellers."""
    try:
        shown = call("cart", "GET /recommendations", request)
    except HttpFault:
        shown = {"items": ["best seller"]}
    return {"page": shown}


def frontend_overview(request: Request) -> dict[str, Any]:
    """Asks two services at once and gives up on the one when the other fails."""
    cancel = threading.Event()
    context = otel_context.get_current()

    def ask(service: str, route: str) -> dict[str, Any]:
        with carried(context):
            try:
                return call(service, route, request, cancel=cancel)
            except Exception:
                cancel.set()
                raise

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(ask, "cart", "GET /history"), pool.submit(ask, "inventory", "GET /overview")]
        errors = [error for error in (future.exception() for future in both) if error is not None]
    first = [error for error in errors if not isinstance(error, wire.Cancelled)]
    if first:
        raise first[0]
    return {"parts": [future.result() for future in both]}


# -- cart ----------------------------------------------------------------------------------


def cart_get(request: Request) -> dict[str, Any]:
    with tracer().start_as_current_span("load cart"):
        if request.fault == "n_plus_one":
            for item in range(40):
                query("SELECT * FROM items WHERE id = " + str(item), "items", took_s=0.004)
        else:
            query("SELECT * FROM items WHERE cart_id = $1", "items")
    return {"items": [1, 2, 3]}


def cart_recommendations(request: Request) -> dict[str, Any]:
    query("SELECT * FROM recommendations WHERE user_id = $1", "recommendations")
    if request.fault == "handled_fallback":
        raise KeyError("model 'spring' is not loaded")
    return {"items": ["a", "b"]}


def cart_history(request: Request) -> dict[str, Any]:
    query("SELECT * FROM orders WHERE user_id = $1", "orders", took_s=0.06)
    return {"orders": []}


# -- checkout ------------------------------------------------------------------------------


def checkout_post(request: Request) -> dict[str, Any]:
    reserve(request)
    if request.fault != "silent_missing_call":
        charge(request)
    publish("orders", {"order": 1})
    return {"order": 1, "paid": True}


def reserve(request: Request) -> None:
    """Reserve the stock; one more try when inventory says 503."""
    timeout_s = 0.3 if request.fault == "client_timeout" else 3.0
    for attempt in (1, 2):
        try:
            call("inventory", "POST /reserve", request, body={"attempt": attempt}, timeout_s=timeout_s)
        except HttpFault as fault:
            if fault.status != 503 or attempt == 2:
                raise
            time.sleep(0.01)
        else:
            return


def charge(request: Request) -> None:
    refused = ("127.0.0.1", 1) if request.fault == "refused_connection" else None
    call("payment", "POST /charge", request, address=refused)


# -- inventory -----------------------------------------------------------------------------


def inventory_reserve(request: Request) -> dict[str, Any]:
    if request.fault == "retry_recovers" and request.body.get("attempt") == 1:
        raise HttpFault(503, "stock shard is moving, try again")
    with tracer().start_as_current_span("reserve stock"):
        if request.fault == "client_timeout":
            time.sleep(1.2)  # a lock that is held elsewhere
        slow_s = 0.8 if request.fault == "slow_query" else 0.002
        query("UPDATE stock SET reserved = reserved + 1 WHERE sku = $1", "stock", took_s=slow_s)
    return {"reserved": True}


def inventory_overview(request: Request) -> dict[str, Any]:
    if request.fault == "cancelled_sibling":
        raise RuntimeError("stock index is corrupt")
    query("SELECT sku, count FROM stock", "stock")
    return {"stock": []}


# -- payment -------------------------------------------------------------------------------


class GatewayError(Exception):
    """What the payment code makes of a bad answer of the gateway."""


class CardDeclined(Exception):
    """The bank said no. Nothing is broken."""


def payment_charge(request: Request) -> dict[str, Any]:
    with tracer().start_as_current_span(
        "process payment", record_exception=False, set_status_on_exception=False
    ) as span:
        transaction, error = charge_card(request)
        if error is not None:
            wire.fail(span, error)
            if isinstance(error, CardDeclined):
                raise HttpFault(402, str(error))
            raise HttpFault(502, f"payment failed: {error}")
        span.set_status(Status(StatusCode.OK))
    query("INSERT INTO payments (id) VALUES ($1)", "payments")
    return {"transaction": transaction}


def charge_card(request: Request) -> tuple[str, Exception | None]:
    """Ask the gateway. Returns its error instead of recording it, as much real code does."""
    with tracer().start_as_current_span("charge card") as span:
        host, port = wire.addresses()["gateway"]
        connection = http.client.HTTPConnection(host, port, timeout=3.0)
        try:
            connection.request("POST", f"/{request.fault}")
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status == 402:
            return "", CardDeclined("card declined by the bank: insufficient funds")
        if response.status != 200:
            return "", GatewayError(f"charge card: payment gateway answered {response.status}")
        span.set_attribute("transaction.id", answer["transaction"])
        return answer["transaction"], None


# -- what is not instrumented ----------------------------------------------------------------


class _Gateway(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        time.sleep(0.004)
        status = {"parent_only_error": 502, "business_402": 402}.get(self.path.strip("/"), 200)
        data = json.dumps({"transaction": "t-1"}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Database(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        time.sleep(float(self.rfile.readline().strip() or 0))
        self.wfile.write(b"ok\n")


class _Broker(socketserver.StreamRequestHandler):
    messages: ClassVar[deque[bytes]] = deque(maxlen=10_000)
    ready: ClassVar[threading.Condition] = threading.Condition()

    def handle(self) -> None:
        line = self.rfile.readline()
        with self.ready:
            if line.startswith(b"PUT "):
                self.messages.append(line[4:])
                self.ready.notify()
                self.wfile.write(b"ok\n")
                return
            if self.ready.wait_for(lambda: bool(self.messages), timeout=30.0):
                message = self.messages.popleft()
                self.wfile.write(message)


class _Sockets(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


SERVICES: dict[str, dict[str, wire.Handler]] = {
    "frontend": {
        "POST /checkout": frontend_checkout,
        "GET /home": frontend_home,
        "GET /overview": frontend_overview,
    },
    "cart": {
        "GET /cart": cart_get,
        "GET /recommendations": cart_recommendations,
        "GET /history": cart_history,
    },
    "checkout": {"POST /checkout": checkout_post},
    "inventory": {"POST /reserve": inventory_reserve, "GET /overview": inventory_overview},
    "payment": {"POST /charge": payment_charge},
}
ROLES = (*SERVICES, "shipping", "gateway", "shop-db", "broker")


def main(role: str) -> None:
    """Run one process of the shop."""
    if role in SERVICES:
        wire.serve(role, SERVICES[role])
    elif role == "shipping":
        wire.consume(role, "orders", lambda body: query("INSERT INTO shipments (id) VALUES ($1)", "shipments"))
    elif role == "gateway":
        ThreadingHTTPServer(wire.addresses()[role], _Gateway).serve_forever()
    elif role == "shop-db":
        _Sockets(wire.addresses()[role], _Database).serve_forever()
    elif role == "broker":
        _Sockets(wire.addresses()[role], _Broker).serve_forever()
    else:
        raise SystemExit(f"unknown role {role!r}; expected one of {', '.join(ROLES)}")


if __name__ == "__main__":
    main(sys.argv[1])
