"""Stand-ins that behave: a clock that is moved by hand, a destination that can be told to misbehave."""
