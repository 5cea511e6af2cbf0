"""What the ingester has done so far, in numbers. Each number is written by one thread and may be read by any."""

from dataclasses import dataclass


@dataclass
class Statistics:
    """Totals since the start."""

    # written by the thread that tends the connections
    frames: int = 0
    bytes: int = 0
    bad_frames: int = 0
    delayed_trades: int = 0
    connections: int = 0
    connected: bool = False
    refusal: str = ""  # why the last bad frame was one
    # written by the writer
    batches: int = 0
    stored_trades: int = 0
    duplicate_trades: int = 0
    contradicting_trades: int = 0  # stored with another time already
    newest_trade_us: int = 0  # of the trades stored, in microseconds since 1970
    lag_us: int | None = None  # how long the newest of the last batch took from the exchange to the tape
    database_retries: int = 0
    # written by the gap watch
    heals: bool = False
    open_gaps: int = 0
    missing_trades: int = 0
    # written by the healer
    healed_trades: int = 0
