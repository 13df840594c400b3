"""A small shop of real processes, ten faults, and what firstfault says of them.

The shop's services are instrumented with the OpenTelemetry SDK and export over OTLP/gRPC like any other
application; nothing in them knows firstfault. Needs the `demo` extra.
"""
