from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prices.binance.trades import MICROSECONDS, BadFrame, Control, parse_frame
from prices.domain.trade import Trade
from prices.tests.factories import event, frame

SYMBOLS = frozenset({"BTCUSDT", "ETHUSDT", "币安人生USDT"})


def test_a_combined_frame_becomes_a_trade_with_exact_numbers():
    trade = parse_frame(frame(), SYMBOLS)

    assert trade == Trade(
        "BTCUSDT", 1672515782135000, 12345, Decimal("61928.31000000"), Decimal("0.00024000"), buyer_is_maker=True
    )
    assert str(trade.price) == "61928.31000000"


def test_a_raw_frame_says_the_same_as_a_combined_one():
    assert parse_frame(orjson.dumps(event()), SYMBOLS) == parse_frame(frame(), SYMBOLS)


@pytest.mark.parametrize(
    "changes",
    [{"b": 88, "a": 50}, {"st": 1}, {"E": None}, {"M": None}, {"anything": {"at": ["all"]}}],
)
def test_unknown_and_unneeded_keys_change_nothing(changes):
    assert parse_frame(frame(**changes), SYMBOLS) == parse_frame(frame(), SYMBOLS)


def test_times_of_13_digits_are_milliseconds_and_of_16_microseconds():
    assert parse_frame(frame(T=1672515782136), SYMBOLS).timestamp_us == 1672515782136000
    assert parse_frame(frame(T=1672515782136789), SYMBOLS).timestamp_us == 1672515782136789


def test_a_symbol_that_is_not_ascii_is_read():
    assert parse_frame(frame(s="币安人生USDT"), SYMBOLS).symbol == "币安人生USDT"


def test_the_largest_numbers_the_columns_hold_are_read_exactly():
    trade = parse_frame(frame(p="9999999999.99999999", q="99999999999999999999.99999999", t=2**53 - 1), SYMBOLS)

    assert (str(trade.price), str(trade.quantity)) == ("9999999999.99999999", "99999999999999999999.99999999")
    assert trade.trade_id == 2**53 - 1


BAD_VALUES: dict[str, list[object]] = {
    "s": ["btcusdt", "BNBUSDT", 7, ["BTCUSDT"], ""],
    "t": ["12345", -1, 2**53, 2**63, 1.5, True, 1e300],
    "p": [
        "NaN", "Infinity", "-1.0", "0", "0.00000000", "1e5", "1_000", " 1", "1 ", "", "1.", ".5", "+1", "１２",
        "12345678901", "0.123456789", 61928.31, 61928, True, {"$": 1}, "9" * 200_000,
    ],
    "q": ["NaN", "-0.5", "0", "0.0", "1e-8", 0.5, "123456789012345678901", "0.000000001"],
    "T": ["1672515782136", 1672515782, 1672515782136.0, 0, -1672515782136, 16725157821360, 2**53, 2**70, True],
    "m": ["true", 1, 0, "f"],
    "e": ["aggTrade", "kline", 5, ""],
    "X": ["MARKET", "INSURANCE_FUND"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, values in BAD_VALUES.items() for value in values],
    ids=lambda part: repr(part)[:30],
)
def test_a_bad_value_is_refused(key, value):
    with pytest.raises(BadFrame):
        parse_frame(frame(**{key: value}), SYMBOLS)


def usual_frame(**changes):
    """As the exchange writes it: without spaces, with times in microseconds."""
    data = event(E=1672515782136000, T=1672515782135000) | changes
    return orjson.dumps({"stream": "btcusdt@trade", "data": data})


@given(
    T=st.integers(10**15, 2**53 - 1),
    t=st.integers(0, 2**53 - 1),
    p=st.from_regex(r"\A[0-9]{1,10}\.[0-9]{1,7}[1-9]\Z"),
    q=st.from_regex(r"\A[0-9]{1,20}\.[0-9]{1,7}[1-9]\Z"),
    m=st.booleans(),
)
def test_a_usual_frame_is_read_like_any_other(**values):
    trade = parse_frame(usual_frame(**values), SYMBOLS, MICROSECONDS)

    assert trade == Trade("BTCUSDT", values["T"], values["t"], Decimal(values["p"]), Decimal(values["q"]), values["m"])
    assert (str(trade.price), type(trade.buyer_is_maker)) == (str(Decimal(values["p"])), bool)
    assert trade == parse_frame(frame(**values), SYMBOLS)


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, values in BAD_VALUES.items() for value in values if value != 2**70],
    ids=lambda part: repr(part)[:30],
)
def test_a_bad_value_is_refused_in_a_usual_frame(key, value):
    with pytest.raises(BadFrame):
        parse_frame(usual_frame(**{key: value}), SYMBOLS, MICROSECONDS)


