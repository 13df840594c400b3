"""firstfault's analyzer: columns in, findings out.

The face of the package: `Analyzer` takes a `TraceBatch` (made from OTLP by `collector.wire`) and gives
`Answer`s. Nothing here reads a clock, a network, an environment, or starts a thread.
"""

from typing import TYPE_CHECKING, Any

from analyzer.config import AnalysisConfig
from analyzer.findings import Answer, RootCause
from analyzer.spans import SpanBatch, TraceBatch
from analyzer.version import __version__

if TYPE_CHECKING:
    from analyzer.engine import Analyzer

__all__ = ["Analyzer", "AnalysisConfig", "Answer", "RootCause", "SpanBatch", "TraceBatch", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the engine, and numba with it, only when it is asked for."""
    if name == "Analyzer":
        from analyzer.engine import Analyzer

        return Analyzer
    raise AttributeError(f"module 'analyzer' has no attribute {name!r}")
