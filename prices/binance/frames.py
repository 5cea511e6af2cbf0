"""Bytes of a WebSocket become messages. In: whatever one read brought, cut anywhere. Out: the messages complete by now.

One read of a busy stream brings many frames, which a library that reads each by itself pays for with several system
calls apiece. Only what a client may receive: https://www.rfc-editor.org/rfc/rfc6455#section-5.2. Pure: no socket.
"""

from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_FINAL = 0x80
_MASKED = 0x80
_RESERVED = 0x70
_FINAL_TEXT = _FINAL | TEXT
_MAX_SHORT = 125  # what the first two bytes can say


class Message(NamedTuple):
    opcode: int  # TEXT, BINARY, CLOSE, PING or PONG
    data: bytes


class ProtocolError(Exception):
    """The other side does not speak WebSocket; nothing that follows can be trusted."""


class MessageReader:
    """Keeps what is not complete yet, at most `MAX_MESSAGE_BYTES` and one read."""

    def __init__(self) -> None:
        self._unread = b""
        self._opcode = CONTINUATION  # of the message that came in part so far; CONTINUATION: none
        self._part = bytearray()
        self._error: ProtocolError | None = None

    def feed(self, received: bytes) -> list[Message]:
        """Take the next bytes; return the messages that they complete. Raises ProtocolError, after what came before."""
        if self._error:
            raise self._error
        messages: list[Message] = []
        try:
            self._unread = self._split(self._unread + received, messages)
        except ProtocolError as error:
            if not messages:
                raise
            self._error = error
        return messages

    def _split(self, data: bytes, messages: list[Message]) -> bytes:
        """Append the messages that are complete; return what is left of the data."""
        at = 0
        while len(data) - at >= 2:
            head, size, start = data[at], data[at + 1], at + 2
            if size > _MAX_SHORT:
                if size & _MASKED:
                    raise ProtocolError("a masked frame, as only a client sends them")
                digits = 2 if size == 126 else 8
                start += digits
                if start > len(data):
                    break
                size = int.from_bytes(data[start - digits : start], "big")
                if size > MAX_MESSAGE_BYTES:
                    raise ProtocolError(f"a frame of {size:,} bytes")
            end = start + size
            if end > len(data):
                break
            payload = data[start:end]
            at = end
            if head == _FINAL_TEXT and self._opcode == CONTINUATION:  # as good as all of them
                messages.append(Message(TEXT, payload))
            elif message := self._take(head, payload):
                messages.append(message)
        return data[at:]

    def _take(self, head: int, payload: bytes) -> Message | None:
        """One frame of any kind: a whole message, or a part of one."""
        opcode = head & 0x0F
        if head & _RESERVED or opcode not in {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}:
            raise ProtocolError(f"a frame that begins with {head:#04x}")
        if opcode >= CLOSE:
            if not head & _FINAL or len(payload) > _MAX_SHORT:
                raise ProtocolError(f"a control frame of {len(payload):,} bytes, or in parts")
            return Message(opcode, payload)  # may come between the parts of another
        if (opcode == CONTINUATION) == (self._opcode == CONTINUATION):
            raise ProtocolError("a part of a message that never began, or a message within another")
        self._opcode = self._opcode or opcode
        self._part += payload
        if len(self._part) > MAX_MESSAGE_BYTES:
            raise ProtocolError("a message without end")
        if not head & _FINAL:
            return None
        message = Message(self._opcode, bytes(self._part))
        self._opcode, self._part = CONTINUATION, bytearray()
        return message
