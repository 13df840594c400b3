"""Errors as people know them: exceptions, stack traces, groups, patterns, trends."""
