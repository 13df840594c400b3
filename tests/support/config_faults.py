"""Configurations that are wrong in one place that is known, drawn from a seed.

Every setting of the program's own JSON Schema can be drawn: spelt wrong, of the wrong type, out of its bounds; beside them
settings that contradict each other, and files that are no configuration at all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from collector.config import Config

HUGE = 10**30
CONTRADICTIONS: tuple[tuple[str, str], ...] = (
    ("assembly: {root_idle_s: 20}", "root_idle_max_s"),
    ("assembly: {root_idle_min_s: 3}", "root_idle_min_s"),
    ("assembly: {root_idle_max_s: 0.1, root_idle_min_s: 0.05}", "root_idle_s"),
    ("assembly: {stress: {on_share: 0.5}}", "off_share"),
    ("journal: {segment_bytes: 8388608, bytes_max: 4194304}", "segment_bytes"),
    ("query: {endpoint: '127.0.0.1:4317'}", "receivers.otlp.protocols.grpc.endpoint"),
    ("query: {endpoint: '127.0.0.1:9', grpc_endpoint: '127.0.0.1:9'}", "query.grpc_endpoint"),
    ("service: {health: {endpoint: 'a:7'}, telemetry: {metrics: {endpoint: 'a:7'}}}", "service.health.endpoint"),
    ("receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:4317'}}}}", "receivers.otlp.protocols.http.endpoint"),
    ("exporters: {otlp: {endpoint: '127.0.0.1:4317'}}", "exporters.otlp.endpoint"),
    ("exporters: {otlp: {endpoint: 'a:1', ca_file: c}}", "ca_file"),
    ("exporters: {otlp: {endpoint: 'a:1', insecure: false, key_file: k}}", "cert_file"),
    ("query: {tls: {cert_file: c, key_file: k, min_version: '1.3'}}", "min_version"),
    ("query: {peers: {ca_file: c}}", "ca_file"),
    ("auth: {bearer: [{name: a, roles: [read], token: abcdefghijklmnopq, token_file: f}]}", "token_file"),
    ("auth: {bearer: [{name: a, roles: [admin], tenant: t, token: abcdefghijklmnopq}]}", "tenant"),
    ("auth: {oidc: {issuer: a, audience: b, jwks_url: 'https://a.test/k', jwks_file: f}}", "jwks_url"),
    ("auth: {oidc: {issuer: a, audience: b, jwks_url: 'http://a.test/k'}}", "jwks_url"),
    ("auth: {tenant_quota: {records_per_s: 5}}", "tenant_quota"),
    ("redaction: {rules: [{name: mine}]}", "keys"),
    ("redaction: {rules: [{name: jwt, keys: [a]}]}", "jwt"),
    ("errors: {rules: [{name: a, match: {}}]}", "match"),
    ("receivers: {otlp: {protocols: {grpc: {endpoint: '0.0.0.0:4317'}}}}", "receivers.otlp.protocols.grpc.endpoint"),
    ("query: {endpoint: '0.0.0.0:8080', tls: {cert_file: c, key_file: k}}", "query.endpoint"),
    (
        "query: {grpc_endpoint: '[::]:9'}\nauth: {bearer: [{name: a, roles: [read], token: abcdefghijklmnopq}]}",
        "query.grpc_endpoint",
    ),
)
NO_CONFIGURATIONS: tuple[tuple[str, str], ...] = (
    ("a: [", "is not YAML"),
    ("[" * 800 + "]" * 800, "nested too deep"),
    ("a: 2001-99-99", "is not YAML"),
    ("a: 0x_", "is not YAML"),
    ("a: !!python/object/apply:os.system [id]", "is not YAML"),
    ("a: &x [*x]", "nested deeper"),
    ("just words", "expected a mapping"),
    ("- a\n- b\n", "expected a mapping"),
    ("storage: {path: '${env:1x}'}", "is not a reference"),
    ("storage: {path: 'a${env:HOME'}", "does not close it"),
    ("storage: {path: '${file:/nowhere/at/all}'}", "cannot read the file"),
    ("storage: {path: \"${file:a\\0b}\"}", "cannot read the file"),
    ("\0", "is not YAML"),
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """The text of a file, and a word of the message that names its fault."""

    text: str
    named: str


@dataclass(frozen=True)
class Setting:
    path: tuple[str, ...]
    schema: dict[str, Any]


def faults(seed: int, count: int) -> list[Fault]:
    """Every contradiction and every file that is none once; the rest drawn from the schema."""
    rng = random.Random(seed)
    found = [Fault(text, named) for text, named in (*CONTRADICTIONS, *NO_CONFIGURATIONS)]
    known = list(settings())
    kinds = (_misspelt, _mistyped, _mistyped, _out_of_bounds, _out_of_bounds)
    while len(found) < count:
        made = rng.choice(kinds)(rng.choice(known), rng)
        if made is not None and made not in found:
            found.append(made)
    return found


def settings() -> Iterator[Setting]:
    """Every setting that is not inside of a list."""
    schema = Config.model_json_schema()
    yield from _below(schema, schema["$defs"], ())


def _below(schema: dict[str, Any], definitions: dict[str, Any], path: tuple[str, ...]) -> Iterator[Setting]:
    for key, inner in schema.get("properties", {}).items():
        one = _resolved(inner, definitions)
        if "properties" in one:
            yield from _below(one, definitions, (*path, key))
        else:
            yield Setting((*path, key), one)


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow references; of something that may be missing, what it is when it is there."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) == 1:
        return _resolved(kinds[0], definitions)
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return schema


def _fault(path: tuple[str, ...], value: Any) -> Fault:
    tree = value
    for key in reversed(path):
        tree = {key: tree}
    text = json.dumps(tree).replace("Infinity", ".inf").replace("NaN", ".nan")  # JSON is YAML, but for these
    return Fault(text, ".".join(path))


def _misspelt(setting: Setting, rng: random.Random) -> Fault | None:
    level = rng.randrange(len(setting.path))
    word = setting.path[level]
    at = rng.randrange(len(word))
    wrong = word[:at] + rng.choice("xyz") + word[at + rng.randint(0, 1) :]
    return _fault((*setting.path[:level], wrong), rng.choice((1, "a", {}, None)))


def _mistyped(setting: Setting, rng: random.Random) -> Fault | None:
    kind = setting.schema.get("type")
    wrong: dict[str, tuple[Any, ...]] = {
        "boolean": ("maybe", [], 7, {"a": 1}),
        "integer": ("many", [1], 1.5, {}, "1e"),
        "number": ("soon", [1.0], {}, "1 s"),
        "string": ([], {}, 3, ["a"]),
        "array": ("a", 3, {"a": 1}),
        "object": ("a", 3, ["a"]),
    }
    if "enum" in setting.schema or "const" in setting.schema:
        return _fault(setting.path, rng.choice(("nothing of the kind", 99, [])))
    return _fault(setting.path, rng.choice(wrong[kind])) if kind in wrong else None


def _out_of_bounds(setting: Setting, rng: random.Random) -> Fault | None:
    schema = setting.schema
    if schema.get("type") in ("integer", "number"):
        low = schema["minimum"] - 1 if "minimum" in schema else schema["exclusiveMinimum"]
        high = schema["maximum"] + 1 if "maximum" in schema else schema["exclusiveMaximum"]
        values = [low, -1 - abs(low), -HUGE, high, high * 1000 + 1, HUGE]
        if schema["type"] == "number":
            values += [float("inf"), float("-inf"), float("nan")]
        return _fault(setting.path, rng.choice(values))
    if setting.path[-1].endswith("endpoint"):
        return _fault(
            setting.path, rng.choice(("nowhere", ":", "a:", ":1", "a:65536", "a:-1", "http://a:1", "a:²", "a:1 "))
        )
    if "pattern" in schema or "maxLength" in schema:
        return _fault(setting.path, "!" * (schema.get("maxLength", 500) + 1))
    return None
