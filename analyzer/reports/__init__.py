"""What people are handed: reports, messages, runbooks, and monitors as code."""
