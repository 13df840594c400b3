"""The shelf: answers, their bytes, their outbox, rollups and what was decided of every trace."""
