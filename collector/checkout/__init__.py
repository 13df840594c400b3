"""A checkout of the application's code, mounted read-only: lines around a frame, commits that touched them."""
