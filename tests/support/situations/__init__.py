"""Failing traces on paper, by what happened to them."""