@pytest.mark.parametrize("bad", [b'"t":012,', b'"t":-1,', b'"t":9007199254740992,', b'"t":"1",', b'"t":1,"X":"M",'])
def test_a_usual_frame_with_another_id_is_no_exception(bad):
    with pytest.raises(BadFrame):
        parse_frame(usual_frame().replace(b'"t":12345,', bad), SYMBOLS, MICROSECONDS)


def test_of_a_key_that_comes_twice_the_same_counts_as_ever():
    twice = usual_frame().replace(b'"p":', b'"p":"1.5","p":')

    assert parse_frame(twice, SYMBOLS, MICROSECONDS) == parse_frame(twice, SYMBOLS)


@pytest.mark.parametrize("key", ["e", "s", "t", "p", "q", "T", "m"])
def test_a_missing_key_is_refused(key):
    with pytest.raises(BadFrame):
        parse_frame(frame(**{key: None}), SYMBOLS)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"junk",
        b"\xff\xfe\x00",
        b"[]",
        b"[1, 2]",
        b"null",
        b'"trade"',
        b"{}",
        b'{"data": []}',
        b'{"data": null}',
        b'{"stream": "btcusdt@trade", "data": {}}',
        b"x" * 200_000,
        b"[" * 200_000,
        b'{"e":"trade"' + b" " * 200_000,
    ],
    ids=lambda junk: repr(junk[:20]),
)
def test_junk_is_refused(junk):
    with pytest.raises(BadFrame):
        parse_frame(junk, SYMBOLS)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_refused(data):
    try:
        message = parse_frame(data, SYMBOLS)
    except BadFrame:
        return
    assert isinstance(message, Trade | Control)


@given(
    st.dictionaries(
        st.sampled_from(["e", "s", "t", "p", "q", "T", "m", "X"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text("0123456789.e-+NaBTCUSD", max_size=20)
        | st.just([]),
    )
)
def test_any_values_make_a_storable_trade_or_are_refused(changes):
    values = {key: value for key, value in changes.items() if not isinstance(value, int) or abs(value) < 2**63}
    try:
        trade = parse_frame(frame(**values), SYMBOLS)
    except BadFrame:
        return
    assert trade.symbol in SYMBOLS
    assert 0 < trade.price < 10**10
    assert trade.price == round(trade.price, 8)
    assert 0 < trade.quantity < 10**20


def test_the_reason_names_what_is_wrong_and_stays_short():
    with pytest.raises(BadFrame, match="the price 'NaN'"):
        parse_frame(frame(p="NaN"), SYMBOLS)
    with pytest.raises(BadFrame, match="key 'q' is missing"):
        parse_frame(frame(q=None), SYMBOLS)
    with pytest.raises(BadFrame, match="futures"):
        parse_frame(frame(X="MARKET"), SYMBOLS)
    with pytest.raises(BadFrame) as refused:
        parse_frame(frame(p="9" * 200_000), SYMBOLS)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "message",
    [
        {"result": None, "id": 1},
        {"code": 2, "msg": "Invalid request: unknown variant", "id": 1},
        {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"},
        {"error": {"code": 2, "msg": "no"}, "id": 1},
        {"e": "serverShutdown", "E": 1770123456789},
    ],
)
def test_what_speaks_of_the_connection_is_told_apart(message):
    assert parse_frame(orjson.dumps(message), SYMBOLS) == Control(message)


def test_a_server_shutdown_is_seen_in_a_combined_frame_too():
    data = {"e": "serverShutdown", "E": 1770123456789}

    assert parse_frame(orjson.dumps({"stream": "!serverShutdown", "data": data}), SYMBOLS) == Control(data)
