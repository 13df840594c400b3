"""Assembly: spans wait here until their trace is complete enough to judge."""

from __future__ import annotations

from collector.assembly.buffer import Assembler
from collector.assembly.counts import AssemblyCounts
from collector.assembly.release import AssemblyConfig
from collector.assembly.warm import warm

__all__ = ["Assembler", "AssemblyConfig", "AssemblyCounts", "warm"]
