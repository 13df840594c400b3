"""Queues and streams. Data only."""

from __future__ import annotations

from analyzer.errors.patterns.pattern import Pattern

PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "messaging.dead_letter",
        "Message went to the dead letters",
        "A consumer failed on a message as often as it may and put it aside.",
        "Read the message and the consumer's error; mend the consumer, then replay the dead letters.",
        "Consume a message that always fails: it must be aside after the tries, and the next one processed.",
        "Tries with back-off; dead letters that somebody watches; replay as a routine.",
        "Messages in the dead letter queue (alert above 0).",
        types=("listenerexecutionfailedexception", "ampqrejectanddontrequeueexception"),
        messages=(
            r"dead[- ]letter",
            r"\bdlq\b",
            r"retries? exhausted for message",
            r"maximum (delivery|receive) (count|attempts) (exceeded|reached)",
        ),
    ),
    Pattern(
        "messaging.rebalance",
        "Consumer was taken out of its group",
        "The consumer did not ask for messages in time (processing took longer than max.poll.interval.ms) or lost its "
        "session, and its partitions went to others.",
        "Process fewer messages per poll or hand them to workers; raise the poll interval to the real time of a batch.",
        "Process a batch slower than the interval in a test: no message may be lost or done twice.",
        "Idempotent consumers; static membership.",
        "Rebalances per hour; time between polls against the limit.",
        types=(
            "commitfailedexception",
            "rebalanceinprogressexception",
            "rebalanceinprogresserror",
            "commitfailederror",
        ),
        messages=(
            r"group (is|has already) rebalanc",
            r"max\.poll\.interval\.ms",
            r"unknown_member_id",
            r"illegal_generation",
        ),
    ),
    Pattern(
        "messaging.poison_message",
        "Message that can never be processed",
        "A consumer fails on the same message again and again, and everything behind it waits.",
        "Put the message aside (dead letter), then look at why it cannot be read.",
        "Consume a message that cannot be decoded: it must be put aside and counted.",
        "Error-handling deserialisers; schema registry with compatibility checks.",
        "Deliveries per message above 3; lag that grows on one partition only.",
        types=("recorddeserializationexception",),
        messages=(
            r"poison (message|pill)",
            r"error deserializing (key/value|message)",
            r"redeliver(ed|y) .{0,40}(too many|exceed)",
        ),
        instead_of=("code.serialisation",),
    ),
    Pattern(
        "messaging.backlog",
        "Messages wait in the queue",
        "Messages come faster than they are taken: too few or slow consumers, a burst, or one slow partition.",
        "Look at the consumer's own time per message first, then add consumers (up to the number of partitions).",
        "Publish twice the usual rate for ten minutes: the lag must go back to zero.",
        "Scale consumers by lag; bound what producers may send.",
        "Consumer lag and age of the oldest message (alert when older than the promised delay).",
        rules=("structure.queue_wait", "latency.queue_wait"),
        messages=(r"queue (is )?full", r"(buffer|queue) exhausted", r"consumer lag"),
    ),
    Pattern(
        "messaging.broker_unavailable",
        "Broker not available",
        "The broker or the leader of a partition could not be reached: a restart, an election, or the network.",
        "Look at the brokers' health and at under-replicated partitions; producers must try again with idempotence on.",
        "Stop one broker under load: nothing lost, nothing doubled.",
        "Replication of 3 with 2 in sync; idempotent producers.",
        "Under-replicated and offline partitions.",
        types=("notleaderforpartitionexception", "brokernotavailableexception", "kafkatimeouterror"),
        messages=(
            r"not_leader_(for_partition|or_follower)",
            r"leader not available",
            r"no (available )?brokers?( available)?\b",
            r"topic .{0,120}not present in metadata",
        ),
    ),
    Pattern(
        "messaging.message_too_large",
        "Message too large",
        "A message is larger than broker or consumer allow.",
        "Put the body elsewhere and send a reference, or compress; raise limits on both sides together.",
        "Publish a message of the limit + 1 byte: a clear refusal at the producer.",
        "A size limit in the producer's own tests.",
        "Largest message per topic against the limit.",
        types=("recordtoolargeexception", "messagesizetoolargeerror"),
        messages=(r"message (size )?(is )?too large", r"msg_size_too_large"),
    ),
)
