"""Who may ask over gRPC: every method, known or not, needs the role `read`; with a tenant only some will do.

In: a call. Out: the same with who asks (`tenant_asking`), or a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from collector.auth.guard import Guard
from collector.auth.identity import Identity, Role
from collector.errors import RefusedError
from collector.query.grpc_refusals import refuse
from collector.query.own_traces import is_own_method, tenant_of


class _Known:
    """The context of a call, and who calls; None: nobody is asked for a credential."""

    def __init__(self, context: Any, identity: Identity | None) -> None:
        self._context = context
        self.identity = identity

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def tenant_asking(context: Any) -> str | None:
    """Whose traces are asked about; None: those of all. Only behind the interceptor, or it is an error, not all."""
    return tenant_of(context.identity)


class AccessInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Looks at the credential before the method runs, on its thread: the thread that finds methods must not wait.

    Parameters
    ----------
    guard : knows credentials; None: everybody may ask
    """

    def __init__(self, guard: Guard | None) -> None:
        self._guard = guard

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            # Who is not known does not learn which methods there are.
            return grpc.unary_unary_rpc_method_handler(self._checked(_unknown, own=False))
        kinds = (
            (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
            (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
            (handler.stream_unary, grpc.stream_unary_rpc_method_handler),
            (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
        )
        behaviour, make = next((behaviour, make) for behaviour, make in kinds if behaviour is not None)
        checked = self._checked(behaviour, own=is_own_method(details.method))
        return make(checked, handler.request_deserializer, handler.response_serializer)

    def _checked(self, behaviour: Callable[[Any, Any], Any], *, own: bool) -> Callable[[Any, Any], Any]:
        def checked(request: Any, context: Any) -> Any:
            return behaviour(request, _Known(context, self._admitted(context, own=own)))

        return checked

    def _admitted(self, context: Any, *, own: bool) -> Identity | None:
        if self._guard is None:
            return None
        headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        try:
            return self._guard.admit(headers, Role.READ, own=own)
        except RefusedError as refusal:
            refuse(context, refusal)


def _unknown(request: Any, context: Any) -> Any:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
