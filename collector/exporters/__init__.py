"""The way out: findings as OTLP, to whoever wants them."""
