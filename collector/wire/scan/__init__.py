"""The protobuf scanner: kernels that read OTLP requests where they lie.

wire       varints, lengths, skipping
tables     attribute keys, error words and code names as one block of words
attributes KeyValue and AnyValue -> slots
text       classes of messages, sampling threshold
spans, logs    one Span or LogRecord -> one row
requests   the walk over resources and scopes
"""
