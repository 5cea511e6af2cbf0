"""Times: microseconds since 1970 on the wire, aware UTC datetimes within, ISO 8601 as text. Pure arithmetic."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)

_LONGEST_TIMESTAMP = 40


def to_microseconds(time: datetime) -> int:
    """Since 1970, UTC."""
    return (time - EPOCH) // MICROSECOND


def from_microseconds(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)


def later(time: datetime, by: timedelta) -> datetime:
    """`time` + `by`, no later than the end of the year 9999."""
    try:
        return time + by
    except OverflowError:
        return END


def parse_timestamp(text: str) -> datetime:
    """Read one ISO 8601 time as UTC; raise ValueError when it is none, or lies outside the years 1 to 9999 in UTC."""
    # fromisoformat() alone would overlook a NUL at the end.
    if len(text) > _LONGEST_TIMESTAMP or not (text.isascii() and text.isprintable()):
        raise ValueError("too long, or not plain text")
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        # In a URL an unescaped plus sign arrives as a space: 08:30:36+02:00 as 08:30:36 02:00.
        head, space, offset = text.rpartition(" ")
        time = datetime.fromisoformat(f"{head}+{offset}" if space else text)
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside the years 1 to 9999") from None


def format_time(time: datetime) -> str:
    """UTC without an offset: 2025-07-03T08:30:36, with microseconds only where there are some."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat()


def format_second(time: datetime) -> str:
    """UTC without an offset, to the second that has begun: 2025-07-03T08:30:36."""
    return format_time(time.replace(microsecond=0))


def format_minute(minute: datetime) -> str:
    """UTC without an offset or seconds: 2025-07-03T08:30."""
    return minute.astimezone(UTC).isoformat()[: len("2025-07-03T08:30")]


def format_zulu(time: datetime) -> str:
    """UTC and saying so: 2026-05-29T12:00:00.000001Z."""
    return f"{format_time(time)}Z"
