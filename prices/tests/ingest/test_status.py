import logging

from prices.ingest.bad_frames import BadFrameLog
from prices.ingest.buffer import Buffer
from prices.ingest.statistics import Statistics
from prices.ingest.status import StatusReport, describe
from prices.tests.waiting import Clock


def test_a_snapshot_reads_as_a_sentence():
    before = Statistics(stored_trades=1000)
    now = Statistics(connected=True, stored_trades=1132, newest_trade_us=1_000_000, duplicate_trades=3, bad_frames=2)

    assert describe(now, before, 1.0, 7, 1_250_000) == (
        "connected | 132.0 trades/s | lag 0.2 s | 1,132 stored | 7 buffered"
        " | 3 duplicates left alone | 2 bad frames skipped"
    )


def test_without_a_trade_there_is_no_lag():
    assert describe(Statistics(), Statistics(), 1.0, 0, 0) == (
        "NOT connected | 0.0 trades/s | no trade yet | 0 stored | 0 buffered"
    )


def test_on_a_terminal_the_line_is_shown_each_second():
    clock, lines = Clock(), []
    report = StatusReport(Statistics(), Buffer(), lines.append, clock)
    for _ in range(25):
        report.tick()
        clock.now += 0.2

    assert len(lines) == 4


def test_elsewhere_it_is_logged_once_a_minute(caplog):
    clock = Clock()
    statistics = Statistics()
    report = StatusReport(statistics, Buffer(), None, clock)
    with caplog.at_level(logging.INFO):
        for _ in range(130):
            statistics.stored_trades += 10
            clock.now += 1
            report.tick()

    assert [record.message[:30] for record in caplog.records] == ["NOT connected | 10.0 trades/s "] * 2


def test_delayed_trades_are_told_once_a_minute(caplog):
    clock = Clock()
    statistics = Statistics()
    report = StatusReport(statistics, Buffer(), lambda _: None, clock)
    for _ in range(125):
        clock.now += 1
        statistics.delayed_trades += clock.now <= 1060
        report.tick()

    assert [record.message for record in caplog.records] == [
        "60 trades of the last minute came more than 5 s after they were made"
    ]


def test_a_flood_of_bad_frames_is_one_line_a_minute_with_a_short_sample(caplog):
    clock = Clock()
    log = BadFrameLog(clock)
    for _ in range(1000):
        log.report(b"\xffjunk" * 50_000, "not JSON")
        clock.now += 0.1171875  # exact in binary: 512 of them are a minute

    assert len(caplog.records) == 2
    assert caplog.records[0].message.startswith("skipped 1 bad frame(s), the last one of 250000 bytes: not JSON")
    assert caplog.records[1].message.startswith("skipped 512 bad frame(s)")
    assert all(len(record.message) < 600 for record in caplog.records)


def test_the_reason_of_the_newest_bad_frame_is_kept_even_when_no_line_is_due(caplog):
    log = BadFrameLog(Clock())
    assert log.last_reason == ""
    log.report(b"junk", "not JSON")
    log.report(b"{}", "not a trade")

    assert log.last_reason == "not a trade"
    assert len(caplog.records) == 1
