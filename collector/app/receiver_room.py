"""Gate and doors of one process."""

from __future__ import annotations

import threading

from collector.admission import Gate
from collector.app import warming
from collector.app.before_journal import before_journal
from collector.app.doors import ingest_tenant, receiver_guard, server_tls
from collector.app.endpoints import host_port, is_loopback
from collector.config import Config
from collector.config_auth import TenantQuota
from collector.guarded_protocol import ServerLimits
from collector.handover import Handover
from collector.receivers.cors import CorsSettings
from collector.receivers.otlp_grpc import GrpcReceiver, GrpcSettings
from collector.receivers.otlp_http import HttpReceiver, HttpSettings
from collector.telemetry import Snapshot, merge
from collector.tenant_quotas import Quota, TenantQuotas
from collector.tls import ServerTls
from collector.wire.limits import prescan
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits


class ReceiverRoom:
    """Gate and doors of one process."""

    def __init__(self, config: Config, handover: Handover, *, shared_port: bool) -> None:
        budget = config.receivers.otlp.budget
        grpc, http = config.receivers.otlp.protocols.grpc, config.receivers.otlp.protocols.http
        self._quotas = tenant_quotas(config.auth.tenant_quota)
        self._mask = before_journal(config.redaction)
        self._gate = Gate(
            handover,
            prescan=prescan,
            translate_json=translate_json,
            limits=RequestLimits(
                bytes_max=max(grpc.message_bytes_max, http.message_bytes_max),
                spans_max=budget.spans_max,
                messages_max=budget.messages_max,
                resources_max=budget.resources_max,
                depth_max=budget.depth_max,
            ),
            quotas=self._quotas,
            mask=self._mask,
        )
        self._certificates: list[ServerTls] = []
        self._guard = receiver_guard(config)
        self._grpc: GrpcReceiver | None = None
        self._http: HttpReceiver | None = None
        if grpc.enabled:
            settings = GrpcSettings(
                message_bytes_max=grpc.message_bytes_max,
                workers=grpc.workers,
                concurrent_streams_max=grpc.concurrent_streams_max,
                connections_max=grpc.connections_max,
                reuse_port=shared_port,
                reflection=is_loopback(grpc.endpoint) if grpc.reflection is None else grpc.reflection,
            )
            tls = self._tls(server_tls("otlp_grpc", grpc.tls))
            self._grpc = GrpcReceiver(
                self._gate,
                grpc.endpoint,
                settings,
                credentials=tls.grpc_credentials() if tls is not None else None,
                authorize=ingest_tenant(self._guard),
            )
        if http.enabled:
            host, port = host_port(http.endpoint)
            tls = self._tls(server_tls("otlp_http", http.tls))
            cors = CorsSettings(
                allowed_origins=tuple(http.cors.allowed_origins),
                allowed_headers=tuple(http.cors.allowed_headers),
                max_age_s=http.cors.max_age_s,
            )
            self._http = HttpReceiver(
                self._gate,
                host,
                port,
                HttpSettings(
                    message_bytes_max=http.message_bytes_max,
                    body_timeout_s=http.body_timeout_s,
                    cors=cors,
                    server=ServerLimits(body_timeout_s=None, connections_max=http.connections_max),
                    reuse_port=shared_port,
                ),
                tls=tls.context() if tls is not None else None,
                authorize=ingest_tenant(self._guard),
            )
        self.ports: dict[str, int] = {}

    def _tls(self, tls: ServerTls | None) -> ServerTls | None:
        if tls is not None:
            self._certificates.append(tls)
        return tls

    def start(self) -> None:
        warming.warm_receiver()
        if self._grpc is not None:
            self.ports["otlp_grpc"] = self._grpc.start()
        if self._http is not None:
            self.ports["otlp_http"] = self._http.start()
        self._gate.open()
        if self._grpc is not None:
            self._grpc.set_serving(True)

    def stop(self, timeout_s: float) -> None:
        """Say so, refuse what comes, let running calls end."""
        if self._grpc is not None:
            self._grpc.set_serving(False)
        self._gate.drain()
        stops = [door.stop for door in (self._grpc, self._http) if door is not None]
        threads = [threading.Thread(target=stop, args=(timeout_s,), daemon=True) for stop in stops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout_s + 1.0)

    def not_ready(self) -> str:
        return "" if self._gate.is_open else "starting or draining"

    def snapshot(self) -> Snapshot:
        doors = [door.snapshot() for door in (self._grpc, self._http) if door is not None]
        guard = self._guard.snapshot() if self._guard is not None else {}
        gate = (self._gate.snapshot(), self._quotas.snapshot(), self._mask.snapshot() if self._mask is not None else {})
        return merge([*gate, guard, *doors, *(tls.snapshot() for tls in self._certificates)])


def tenant_quotas(section: TenantQuota) -> TenantQuotas:
    """Make the buckets of this process."""

    def quota(records_per_s: float | None, burst_s: float | None) -> Quota | None:
        return Quota(records_per_s, section.burst_s if burst_s is None else burst_s) if records_per_s else None

    named = {tenant: quota(own.records_per_s, own.burst_s) for tenant, own in section.tenants.items()}
    return TenantQuotas(quota(section.records_per_s, None), named)
