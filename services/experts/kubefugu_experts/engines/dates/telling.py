"""Dates, spans and durations as text."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from kubefugu_experts.engines.dates.words import MONTHS, WEEKDAYS


def tell_date(day: date, *, weekday: bool = False) -> str:
    """July 4, 1776 (with the weekday before it where asked for, and the time where there is one)."""
    text = f"{MONTHS[day.month - 1].capitalize()} {day.day}, {day.year}"
    if isinstance(day, datetime):
        text += f" at {tell_time(day.time())}"
    return f"{tell_weekday(day)}, {text}" if weekday else text


def tell_weekday(day: date | int) -> str:
    """Monday to Sunday."""
    return WEEKDAYS[day if isinstance(day, int) else day.weekday()].capitalize()


def tell_time(moment: time) -> str:
    """13:05, with seconds where there are any, and the 12-hour form beside it."""
    text = f"{moment.hour:02d}:{moment.minute:02d}"
    if moment.second or moment.microsecond:
        text += f":{moment.second:02d}"
    half = f"{(moment.hour - 1) % 12 + 1}:{moment.minute:02d} {'AM' if moment.hour < 12 else 'PM'}"
    return f"{text} ({half})" if not moment.second else text


def count(number: float, unit: str) -> str:
    """1 day, 2 days, 1000 days."""
    shown = f"{number:.0f}" if number == int(number) else f"{number:.2f}".rstrip("0")
    return f"{shown} {unit}{'' if number == 1 else 's'}"


def tell_duration(duration: timedelta) -> str:
    """ "67 days, 1 hour and 4 minutes (67 days, 01:04:00)"."""
    seconds = duration.seconds
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    fraction = f".{round(duration.microseconds / 1000):03d}" if duration.microseconds else ""
    parts = [count(duration.days, "day")] if duration.days else []
    parts += [count(number, unit) for number, unit in ((hours, "hour"), (minutes, "minute")) if number]
    if rest or fraction or not parts:
        parts.append(f"{rest}{fraction} second{'' if rest == 1 and not fraction else 's'}")
    clock = f"{hours:02d}:{minutes:02d}:{rest:02d}{fraction}"
    return f"{join(parts)} ({count(duration.days, 'day') + ', ' if duration.days else ''}{clock})"


def join(parts: list[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
