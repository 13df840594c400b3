"""Failures of the code itself: nulls, types, ranges, numbers, recursion, and collections under threads. Data only."""

from __future__ import annotations

from analyzer.errors.model import StackTrace
from analyzer.errors.patterns.pattern import Pattern


def _thrown_in_library(stack: StackTrace) -> bool:
    """The exception was thrown in library code that application code called."""
    frames = stack.root.frames
    return bool(frames) and frames[0].in_app is not True and any(frame.in_app for frame in frames)


_NULL_TYPES = ("nullpointerexception", "nullreferenceexception", "nomethoderror")
_NULL_WORDS = (
    r"cannot read propert(y|ies) .{0,80}of (undefined|null)",
    r"(undefined|null) is not an object",
    r"'nonetype' object (has no attribute|is not)",
    r"nil pointer dereference",
    r"undefined method .{0,80} for nil",
    r"object reference not set",
    r"call to a member function .{0,80} on null",
)

PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "code.null_into_library",
        "Null handed to library code",
        "Application code passed null (None, nil, undefined) into a library that does not accept it; the library only "
        "noticed.",
        "Look at the application frame, not at the library's: find which argument is null there, and reject or replace "
        "it before the call.",
        "Call the application function with the argument missing; expect a clear refusal instead of a crash.",
        "Validate input at the border of the service; use non-null types (Optional, strict null checks) for keys and "
        "arguments.",
        "Count of this exception per release; alert on the first one of a new release.",
        types=_NULL_TYPES,
        messages=_NULL_WORDS,
        stack=_thrown_in_library,
        instead_of=("code.null_reference",),
    ),
    Pattern(
        "code.null_reference",
        "Null reference",
        "A value that the code takes for granted was not there (null, None, nil, undefined).",
        "Find where the value comes from (a lookup without a hit, an optional field, a failed call) and handle its "
        "absence there.",
        "Unit test with the value missing at its source.",
        "Strict null checks in the compiler or linter; return empty collections instead of null.",
        "Count of this exception per release; alert on the first one of a new release.",
        types=_NULL_TYPES,
        messages=_NULL_WORDS,
    ),
    Pattern(
        "code.missing_key",
        "Key that is not in the map",
        "A dictionary or map was asked for a key that it does not hold.",
        "Ask with a default or check first, and decide what a missing key means; look at which input lacks it.",
        "Call with an input that lacks the key.",
        "Parse input into typed objects at the border, so that missing fields are refused there.",
        "Count of this exception by operation.",
        types=("keyerror", "keynotfoundexception", "nosuchelementexception"),
        messages=(r"key not found", r"the given key .{0,80}was not present"),
    ),
    Pattern(
        "code.index_out_of_range",
        "Index outside the list",
        "An element was asked for that the list does not have; usually the list is shorter, or empty, for some input.",
        "Check the length where the index is made; treat the empty case.",
        "Test with an empty list and with one element.",
        "Iterate instead of counting; property tests over list lengths.",
        "Count of this exception by operation.",
        types=(
            "indexerror",
            "indexoutofboundsexception",
            "arrayindexoutofboundsexception",
            "stringindexoutofboundsexception",
            "indexoutofrangeexception",
        ),
        messages=(r"index out of (range|bounds)", r"index \d+ out of bounds"),
    ),
    Pattern(
        "code.wrong_type",
        "Value of another type than expected",
        "A value has another type than the code expects: a changed payload, a wrong cast, text instead of a number.",
        "Look at the producer of the value; parse and check it at the border.",
        "Test with the payload of this trace's operation, one field of another type.",
        "Schemas for messages and requests, checked by both sides (contract tests).",
        "Count of this exception per release of the caller.",
        types=("classcastexception", "invalidcastexception"),
        messages=(
            r"unsupported operand type",
            r"is not a function",
            r"cannot be cast to",
            r"must be .{0,40}, not ",
            r"interface conversion",
        ),
    ),
    Pattern(
        "code.number_format",
        "Text that is not a number",
        "Text was read as a number (or a date) and is not one.",
        "Refuse the input with a clear answer (400) where it comes in.",
        "Test with letters, an empty text and a number that is too large.",
        "Typed parsing of all input; never parse deep inside.",
        "Count of refused inputs by field.",
        types=("numberformatexception", "datetimeparseexception", "formatexception"),
        messages=(r"invalid literal for int", r"could not convert string to float", r"strconv\.\w+: parsing"),
    ),
    Pattern(
        "code.division_by_zero",
        "Division by zero",
        "A divisor is zero for some input: an empty group, a zero quantity, a rate without traffic.",
        "Decide what the result is when there is nothing to divide by, and say so in the code.",
        "Test with the empty case.",
        "Property tests over empty and zero inputs.",
        "Count of this exception by operation.",
        types=("zerodivisionerror", "dividebyzeroexception"),
        messages=(r"division by zero", r"divide by zero", r"/ by zero"),
    ),
    Pattern(
        "code.endless_recursion",
        "Recursion without an end",
        "A function calls itself until the stack is full; often a cycle in the input (a tree that is none) or a "
        "missing "
        "end condition.",
        "Find the repeating frames; add the end condition, or a depth limit for input from outside.",
        "Test with an input that refers to itself.",
        "Iterate over input from outside; bound its depth.",
        "Count of this exception; restarts of the process.",
        types=("stackoverflowerror", "stackoverflowexception", "recursionerror"),
        messages=(r"maximum (recursion depth|call stack size) exceeded", r"stack overflow"),
    ),
    Pattern(
        "code.serialisation",
        "Payload that cannot be read or written",
        "A message could not be encoded or decoded: cut short, another schema version, or a value without encoding.",
        "Compare the schema versions of both sides; look at the payload's beginning and length.",
        "Contract test with a payload of the version before.",
        "Change schemas compatibly; deploy readers before writers.",
        "Count of decode failures by topic or route and producer version.",
        types=(
            "jsonparseexception",
            "jsondecodeerror",
            "jsonmappingexception",
            "mismatchedinputexception",
            "unrecognizedpropertyexception",
            "invalidprotocolbufferexception",
            "serializationexception",
            "decodeerror",
        ),
        messages=(
            r"unexpected token .{0,40}(in|at) .{0,20}json",
            r"unexpected end of json",
            r"is not json serializable",
        ),
    ),
    Pattern(
        "code.assertion",
        "Assertion or illegal state",
        "The code found itself in a state that its author held to be impossible: a logic error, or calls in the wrong "
        "order.",
        "Read the condition at the location; walk back to the call that made the state.",
        "Write the sequence of calls that leads there as a test.",
        "State machines with explicit transitions; property tests over sequences.",
        "Count of this exception; any is worth a look.",
        types=("assertionerror", "illegalstateexception", "invalidoperationexception", "assertionexception"),
        messages=(r"assertion failed", r"unreachable code"),
    ),
    Pattern(
        "concurrency.modified_while_iterated",
        "Collection changed while it was iterated",
        "A collection was changed (by another thread, or inside the loop) while a loop walked over it.",
        "Use a thread-safe collection (CopyOnWriteArrayList, ConcurrentHashMap), iterate over a copy, or synchronise "
        "both "
        "sides; inside one thread remove through the iterator.",
        "Run the loop while a second thread adds and removes; repeat under a race detector or with many iterations.",
        "Do not share mutable collections between threads; hand over immutable snapshots.",
        "Count of this exception against concurrency: it grows with load.",
        types=("concurrentmodificationexception",),
        messages=(r"collection was modified; enumeration", r"concurrent map (iteration|read|writes)"),
    ),
    Pattern(
        "concurrency.dictionary_resized",
        "Dictionary changed size while it was iterated",
        "A Python dictionary or set got or lost keys inside a loop over it, or in another thread.",
        "Iterate over a copy of the keys; when threads share it, hold one lock around the loop and around the change.",
        "Run the loop while the body (or a second thread) adds a key.",
        "Build a new dictionary instead of changing the one that is walked.",
        "Count of this exception against concurrency.",
        messages=(r"(dictionary|set) changed size during iteration", r"dictionary keys changed during iteration"),
        patch="- for key in mapping:\n+ for key in list(mapping):",
    ),
    Pattern(
        "concurrency.dead_lock_in_process",
        "Threads that wait for one another",
        "Two threads hold locks and each waits for the other's.",
        "Take a thread dump; order the locks the same way everywhere, or use one lock.",
        "Stress test both paths at once with a time limit.",
        "Lock ordering as a rule; time limits on lock acquisition.",
        "Threads blocked on monitors; requests in flight without progress.",
        types=("brokenbarrierexception",),
        messages=(
            r"all goroutines are asleep - deadlock",
            r"found one java-level deadlock",
            r"lock acquisition timed out",
        ),
    ),
    Pattern(
        "concurrency.optimistic_lock",
        "Lost the race for a row",
        "Two writers changed the same record; the second one's version was stale.",
        "Read again and try again, a bounded number of times; or queue the writes of one record.",
        "Two updates of one record at once: both must end right.",
        "Idempotent updates; short transactions; one writer per aggregate.",
        "Rate of version conflicts per entity.",
        types=(
            "optimisticlockexception",
            "optimisticlockingfailureexception",
            "objectoptimisticlockingfailureexception",
            "staleobjectstateexception",
            "staledataerror",
            "dbupdateconcurrencyexception",
        ),
        messages=(r"row was updated or deleted by another transaction", r"could not serialize access due to"),
    ),
)
