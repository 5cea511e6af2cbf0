import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_simulator.frames import frame
from prices.binance.frames import BINARY, CLOSE, MAX_MESSAGE_BYTES, PING, TEXT, Message, MessageReader, ProtocolError

FINAL = 0x80
SIZES = st.sampled_from([0, 1, 125, 126, 127, 200, 65_535, 65_536])
WHOLE = st.tuples(st.sampled_from([TEXT, BINARY, PING, CLOSE]), SIZES)


def part(opcode, payload, *, final):
    """A short frame, unmasked."""
    return struct.pack("!BB", FINAL * final | opcode, len(payload)) + payload


@settings(deadline=None)
@given(st.lists(WHOLE, max_size=8), st.lists(st.integers(1, 70_000), min_size=1))
def test_however_the_bytes_are_cut_every_message_comes_once_and_in_order(sent, sizes):
    messages = [(opcode, b"x" * (size if opcode < CLOSE else min(size, 125))) for opcode, size in sent]
    stream = b"".join(frame(payload, opcode) for opcode, payload in messages)
    reader = MessageReader()
    read = []
    while stream:
        sizes.append(sizes.pop(0))
        read += reader.feed(stream[: sizes[0]])
        stream = stream[sizes[0] :]

    assert read == [Message(*message) for message in messages]


def test_byte_by_byte_too():
    stream = frame(b"short") + frame(b"x" * 300) + frame(b"x" * 66_000) + frame(b"end")
    reader = MessageReader()

    read = [message for byte in stream for message in reader.feed(bytes([byte]))]

    assert [len(message.data) for message in read] == [5, 300, 66_000, 3]


def test_a_message_in_parts_is_put_together_and_a_ping_may_come_between_them():
    parts = part(TEXT, b"one ", final=False) + part(0, b"two ", final=False) + part(0, b"three", final=True)
    ping = frame(b"!", PING)

    assert MessageReader().feed(parts[:6] + ping + parts[6:] + frame(b"next")) == [
        Message(PING, b"!"),
        Message(TEXT, b"one two three"),
        Message(TEXT, b"next"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        part(0, b"", final=True),
        part(TEXT, b"", final=False) + frame(b""),
        part(TEXT, b"", final=False) + frame(b"", BINARY),
        part(PING, b"", final=False),
        frame(b"x" * 126, PING),
        part(0x3, b"", final=True),
        part(0x40 | TEXT, b"", final=True),
        struct.pack("!BB", FINAL | TEXT, 0x80),
        struct.pack("!BBQ", FINAL | TEXT, 127, MAX_MESSAGE_BYTES + 1),
        struct.pack("!BBQ", FINAL | TEXT, 127, 2**64 - 1),
        part(TEXT, b"x", final=False) + struct.pack("!BBQ", 0, 127, MAX_MESSAGE_BYTES) + b"x" * MAX_MESSAGE_BYTES,
    ],
    ids=[
        "a part of nothing",
        "a message within another",
        "a binary one within another",
        "a ping in parts",
        "a long ping",
        "an unknown kind",
        "compressed",
        "masked",
        "too large",
        "larger than memory",
        "too large in parts",
    ],
)
def test_what_is_no_websocket_is_refused(broken):
    with pytest.raises(ProtocolError):
        MessageReader().feed(broken)


def test_what_came_before_an_error_is_not_lost():
    reader = MessageReader()

    assert reader.feed(frame(b"good") + part(0, b"bad", final=True)) == [Message(TEXT, b"good")]
    with pytest.raises(ProtocolError):
        reader.feed(b"")
