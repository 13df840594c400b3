"""Shapes of traces: calls that are missing, repeated, serialised or late, against what operations usually do.

In: an `Analysis` and what `StructureMemory` learned. Out: `StructureStory`. Never explains an error or a slow call:
those are other topics.
"""

from analyzer.structure.callees import usual_callee
from analyzer.structure.memory import StructureMemory
from analyzer.structure.story import StructureStory, explain_structure

__all__ = ["StructureMemory", "StructureStory", "explain_structure", "usual_callee"]
