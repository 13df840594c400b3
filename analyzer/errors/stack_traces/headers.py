"""The lines above the frames: what kind of error it is, and what it says.

In: the text above the first frame, often with lines of a log or of the source before the error itself. Out: type
and message. Only the first line that looks like an error is searched for; what follows it is its message.
"""

from __future__ import annotations

import re

# "java.lang.IllegalStateException: no", "TypeError [ERR_X]: no", "Exception in thread "main" a.B", "Uncaught A: no".
# Names are bounded: nothing named so long is a type, and a line of a million letters is not walked twice.
_NAME = r"[A-Za-z_$][\w$\\/<>`+-]{0,200}(?:(?:\.|::)[\w$\\<>`+-]{1,200}){0,30}"
_ERROR_LIKE = re.compile(
    r"\n[ \t]*(?:Exception in thread \"[^\"\n]{0,200}\" |Unhandled [Ee]xception[.:] "
    r"|(?:[\w ]{1,40}: +)?Uncaught (?:\(in promise\) )?)?"
    r"(" + _NAME + r")(?: \[[^\]\n]{1,100}\]| \(0x[0-9A-F]{8}\))?(?::[ \n]|:?(?![^\n]))"
)
_PLAIN = re.compile(r"[ \t\n]*(" + _NAME + r")(?: \[[^\]\n]{1,100}\])?(?:: ?|(?![^\n]))")
_DOTTED = re.compile(r"[.\\]|::")
_ENDINGS = ("Exception", "Error", "Throwable", "Failure", "Fault", "Rejection", "Interrupt", "Warning", "Exit", "Panic")


def lines_with(word: str, pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """What a pattern of one line, its break first, finds in the lines that hold a word: few, and found fast."""
    found: list[re.Match[str]] = []
    at = text.find(word)
    while at >= 0:
        line = text.rfind("\n", 0, at)
        if line >= 0 and (match := pattern.match(text, line)) is not None:
            found.append(match)
        end = text.find("\n", at)
        at = text.find(word, end) if end >= 0 else -1
    return found


def sections_at(marks: list[re.Match[str]], text: str) -> list[str]:
    """What stands before, between and behind marks, as a pattern's `split` gives it."""
    starts, ends = [0, *[one.end() for one in marks]], [*[one.start() for one in marks], len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def type_and_message(header: str) -> tuple[str, str]:
    """Part what stands above the frames.

    The first line that starts with a name that ends like an error wins, then the first that starts with a dotted
    name (loggers have such names too), then the first line at its word. Text without any name is all message.
    """
    header = "\n" + header.strip()
    dotted: re.Match[str] | None = None
    for match in _ERROR_LIKE.finditer(header):
        if match[1].endswith(_ENDINGS):
            return match[1], header[match.end() :].strip()
        if dotted is None and _DOTTED.search(match[1]):
            dotted = match
    if dotted is not None:
        return dotted[1], header[dotted.end() :].strip()
    return leading_type(header)


def leading_type(header: str) -> tuple[str, str]:
    """Part "Type: message" where the text is known to start with the type."""
    plain = _PLAIN.match(header)
    if plain is None:
        return "", header.strip()
    return plain[1], header[plain.end() :].strip()
