"""The one text file in a zip becomes blocks of whole lines. In: a path, and the name that the file inside must have.
Out: bytes, a few MB at a time, whatever the size. It never trusts the zip: what is wrong with it is said in words.
"""

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

BLOCK_BYTES = 4 * 1024 * 1024
LONGEST_LINE_BYTES = 64 * 1024

_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1  # in the flags of a member
# What zipfile raises for bytes that are no zip, a cut one or a bent one.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    OverflowError,
    NotImplementedError,
)


class BadTradeFile(Exception):
    """A file that can't be read as trades; the text names it and says why, and where."""


def lines_in_zip(path: Path, member: str) -> Iterator[bytes]:
    """Blocks of whole lines, each ending with a newline. Raises BadTradeFile, and OSError where the disk fails."""
    with path.open("rb") as file:
        try:
            with _open_member(file, path.name, member) as text:
                yield from _whole_lines(text, path.name)
        except _DAMAGE as error:
            raise _damaged(path, error) from error
        except OSError as error:
            if error.errno == errno.EINVAL:  # it was sent to a place before the file's beginning
                raise _damaged(path, error) from error
            raise


def _damaged(path: Path, error: Exception) -> BadTradeFile:
    return BadTradeFile(f"{path.name} is no zip, or a damaged one: {error}")


def _open_member(file: IO[bytes], name: str, member: str) -> IO[bytes]:
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if len(members) != 1:
        raise BadTradeFile(f"{name} holds {len(members):,} files instead of {member}")
    (only,) = members
    if only.filename != member:
        raise BadTradeFile(f"{name} holds {_shown(only.filename)} instead of {member}")
    if only.compress_type not in _COMPRESSIONS or only.flag_bits & _ENCRYPTED:
        raise BadTradeFile(f"{name} is encrypted, or packed in a way that the exchange does not use")
    return archive.open(only)


def _whole_lines(text: IO[bytes], name: str) -> Iterator[bytes]:
    rest = b""
    while data := text.read(BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if len(rest) + (data.find(b"\n") if end else len(data)) > LONGEST_LINE_BYTES or (
            len(data) - end > LONGEST_LINE_BYTES
        ):
            raise BadTradeFile(f"{name} holds a line of more than {LONGEST_LINE_BYTES:,} bytes: not a file of trades")
        if end:
            yield rest + data[:end]
            rest = data[end:]
        else:
            rest += data
    if rest:
        yield rest + b"\n"


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:97]}...")
