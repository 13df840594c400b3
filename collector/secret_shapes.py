"""What secrets look like: shapes inside of texts, and names whose whole value is one. Data for `collector.redaction`.

Every pattern is linear in the length of the text, and has needles: a text in which none of them stands cannot match.
Most text is told apart by that alone, at the speed of `in`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MASK = "[redacted]"
BY_NAME, STATEMENT = "by_name", "statement"

Replace = Callable[["re.Match[str]"], str]


@dataclass(frozen=True, slots=True)
class Shape:
    """A secret that is known by what it looks like. A text can match only when it is long, has a sign and a needle.

    needles : lower-case, looked for in any case; exact : looked for as they are; neither: `DIGITS` is looked for
    """

    name: str
    pattern: re.Pattern[str]
    replace: str | Replace = MASK
    needles: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    length_min: int = 1
    signs: tuple[str, ...] = ("",)


DIGITS = re.compile(r"[3-6]\d{3}[ -]?\d{4}[ -]?\d")

# With an @ inside of the password, the last one before the path ends it.
URL_PASSWORD = re.compile(r"(?<=://)[^\s/@:'\"]{0,256}:[^\s/'\"]{1,256}(?=@)")
# Words that are said of secrets only, and words that need an equals sign right behind them to be said of one.
_STRONG = r"(?:password|passwd|passphrase|pwd|secret|credentials?)[\"']?\s{0,4}[=:]\s{0,4}"
_OPTIONS = r"--(?:password|passwd|token|secret|api-key)\s{1,4}"
_KEYS = r"(?:api|access|account|private|secret|encryption|signing)[_-]?key[\"']?[=:]\s{0,4}"
_TOKENS = r"token(?:=|[\"']:\s{0,4})|(?:sig|signature|session[_-]?id|x-amz-[a-z-]{1,40})="
_VALUE = r"(?:(\")(?:[^\"\\]|\\.)*\"?|(')(?:[^'\\]|\\.)*'?|[^\s\"'&;,)}\]]+)"


def _assigned(match: re.Match[str]) -> str:
    """What is a string stays one."""
    quote = match[2] or match[3] or ""
    return f"{match[1]}{quote}{MASK}{quote}"


def _card(match: re.Match[str]) -> str:
    """Mask a payment card number: 13 to 19 digits of a network's range with Luhn's check digit."""
    digits = [int(sign) for sign in match[0] if sign.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return match[0] if (sum(digits[-1::-2]) + sum(doubled)) % 10 else MASK


SHAPES: tuple[Shape, ...] = (
    Shape(
        "private_key",
        re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|$)", re.DOTALL),
        exact=("PRIVATE KEY-----",),
        length_min=25,
    ),
    Shape(
        "authorization",  # "basic authentication failed" is none: a credential has a digit, an = or mixed case
        re.compile(r"\b((?i:bearer|basic|digest)) +(?=\S*[0-9=]|\S*[a-z][A-Z])[\w.~+/-]{6,}=*"),
        rf"\1 {MASK}",
        needles=("bearer ", "basic ", "digest "),
        length_min=12,
        signs=(" ",),
    ),
    Shape(
        "jwt",
        re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?"),
        exact=("eyJ",),
        length_min=14,
        signs=(".",),
    ),
    Shape(
        "aws_key",
        re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
        exact=("AKIA", "ASIA", "ABIA", "ACCA"),
        length_min=20,
    ),
    Shape(
        "vendor_token",
        re.compile(
            r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|[rs]k_(?:live|test)_\w{10,}"
            r"|AIza[\w-]{30,}|ya29\.[\w-]{10,}|sk-(?:proj|ant|svcacct)-[\w-]{16,}|npm_\w{30,}|pypi-[\w-]{16,})"
        ),
        exact=(
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "github_pat_",
            "glpat-",
            "k_live_",
            "k_test_",
            "AIza",
            "ya29.",
            "sk-proj-",
            "sk-ant-",
            "sk-svcacct-",
            "npm_",
            "pypi-",
            "xoxa-",
            "xoxb-",
            "xoxe-",
            "xoxo-",
            "xoxp-",
            "xoxr-",
            "xoxs-",
        ),
        length_min=15,
    ),
    Shape("url_password", URL_PASSWORD, exact=("@",), length_min=6),
    Shape(
        "assignment",
        re.compile(rf"({_STRONG}|{_KEYS}|{_TOKENS}|{_OPTIONS})(?!\[redacted\]){_VALUE}", re.IGNORECASE),
        _assigned,
        needles=(
            "password",
            "passwd",
            "passphrase",
            "secret",
            "credential",
            "pwd=",
            "pwd:",
            'pwd"',
            "pwd'",
            "pwd ",
            "key=",
            "key:",
            'key"',
            "key'",
            "token=",
            'token"',
            "token'",
            "sig=",
            "signature=",
            "sessionid=",
            "session_id=",
            "session-id=",
            "x-amz-",
            "--token",
            "--api-key",
        ),
        length_min=5,
        signs=("=", ":", "--"),
    ),
    Shape("card", re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d){9,15}(?![\w.-])"), _card, length_min=13),
)
# For the look into many bytes, whose words have four letters or more: what is said there instead of a shorter one.
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SHORT_NEEDLES = {"eyJ": tuple(f"eyJ{sign}" for sign in _BASE64), "@": ()}

# The last part of a name says what a value is: `db.password`, `accessToken`, `x-api-key`; `token.type` is no token.
_LAST_WORDS = (
    *("authorization", "cookie", "cookies", "password", "passwd", "passphrase", "pwd", "secret", "secrets", "token"),
    *("credential", "credentials"),
)
_KEYS_OF = ("api", "access", "secret", "private", "account", "signing", "encryption")
SECRET_NAME = re.compile(
    rf"(?:^|[._-])(?:{'|'.join(_LAST_WORDS)}|(?:{'|'.join(_KEYS_OF)})[._-]?key|connection[._-]?string)$"
)
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# In a KeyValue the tag of the value (0x12) stands right behind the name.
NAME_NEEDLES = tuple(
    f"{word}\x12".encode()
    for word in (
        *_LAST_WORDS,
        *(f"{owner}{between}key" for owner in _KEYS_OF for between in ("", ".", "_", "-")),
        *(f"connection{between}string" for between in ("", ".", "_", "-")),
        *("frames", "values"),  # local variables as JSON text (`collector.wire.masking`): any name may stand in it
    )
)

STATEMENT_NAMES = frozenset({"db.statement", "db.query.text"})
PARAMETER_PREFIXES = ("db.query.parameter.", "db.operation.parameter.")
# Once begun it always ends, at the end of the text if need be: a failure would be tried again from every quote.
LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*(?:'|\\?$)", re.DOTALL)
RULES = (BY_NAME, STATEMENT, *(shape.name for shape in SHAPES))
