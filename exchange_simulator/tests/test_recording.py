import tracemalloc
import zipfile
from collections import Counter

import pytest

from exchange_simulator import Trade
from exchange_simulator.recording import Recording, RecordingError, read_recording
from tracker.tests.lacking import RECORDINGS

DATA = RECORDINGS
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
    assert list(read_recording(recording(LINE + "\n" + LINE))) == [TRADE, TRADE]


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

    assert list(read_recording(recording(others + wrapping % event + "\n"))) == [
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
        list(read_recording(path))


def test_a_bad_csv_line_is_named(recording):
    path = recording("symbol,trade_id,price,qty,trade_time_ms,is_buyer_maker\nA,1,1,1,1610064000278,true\nA,2\n")

    with pytest.raises(RecordingError, match="line 3"):
        list(read_recording(path))


@pytest.mark.parametrize("content", [b"no header\n1,2,3\n", b"\xff\xfe\x00\x01"])
def test_a_file_that_is_no_recording_is_refused(tmp_path, content):
    path = tmp_path / "recording"
    path.write_bytes(content)

    with pytest.raises(RecordingError, match="recording"):
        list(read_recording(path))


FUTURES = (
    '{"e":"trade","E":1690000000000,"T":1690000000001,"s":"BTCUSDT","t":5,"p":"29406.8","q":"1","X":"MARKET","m":true}'
)


@pytest.mark.parametrize(
    "frame",
    [
        FUTURES,
        f'{{"stream":"btcusdt@trade","data":{FUTURES}}}',
        FUTURES.replace('"X":"MARKET",', ""),
        FUTURES.replace('"m":true', '"m":true,"M":true'),
    ],
)
def test_a_futures_frame_is_refused_and_named(recording, frame):
    path = recording(LINE + frame + "\n")

    with pytest.raises(RecordingError, match="recording, line 2: a futures trade "):
        list(read_recording(path))


def test_other_events_of_spot_are_left_out(recording):
    others = [
        '{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.2","a":"25.36","A":"40.6"}',
        '{"lastUpdateId":160,"bids":[],"asks":[]}',
        '{"stream":"btcusdt@depth5","data":{"lastUpdateId":160,"bids":[],"asks":[]}}',
        '{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker"}]}',
        '{"e":"kline","E":1,"s":"BTCUSDT","k":{}}',
        '{"error":{"code":2,"msg":"Invalid request"},"id":1}',
    ]

    assert list(read_recording(recording("\n".join([*others, LINE])))) == [TRADE]


# The exchange's public archive

ARCHIVED = (
    "5052328858,107407.88000000,0.00024000,25.77789120,1735689599999,True,True\n"
    "5052328859,107407.89000000,0.10000000,10740.78900000,1735689600000123,False,True\n"
)
OF_ARCHIVE = [
    Trade("BTCUSDT", 5052328858, "107407.88000000", "0.00024000", 1_735_689_599_999_000, True),
    Trade("BTCUSDT", 5052328859, "107407.89000000", "0.10000000", 1_735_689_600_000_123, False),
]
HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for stem, text in members.items():
            archive.writestr(f"{stem}.csv", text)
    return path


@pytest.mark.parametrize(
    "header", ["", f"{HEADER},is_best_match\n", "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n"]
)
@pytest.mark.parametrize("name", ["BTCUSDT-trades-2025-01-01.csv", "BTCUSDT-trades-2025-01.csv"])
def test_a_file_of_the_archive_is_named_by_its_symbol(tmp_path, name, header):
    path = tmp_path / name
    path.write_text(header + ARCHIVED)

    assert list(read_recording(path)) == OF_ARCHIVE


def test_a_zip_of_the_archive_is_read_without_unpacking(tmp_path):
    named = zipped(tmp_path / "BTCUSDT-trades-2025-01-01.zip", any=ARCHIVED)
    renamed = zipped(tmp_path / "download.zip", **{"BTCUSDT-trades-2025-01-01": ARCHIVED})

    assert list(Recording([named, renamed])) == OF_ARCHIVE * 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["BTCUSDT-trades-2025-01-01.zip", "download.zip"]


def test_who_renamed_a_file_says_the_symbol(recording):
    path = recording(ARCHIVED)

    with pytest.raises(RecordingError, match=r"recording: tells its symbol neither .* --replay-symbol"):
        Recording([path])
    assert list(Recording([path], "BTCUSDT")) == OF_ARCHIVE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{HEADER}\n5,1.0,1.0,1.0,1735689600000,true\n", "line 1: futures trades "),
        ("5,1.0,1.0,1.0,1735689600000,true\n", "line 1: 6 columns, as trades of the futures have"),
        ("5,1.0,1.0,5,6,1735689600000,True,True\n", "line 1: 8 columns, as aggregate trades have"),
        ("1735689600000,1,1,1,1,1,1735689659999,1,1,1,1,0\n", "line 1: 12 columns, as klines have"),
        (ARCHIVED + "6,1.0\n", "line 3: 2 columns; spot trades have 7"),
        (ARCHIVED + ARCHIVED.replace("True,True", "1,True"), "line 3: not true or false: '1'"),
    ],
)
def test_what_is_no_archive_of_spot_trades_is_named(tmp_path, text, words):
    path = tmp_path / "BTCUSDT-trades-2025-01-01.csv"
    path.write_text(text)

    with pytest.raises(RecordingError, match=words):
        Recording([path])


def test_a_zip_that_is_none_or_holds_several_files_or_is_broken_is_named(tmp_path):
    no_zip, whole = tmp_path / "BTCUSDT-trades-2025-01.zip", tmp_path / "BTCUSDT-trades-2025-02.zip"
    no_zip.write_text(ARCHIVED)
    content = zipped(whole, one=ARCHIVED).read_bytes()
    broken = tmp_path / "BTCUSDT-trades-2025-03.zip"
    broken.write_bytes(content[:50] + bytes([content[50] ^ 0xFF]) + content[51:])

    for path, words in [
        (no_zip, "cannot be unzipped"),
        (zipped(tmp_path / "two.zip", one=ARCHIVED, two=ARCHIVED), "holds 2 files"),
        (broken, "a broken zip file|line 1"),
    ]:
        with pytest.raises(RecordingError, match=words):
            Recording([path])


def test_memory_holds_a_line_at_a_time(tmp_path):
    path = tmp_path / "BTCUSDT-trades-2025-01-01.csv"
    with path.open("w") as file:
        for i in range(200_000):
            file.write(f"{i},107407.88000000,0.00024000,25.77789120,1735689600000123,True,True\n")

    tracemalloc.start()
    recording = Recording([path])
    count = sum(1 for _ in recording)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (len(recording), count, recording.symbols) == (200_000, 200_000, ["BTCUSDT"])
    assert peak_bytes < 1_000_000


@pytest.mark.skipif(not LIVE.exists(), reason=f"no recording {LIVE}")
def test_a_live_recording_is_read_whole():
    trades = list(read_recording(LIVE))

    assert Counter(trade.symbol for trade in trades) == {"BTCUSDT": 622, "ETHUSDT": 1039, "BNBUSDT": 60}
    assert trades[0] == TRADE


@pytest.mark.skipif(not REST.exists(), reason=f"no recording {REST}")
def test_a_csv_recording_is_read_whole():
    trades = list(Recording([REST, REST]))

    assert [trade.trade_id for trade in trades[:2001]] == list(range(553287559, 553289560))
    assert trades[:2001] == trades[2001:]
