"""Which language printed this? By its shape, when nobody says.

In: the text. Out: the names of languages worth trying, likeliest first. Cheap: substrings first, a pattern only
where two languages look alike.
"""

from __future__ import annotations

import re

# What SDKs and people call them (telemetry.sdk.language, file endings, dialects).
NAMES = {
    "java": "java", "kotlin": "java", "scala": "java", "clojure": "java", "groovy": "java", "jvm": "java",
    "android": "java",
    "python": "python", "py": "python",
    "javascript": "javascript", "js": "javascript", "nodejs": "javascript", "node": "javascript", "webjs": "javascript",
    "typescript": "javascript", "ts": "javascript", "deno": "javascript", "bun": "javascript",
    "go": "go", "golang": "go",
    "dotnet": "dotnet", "csharp": "dotnet", "c#": "dotnet", ".net": "dotnet", "fsharp": "dotnet", "f#": "dotnet",
    "vb": "dotnet",
    "ruby": "ruby", "rb": "ruby",
    "php": "php",
    "rust": "rust", "rs": "rust",
    "c": "c", "cpp": "c", "c++": "c", "native": "c",
    "elixir": "elixir", "erlang": "elixir", "beam": "elixir",
}  # fmt: skip

_RUBY = re.compile(r"\.rb:[0-9]+|:[0-9]{1,9}:in [`']")
_DOTNET = re.compile(
    r"\n[ \t]+(?:at|bei|à|en|w|в|konum:|場所|位置|위치:|在) [^(\n]+\([^)\n]*\)"
    r"(?: \[0x[0-9a-f]+\]| [^\s:]{1,10} [^\n]*:|(?![^\n]))"
)
_JAVA = re.compile(
    r"\n[ \t]*at [^(\s.:]+\.[^(\s:]+(?: [^(\n]*[^( \n](?=\())?"
    r"(?:\((?:[^:)\n]*\.(?:java|kt|kts|scala|groovy|cljc?|php|aj)\b|Native Method|Unknown Source|<)|(?![^\n]))"
)
_V8 = re.compile(r"\n[ \t]*at [^\n]*:[0-9]{1,9}:[0-9]{1,9}\)?,?(?: \{)?(?![^\n])")
_GO = re.compile(r"\n[ \t]+(?:[A-Za-z]:)?[^\s:][^\n:]*\.(?:go|s):[0-9]{1,9}")


def languages(text: str) -> list[str]:
    """Languages to try, likeliest first; empty when no shape is known.

    Parameters
    ----------
    text : starts with a line break
    """
    found: list[str] = []
    if 'File "' in text and ", line " in text:
        found.append("python")
    if ":in `" in text or ":in '" in text:
        found.append("ruby")
    if "goroutine " in text or _GO.search(text):
        found.append("go")
    if "panicked at " in text or "tack backtrace:" in text:
        found.append("rust")
    if " --->" in text or "--- End of " in text:
        found.append("dotnet")
    if "#0 " in text:
        # gdb and sanitizers print an address or two spaces; PHP a file and the call that was made there.
        native = "{main}" not in text and ("#0 0x" in text or "#0  " in text or "): " not in text)
        found += ["c", "php"] if native else ["php", "c"]
    if "at " in text:
        if _JAVA.search(text):
            found.append("java")
        if _V8.search(text):
            found.append("javascript")
        if _DOTNET.search(text):
            found.append("dotnet")
    if "** (" in text or "** exception " in text or "{line," in text:
        found.append("elixir")
    if "@" in text:
        found.append("javascript")
    if "[0x" in text:
        found.append("c")
    # "at" in the machine's language; last, for it looks through the whole text.
    if not found and _DOTNET.search(text):
        found.append("dotnet")
    return list(dict.fromkeys(found))
