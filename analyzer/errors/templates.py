"""What two messages of the same error have in common: the words, without the values.

In: a message. Out: its template, e.g. "timeout after <duration> at <url>". Every character is looked at a bounded
number of times: the text is cut into words first, and each word is asked what it is; no pattern looks past the end of
its word.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

TEXT_MAX = 2048  # characters of a message that are looked at
WORD_MAX = 256  # longer words are data: a token, a dump
TEMPLATE_MAX = 512  # characters of a template
QUOTED_MAX = 256

# Runs without white space; a quoted value is one word when its quote opens outside a word and closes near.
_WORDS = re.compile(
    r"""(?<!\w)"[^"\n]{0,256}"|(?<!\w)'[^'\n]{0,256}'(?!\w)|(?<!\w)`[^`\n]{0,256}`|[^\s"'`,;()\[\]{}<>|]+|\s+|."""
)
_NUMBER = re.compile(r"[+-]?\d+(?:[.,:]\d+)*%?")
_DURATION = re.compile(r"\d+(?:\.\d+)?(?:ns|us|µs|μs|ms|s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?|d|days?)")
_COMPOUND_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|m|s|ms|us|µs|ns)){2,8}")
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?:/\d{1,5})?")
_IPV6 = re.compile(r"(?:[0-9a-f]{0,4}:){2,8}[0-9a-f.]{0,15}(?:%\w{1,16})?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[T_]\d.*)?")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?")
_HEX = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)
_HEX_RUN = re.compile(r"(?<![0-9a-z])[0-9a-f]{8,}(?![0-9a-z])", re.IGNORECASE)
_TOKEN = re.compile(r"[\w+/=-]+")
_DIGITS = re.compile(r"\d+(?:[.,:]\d+)*")
_REPEATED = re.compile(r"(<[a-z]+>)(?:[\s,;]{1,4}\1){1,4096}")
# A number behind one of these is a name, not a value: 404 and 503 are different troubles.
_NAMED = frozenset({"status", "code", "http", "errno", "sqlstate", "error", "signal", "exit"})
_NAMED_DIGITS_MAX = 5


def template_of(message: str) -> str:
    """Take the values out of a message.

    Examples
    --------
    >>> template_of("user 4711 not found in 'eu-1' after 30.5ms")
    'user <n> not found in <value> after <duration>'
    """
    pieces: list[str] = []
    before = ""
    for word in _WORDS.findall(message[:TEXT_MAX]):
        if word.isspace():
            pieces.append(" ")
            continue
        pieces.append(_of_word(word, before))
        if word[0].isalnum():
            before = word.rstrip(":=").lower()
        elif word not in ":=":
            before = ""
    text = _REPEATED.sub(r"\1", " ".join("".join(pieces).split()))
    return text[:TEMPLATE_MAX]


def operation_template(operation: str) -> str:
    """Take the ids out of an operation's name; its path stays, segment by segment.

    Examples
    --------
    >>> operation_template("GET /users/4711/orders?page=2")
    'GET /users/<n>/orders'
    """
    words = operation[:TEXT_MAX].split("?", 1)[0].split(" ")
    found = " ".join("/".join(_of_segment(part) for part in word.split("/")) for word in words)
    return found[:TEMPLATE_MAX]


def _of_segment(part: str) -> str:
    if not any(letter.isdigit() for letter in part) or (len(part) <= 2 and not part.isdigit()):
        return part  # v1, v2 are names
    return _of_value(part, "")


def similarity(ours: str, theirs: str) -> float:
    """How alike two templates are, 0..1: twice the words in common over the words of both (Dice)."""
    left, right = Counter(ours.split()), Counter(theirs.split())
    both = left.total() + right.total()
    return 2.0 * (left & right).total() / both if both else 1.0


def _of_word(word: str, before: str) -> str:
    if len(word) > 1 and word[0] in "\"'`" and word[-1] == word[0]:
        return "<value>"
    if len(word) > WORD_MAX:
        return "<data>"
    core = word.rstrip(".:!?-")
    tail = word[len(core) :]
    if not core or not (core[0].isalnum() or core[0] in "+-/\\.#@:$%~_"):
        return word
    key, equals, value = core.partition("=")
    if equals and value and key.replace("_", "").replace(".", "").replace("-", "").isalnum():
        return f"{key}={_of_value(value, key.lower())}{tail}"
    return _of_value(core, before) + tail


def _of_value(word: str, before: str) -> str:
    if "://" in word:
        return "<url>"
    if not any(letter.isdigit() for letter in word):
        return _without_digits(word)
    if _NUMBER.fullmatch(word):
        kept = before in _NAMED and word.isdigit() and len(word) <= _NAMED_DIGITS_MAX
        if kept:
            return word
        return "<ip>" if _IPV4.fullmatch(word) else "<time>" if _CLOCK.fullmatch(word) else "<n>"
    for pattern, name in (
        (_DURATION, "<duration>"),
        (_COMPOUND_DURATION, "<duration>"),
        (_UUID, "<id>"),
        (_IPV4, "<ip>"),
        (_DATE, "<time>"),
        (_CLOCK, "<time>"),
        (_HEX, "<id>"),
    ):
        if pattern.fullmatch(word):
            return name
    if word.count(":") > 1 and _IPV6.fullmatch(word):
        return "<ip>"
    if "@" in word[1:] and "." in word.rpartition("@")[2]:
        return "<email>"
    if _is_path(word):
        return "<path>"
    if _is_token(word):
        return "<id>"
    return _DIGITS.sub("<n>", _HEX_RUN.sub(_run, word))


def _without_digits(word: str) -> str:
    if "@" in word[1:] and "." in word.rpartition("@")[2]:
        return "<email>"
    return "<path>" if _is_path(word) else word


def _run(found: re.Match[str]) -> str:
    """Hex only where a digit is among the letters: `deadbeef` may be a word, `defaced1` is none."""
    return "<id>" if any(letter.isdigit() for letter in found[0]) else found[0]


def _is_path(word: str) -> bool:
    return word.count("/") > 1 or word.count("\\") > 1 or (word[0] in "/~" and len(word) > 1)


def _is_token(word: str) -> bool:
    """Long, letters and digits mixed: a key, a hash, a pod's name."""
    if len(word) < 16 or not _TOKEN.fullmatch(word):
        return False
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(word))
    return changes >= 4
