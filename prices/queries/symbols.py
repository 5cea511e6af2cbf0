"""Which symbols there are, from their own small table: nothing ever looks for distinct ones among the trades."""

from prices.queries.connection import fetch_all


def symbol_names() -> list[str]:
    """Every symbol the tape knows, tracked ones first, then by name."""
    return [name for (name,) in fetch_all("SELECT name FROM symbols ORDER BY tracked DESC, name")]


def tracked_symbols() -> list[str]:
    """The symbols to follow, by name."""
    return [name for (name,) in fetch_all("SELECT name FROM symbols WHERE tracked ORDER BY name")]
