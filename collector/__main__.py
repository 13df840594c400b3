"""`python -m collector` is `firstfault`."""

from collector.cli import main

main()
