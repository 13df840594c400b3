"""Which milliseconds are abnormal, and whose they are.

In: a measured batch and the number of a trace. Out: the time side of the answer (`Latency`) and the
culprits it points at. Needs what was learned (`Analysis.own`, `.duration`, `.structure`); without it says
only how long the trace took and where.
"""

from analyzer.latency.candidates import latency_candidates
from analyzer.latency.explain import explain_latency
from analyzer.latency.orphans import put_back

__all__ = ["explain_latency", "latency_candidates", "put_back"]
