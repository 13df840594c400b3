"""Times and durations for people, from integers alone. Knows no clock and no time zone but UTC."""

from __future__ import annotations

SECOND_NS = 1_000_000_000
DAY_S = 86_400
YEARS_MAX = 9999  # of the calendar; beyond it the number is shown


def utc(time_ns: int, digits: int = 0) -> str:
    """Return "2025-10-09 08:53:20 UTC"; the number itself when no calendar reaches there.

    Parameters
    ----------
    time_ns : nanoseconds since 1970
    digits : of the second's fraction, 0 to 9; what is beyond is cut, never rounded

    Notes
    -----
    Source: days to civil date as in H. Hinnant, "chrono-Compatible Low-Level Date Algorithms" (civil_from_days),
    for days from 1970 on.
    """
    if not 0 <= time_ns < (YEARS_MAX - 1970) * 365 * DAY_S * SECOND_NS:
        return f"{time_ns} ns"
    seconds, fraction = divmod(time_ns, SECOND_NS)
    days, second = divmod(seconds, DAY_S)
    days += 719_468  # from 0000-03-01, so that leap days end their years
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153  # months from March
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    if digits:
        clock += "." + f"{fraction:09}"[:digits]
    return f"{year:04}-{month:02}-{day:02} {clock} UTC"


def day(time_ns: int) -> str:
    """Return "2025-10-09", or the number."""
    text = utc(time_ns)
    return text[:10] if text.endswith("UTC") else text


def lasted(duration_ns: int) -> str:
    """Return a duration in the two largest units that say something; minutes and seconds are cut."""
    if duration_ns < SECOND_NS:
        value = duration_ns / 1e6
        return f"{value:.0f} ms" if value >= 10 else f"{value:.3g} ms"
    if duration_ns < 60 * SECOND_NS:
        return f"{duration_ns / SECOND_NS:.1f} s"
    minutes, seconds = divmod(duration_ns // SECOND_NS, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
