"""Times as people and logs write them, from and to Unix nanoseconds, in integers only.

In: RFC 3339 / ISO 8601 text, or a number of seconds, milliseconds, microseconds or nanoseconds. Out: int64 Unix
nanoseconds, or None; and text in UTC. Knows no clock and no time zone but the offset that is written.
"""

from __future__ import annotations

import re

DAY_NS = 86_400_000_000_000
SECOND_NS = 1_000_000_000
_INT64_MAX = 2**63 - 1
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?\s*(Z|z|UTC|[+-]\d\d:?(?:\d\d)?)?)?",
    re.ASCII,
)
# A number of a unit is some time from 1973 to 2286: a hundred millions of seconds, ten times a thousand of them, ...
_UNITS = ((10**8, 10**10, SECOND_NS), (10**11, 10**13, 10**6), (10**14, 10**16, 10**3), (10**17, 10**19, 1))


def days_of(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a day of the Gregorian calendar.

    Notes
    -----
    Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so that the leap day is last.
    """
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def date_of(days: int) -> tuple[int, int, int]:
    """Year, month and day of so many days after 1970-01-01; the inverse of `days_of`."""
    days += 719_468
    era = days // 146_097
    of_era = days - era * 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def iso_of(time_ns: int, digits: int = 3) -> str:
    """Write a time as 2025-10-11T14:23:45.123Z; what is below the last digit is cut off."""
    days, rest = divmod(time_ns, DAY_NS)
    year, month, day = date_of(days)
    seconds, fraction = divmod(rest, SECOND_NS)
    part = f".{fraction:09d}"[: digits + 1] if digits else ""
    return f"{year:04d}-{month:02d}-{day:02d}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{part}Z"


def read_time(value: object) -> tuple[int, bool] | None:
    """Read a time.

    Returns
    -------
    (int, bool) or None
        Unix nanoseconds, and whether it was said which time zone (numbers are UTC). None: it is no time.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"\d{9,19}(\.\d{1,9})?", value)):
        return _number(value)
    if not isinstance(value, str) or len(value) > 64:
        return None
    found = _ISO.fullmatch(value.strip())
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    # A leap second is written 60; it is the same as the next second's 0.
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour <= 23 and minute <= 59 and second <= 60):
        return None
    days = days_of(year, month, day)
    if date_of(days) != (year, month, day):
        return None
    fraction = int((found[7] or "").ljust(9, "0"))
    offset = found[8] or ""
    time_ns = days * DAY_NS + (hour * 3600 + minute * 60 + second) * SECOND_NS + fraction
    if offset[:1] in ("+", "-"):
        digits = offset[1:].replace(":", "").ljust(4, "0")
        shift = int(digits[:2]) * 3600 + int(digits[2:]) * 60
        time_ns -= (shift if offset[0] == "+" else -shift) * SECOND_NS
    return (time_ns, bool(offset)) if abs(time_ns) <= _INT64_MAX else None


def _number(value: float | str) -> tuple[int, bool] | None:
    # Through text, because a float of seconds has no nanoseconds to spare.
    text = value if isinstance(value, str) else (str(value) if isinstance(value, int) else f"{value:.6f}")
    if not re.fullmatch(r"\d{1,25}(\.\d+)?", text, re.ASCII):
        return None
    whole, _, part = text.partition(".")
    for low, high, unit in _UNITS:
        if low <= int(whole) < high:
            found = int(whole) * unit + int((part or "0")[:9].ljust(9, "0")) * unit // SECOND_NS
            return (found, True) if found <= _INT64_MAX else None
    return None
