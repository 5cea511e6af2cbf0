from collections import Counter
from pathlib import Path

import pytest

from exchange_simulator import Trade
from exchange_simulator.recording import RecordingError, read_recording, read_recordings

DATA = Path("../shared/data")
LIVE = DATA / "recorded_trades_btc_eth_bnb_2026-05-29.jsonl"
REST = DATA / "recorded_trades_btcusdt_2021-01-08.csv"

LINE = (
    '{"symbol":"BTCUSDT","trade_id":6334415879,"price":"73471.25000000","quantity":"0.00006000",'
    '"is_buyer_maker":true,"timestamp":1780081787834,"collected_at":"2026-05-29T19:09:48Z"}\n'
)
TRADE = Trade("BTCUSDT", 6334415879, "73471.25000000", "0.00006000", 1_780_081_787_834_000, True)


@pytest.fixture
def recording(tmp_path):
    def write(text):
        path = tmp_path / "recording"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_json_lines(recording):
    assert read_recording(recording(LINE + "\n" + LINE)) == [TRADE, TRADE]


def test_sixteen_digits_are_microseconds(recording):
    [trade] = read_recording(recording(LINE.replace("1780081787834", "1780081787834567")))

    assert trade.timestamp_us == 1_780_081_787_834_567


def test_csv(recording):
    header = "symbol,trade_id,price,qty,trade_time_ms,is_buyer_maker\n"

    [trade] = read_recording(recording(header + "BTCUSDT,553287559,39432.48,0.00026300,1610064000278,false\n"))

    assert trade == Trade("BTCUSDT", 553287559, "39432.48", "0.00026300", 1_610_064_000_278_000, False)


@pytest.mark.parametrize("wrapping", ["%s", '{"stream":"btcusdt@trade","data":%s}'])
def test_frames_of_the_exchange(recording, wrapping):
    event = (
        '{"e":"trade","E":1690000000000,"s":"BTCUSDT","t":5,"p":"29406.89000000","q":"1","b":7,"a":8,'
        '"T":1690000000001,"m":false,"M":true}'
    )
    others = '{"result":null,"id":1}\n{"e":"serverShutdown","E":1770123456789}\n'

    assert read_recording(recording(others + wrapping % event + "\n")) == [
        Trade("BTCUSDT", 5, "29406.89000000", "1", 1_690_000_000_001_000, False)
    ]


def test_a_price_that_was_recorded_as_a_number_keeps_its_digits(recording):
    [trade] = read_recording(recording(LINE.replace('"73471.25000000"', "73471.2500000000010")))

    assert trade.price == "73471.2500000000010"


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        '"text"',
        "[]",
        "{}",
        '{"data":7}',
        LINE.replace("73471.25000000", "1e5").strip(),
        LINE.replace("73471.25000000", "").strip(),
        LINE.replace('"trade_id":6334415879,', "").strip(),
        LINE.replace(":true,", ":1,").strip(),
        LINE.replace("1780081787834", '"soon"').strip(),
    ],
)
def test_a_bad_line_is_named(recording, bad):
    path = recording(LINE + "\n" + bad + "\n" + LINE)

    with pytest.raises(RecordingError, match=r"recording, line 3: "):
        read_recording(path)


def test_a_bad_csv_line_is_named(recording):
    path = recording("symbol,trade_id,price,qty,trade_time_ms,is_buyer_maker\nA,1,1,1,1610064000278,true\nA,2\n")

    with pytest.raises(RecordingError, match="line 3"):
        read_recording(path)


@pytest.mark.parametrize("content", [b"no header\n1,2,3\n", b"\xff\xfe\x00\x01"])
def test_a_file_that_is_no_recording_is_refused(tmp_path, content):
    path = tmp_path / "recording"
    path.write_bytes(content)

    with pytest.raises(RecordingError, match="recording"):
        read_recording(path)


@pytest.mark.skipif(not LIVE.exists(), reason=f"no recording {LIVE}")
def test_a_live_recording_is_read_whole():
    trades = read_recording(LIVE)

    assert Counter(trade.symbol for trade in trades) == {"BTCUSDT": 622, "ETHUSDT": 1039, "BNBUSDT": 60}
    assert trades[0] == TRADE


@pytest.mark.skipif(not REST.exists(), reason=f"no recording {REST}")
def test_a_csv_recording_is_read_whole():
    trades = read_recordings([REST, REST])

    assert [trade.trade_id for trade in trades[:2001]] == list(range(553287559, 553289560))
    assert trades[:2001] == trades[2001:]
