"""The way to the other side: waiting, refusal, reset, names, certificates. Data only."""

from __future__ import annotations

from analyzer.errors.patterns.pattern import Pattern

PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "network.call_timed_out",
        "Call timed out",
        "The other side did not answer in time: it is slow or hangs, or the way to it is.",
        "Find out why the callee is slow (its own trace, its load). At the caller: retry logic with back-off and "
        "jitter "
        "for calls that may be repeated (3 tries, 1 s doubling to 30 s at most), and a circuit breaker (5 failures, "
        "60 s, "
        "2 successes) so that waiting does not pile up.",
        "Let a fake callee answer after the time limit: the caller must give up in time, and stop calling after a few.",
        "A time limit on every call, shorter than the caller's own; deadlines passed on; a fallback for what is "
        "optional.",
        "p95 and p99 of the call against its time limit; share of calls that time out (alert above 1 % for 5 min).",
        types=(
            "timeoutexception",
            "sockettimeoutexception",
            "connecttimeoutexception",
            "readtimeoutexception",
            "readtimeout",
            "timeouterror",
            "httptimeoutexception",
            "taskcanceledexception",
            "asynctimeouterror",
            "deadlineexceeded",
        ),
        messages=(
            r"\btimed out\b",
            r"context deadline exceeded",
            r"\betimedout\b",
            r"timeout of \d+ ?ms exceeded",
            r"read timeout",
            r"i/o timeout",
        ),
        rules=("error.timeout.slow_server", "error.timeout.silent_callee"),
    ),
    Pattern(
        "network.connection_refused",
        "Connection refused",
        "Nobody listens at that address: the callee is down, restarting, or the address or port is wrong.",
        "Look whether the callee runs and listens (pods, endpoints of the service, port); then at its last deploy.",
        "Stop the callee in a test environment: the caller must answer quickly and recover by itself.",
        "Readiness probes and draining on shutdown; more than one instance; retry on another instance.",
        "Ready instances of the callee; refused connections by target.",
        types=("connectexception", "connectionrefusederror", "httphostconnectexception"),
        messages=(r"connection refused", r"\beconnrefused\b", r"actively refused it", r"no route to host"),
        rules=("error.refused.no_server",),
    ),
    Pattern(
        "network.connection_reset",
        "Connection reset",
        "The other side, or something between, closed the connection in the middle: a crash, a restart, an idle time "
        "limit, or a proxy's limit.",
        "Compare with restarts of the callee and with idle time limits: the client's keep-alive must be shorter than "
        "the "
        "server's.",
        "Close the connection in a fake callee after the request: the caller must retry what may be repeated.",
        "Keep-alive of clients below the servers' and proxies'; graceful shutdown.",
        "Resets by target; restarts of the callee.",
        types=("connectionreseterror", "brokenpipeerror", "connectionabortederror", "remotedisconnected"),
        messages=(
            r"connection reset",
            r"\beconnreset\b",
            r"broken pipe",
            r"socket hang up",
            r"unexpected eof",
            r"connection (was )?closed (by|before)",
            r"forcibly closed by the remote host",
        ),
        rules=("error.edge.response",),
    ),
    Pattern(
        "network.name_not_found",
        "Name could not be resolved",
        "DNS gave no address: a wrong or missing name, a resolver that is down or overloaded, or a search list.",
        "Resolve the name from the same pod; check the service's name and namespace, then the resolver's health.",
        "Start with an unknown name in a test environment: the error must name it.",
        "Names from configuration checked at start; a DNS cache on the node.",
        "DNS error rate and latency per node.",
        types=("unknownhostexception", "gaierror", "nameresolutionerror"),
        messages=(
            r"no such host",
            r"name or service not known",
            r"\benotfound\b",
            r"temporary failure in name resolution",
            r"\beai_again\b",
            r"getaddrinfo failed",
            r"nodename nor servname",
        ),
    ),
    Pattern(
        "network.tls_handshake_failed",
        "TLS handshake failed",
        "The two sides could not agree on a secure connection: an unknown authority, another name in the "
        "certificate, or "
        "no common version.",
        "Look at the certificate the server shows (openssl s_client -connect HOST:PORT -servername NAME) and at the "
        "client's trust store.",
        "Connect with the client's trust store to a server with this certificate in a test.",
        "One trust store per platform; certificates renewed and distributed automatically.",
        "TLS errors by peer; days until certificates end.",
        types=("sslhandshakeexception", "sslerror", "sslcertverificationerror", "authenticationexception"),
        messages=(
            r"pkix path building failed",
            r"certificate verify failed",
            r"self[- ]signed certificate",
            r"unknown (certificate )?authority",
            r"x509: certificate (is valid for|signed by)",
            r"tls: (handshake failure|bad certificate)",
            r"ssl routines",
        ),
    ),
    Pattern(
        "security.certificate_expired",
        "Certificate expired",
        "A certificate is past its end (or a clock is wrong).",
        "Renew the certificate and reload the server; check the clocks of both sides.",
        "Connect in a test with a clock set after the certificate's end.",
        "Automatic renewal, and an alarm weeks before the end.",
        "Days until the end of each certificate (alert at 21).",
        types=("certificateexpiredexception",),
        messages=(r"certificate (has )?expired", r"\bcert_has_expired\b", r"certificate is not yet valid"),
        instead_of=("network.tls_handshake_failed",),
    ),
    Pattern(
        "network.slow_way",
        "Slow way between two services",
        "Client and server measured very different times: the time went by between them (network, proxy, queue of the "
        "server's accept).",
        "Look at the proxies and the network between the two, and at the server's accept queue and connection set-up "
        "(TLS, DNS) on this edge.",
        "Add delay on this edge in a test environment; the finding must name the edge.",
        "Connection reuse; callers and callees in the same zone.",
        "Difference of client and server time per edge, p95.",
        rules=("latency.edge",),
    ),
    Pattern(
        "network.slow_dependency",
        "Slow dependency without spans",
        "A dependency that sends no spans answered slowly.",
        "Look at its own dashboards for this time; a time limit, a cache or a fallback at the caller.",
        "Slow down a fake of the dependency: the request must stay within its own limit.",
        "A latency budget per dependency; instrument it if it is yours.",
        "p95 of client spans to it against the week before.",
        rules=("latency.peer",),
    ),
)
