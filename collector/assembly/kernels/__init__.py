"""Array-only inner loops of assembly; who owns the arrays is written in `collector.assembly.buffer`."""
