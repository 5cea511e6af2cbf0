"""The archive's listing, a page at a time, as its store tells it. In: all keys in order, and a query. Out: the keys and
folders of one page, and the page as XML. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

BUCKET = "data.binance.vision"
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_KEYS = 1000


class Query(NamedTuple):
    """With a delimiter, keys that have it beyond the prefix are told as folders."""

    prefix: str = ""
    delimiter: str = ""
    marker: str = ""
    max_keys: int = MAX_KEYS


class Page(NamedTuple):
    """`next_marker` is empty on the last page. A folder ends with the delimiter."""

    keys: list[str]
    folders: list[str]
    next_marker: str


class Entry(NamedTuple):
    key: str
    modified_us: int
    md5: str
    size: int


def page_of(keys: Iterable[str], query: Query) -> Page:
    found: dict[str, bool] = {}  # key or folder: whether it is a folder
    for key in sorted(keys):
        if not key.startswith(query.prefix):
            continue
        head, delimiter, _ = key[len(query.prefix) :].partition(query.delimiter) if query.delimiter else (key, "", "")
        name = query.prefix + head + delimiter if delimiter else key
        if name > query.marker and not (delimiter and query.marker.startswith(name)):
            found[name] = bool(delimiter)
    names = list(found)[: query.max_keys]
    return Page(
        [name for name in names if not found[name]],
        [name for name in names if found[name]],
        names[-1] if names and len(found) > len(names) else "",
    )


def as_xml(query: Query, page: Page, entries: Sequence[Entry]) -> bytes:
    root = Element("ListBucketResult", xmlns=NAMESPACE)
    _add(root, "Name", BUCKET)
    _add(root, "Prefix", query.prefix)
    _add(root, "Marker", query.marker)
    if page.next_marker and query.delimiter:  # without a delimiter the last key is the next marker
        _add(root, "NextMarker", page.next_marker)
    _add(root, "MaxKeys", str(query.max_keys))
    if query.delimiter:
        _add(root, "Delimiter", query.delimiter)
    _add(root, "IsTruncated", "true" if page.next_marker else "false")
    for entry in entries:
        contents = SubElement(root, "Contents")
        _add(contents, "Key", entry.key)
        _add(contents, "LastModified", f"{_moment(entry.modified_us):%Y-%m-%dT%H:%M:%S.000Z}")
        _add(contents, "ETag", f'"{entry.md5}"')
        _add(contents, "Size", str(entry.size))
        _add(contents, "StorageClass", "STANDARD")
    for folder in page.folders:
        _add(SubElement(root, "CommonPrefixes"), "Prefix", folder)
    return _document(root)


def error_xml(code: str, message: str) -> bytes:
    root = Element("Error")
    _add(root, "Code", code)
    _add(root, "Message", message)
    return _document(root)


def _document(root: Element) -> bytes:
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root)


def _add(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text


def _moment(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us // 1_000_000, UTC)
