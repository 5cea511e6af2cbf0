"""Files are brought whole, whatever happens on the way, or it is said why not."""

import hashlib
import threading
from itertools import repeat
from pathlib import Path

import pytest

from prices.binance import downloads
from prices.binance.downloads import DiskFull, Downloads, NotThere, Stopped, Unreachable, WrongChecksum
from prices.tests.binance.file_server import file_server
from prices.tests.waiting import DEADLINE_S, wait_until

PATH = "/data/BTCUSDT-trades-2024-03-05.zip"
CONTENT = bytes(range(256)) * 5000  # 1.3 MB


@pytest.fixture
def served():
    with file_server() as (url, files):
        files.url = url
        files.put(PATH, CONTENT)
        yield files


@pytest.fixture
def bring(served, tmp_path):
    """Fetch the file as a new process would."""

    def fetch(on_bytes=lambda _: None, stop=None, path=PATH):
        client = Downloads(served.url, stop or threading.Event(), delays=lambda: repeat(0.0))
        try:
            return client.fetch(served.url + path, tmp_path / "file.zip", on_bytes)
        finally:
            client.close()

    return fetch


def ranges(served):
    return [asked for _, path, asked in served.asked if path == PATH]


def test_a_file_comes_whole_with_its_checksum(bring, tmp_path):
    told = []

    fetched = bring(told.append)

    assert fetched == (tmp_path / "file.zip", hashlib.sha256(CONTENT).hexdigest(), True)
    assert fetched.path.read_bytes() == CONTENT
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert [each.name for each in tmp_path.iterdir()] == ["file.zip"]


def test_a_file_that_is_here_already_is_not_brought_again(bring, served):
    bring()
    bring()

    assert len(ranges(served)) == 1


def test_a_file_that_has_changed_in_the_archive_is_brought_anew(bring, served):
    bring()
    served.put(PATH, CONTENT[::-1])

    assert bring().path.read_bytes() == CONTENT[::-1]


def test_a_cut_download_is_gone_on_with(bring, served):
    served.cut[PATH] = [300_000, 0, 500_000]

    assert bring().path.read_bytes() == CONTENT
    assert ranges(served) == [None, "bytes=300000-", "bytes=300000-", "bytes=800000-"]


def test_another_process_goes_on_where_one_was_stopped(bring, served):
    stop = threading.Event()
    with pytest.raises(Stopped):
        bring(lambda size: stop.set() if size > 500_000 else None, stop)
    (first, *_) = ranges(served)

    assert bring().path.read_bytes() == CONTENT
    assert first is None
    assert len(ranges(served)) == 2
    assert int(ranges(served)[1].removeprefix("bytes=").removesuffix("-")) > 500_000


def test_a_part_of_a_file_that_has_changed_is_not_gone_on_with(bring, served):
    served.cut[PATH] = [300_000] + [0] * downloads.TRIES
    with pytest.raises(Unreachable):
        bring()
    served.cut.clear()
    served.put(PATH, CONTENT[::-1])

    assert bring().path.read_bytes() == CONTENT[::-1]


def test_a_server_without_versions_is_asked_for_all_of_it_again(bring, served):
    served.versioned = False
    served.cut[PATH] = [300_000]

    assert bring().path.read_bytes() == CONTENT
    assert ranges(served) == [None, None]


def test_a_part_that_is_the_whole_is_not_brought_again(bring, served, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    (tmp_path / "file.zip.part.version").write_text(f'"{hashlib.sha256(CONTENT).hexdigest()}"')

    assert bring().path.read_bytes() == CONTENT
    assert ranges(served) == [f"bytes={len(CONTENT)}-"]


def test_a_damaged_part_costs_one_more_download(bring, served, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(b"x" * 1000)
    (tmp_path / "file.zip.part.version").write_text(f'"{hashlib.sha256(CONTENT).hexdigest()}"')

    assert bring().path.read_bytes() == CONTENT
    assert ranges(served) == ["bytes=1000-", None]


def test_a_busy_server_is_asked_again(bring, served):
    served.refuse[PATH] = [503, 429, 500]
    served.refuse[f"{PATH}.CHECKSUM"] = [503]

    assert bring().path.read_bytes() == CONTENT


def test_a_file_that_is_not_there_is_told_apart(bring):
    with pytest.raises(NotThere, match="is not there"):
        bring(path="/data/another.zip")


def test_a_file_without_a_checksum_is_brought_and_that_is_told(bring, served):
    del served.files[f"{PATH}.CHECKSUM"]

    assert not bring().has_checksum


def test_a_wrong_checksum_is_told_after_a_second_try_and_leaves_nothing(bring, served, tmp_path):
    served.files[f"{PATH}.CHECKSUM"] = b"0" * 64 + b"  name.zip\n"

    with pytest.raises(WrongChecksum, match="has the SHA-256"):
        bring()
    assert len(ranges(served)) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_checksum_that_is_none_is_told(bring, served):
    served.files[f"{PATH}.CHECKSUM"] = b"<html>"

    with pytest.raises(WrongChecksum, match="holds no checksum"):
        bring()


@pytest.mark.parametrize("status", [403, 451])
def test_a_refusal_is_not_tried_again(bring, served, status):
    served.refuse[PATH] = [status] * 9

    with pytest.raises(Unreachable, match=f"answered HTTP {status}"):
        bring()
    assert len(ranges(served)) == 1


def test_nobody_there_is_told(served, tmp_path):
    client = Downloads("http://127.0.0.1:9", threading.Event(), delays=lambda: repeat(0.0))

    with pytest.raises(Unreachable, match="can't be read"):
        client.fetch("http://127.0.0.1:9/file.zip", tmp_path / "file.zip")


def test_a_full_disk_is_told_and_what_came_is_kept(bring, served, tmp_path, monkeypatch):
    class FullDisk(downloads.PartFile):
        def open(self):
            return Path("/dev/full").open("wb", buffering=0)

    monkeypatch.setattr(downloads, "PartFile", FullDisk)

    with pytest.raises(DiskFull, match="there is no room for"):
        bring()


def test_a_server_that_falls_silent_is_asked_again(bring, served, monkeypatch):
    monkeypatch.setattr(downloads, "SILENT_FOR_S", 0.3)
    served.silent.add(PATH)

    assert bring(lambda _: served.silent.clear()).path.read_bytes() == CONTENT
    first, second = ranges(served)
    assert first is None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= len(CONTENT) // 2


def test_stopping_ends_a_wait(served, tmp_path):
    stop = threading.Event()
    served.refuse[PATH] = [503] * 99
    client = Downloads(served.url, stop, delays=lambda: repeat(DEADLINE_S * 100))
    ended = []

    def fetch():
        with pytest.raises(Stopped):
            client.fetch(served.url + PATH, tmp_path / "file.zip")
        ended.append(True)

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_until(lambda: ranges(served))
    stop.set()
    thread.join(DEADLINE_S)

    assert ended


def test_several_come_at_once(served, tmp_path):
    contents = {f"/data/{number}.zip": CONTENT[number:] for number in range(8)}
    for path, content in contents.items():
        served.put(path, content)
    client = Downloads(served.url, threading.Event(), at_once=8)
    threads = [
        threading.Thread(target=client.fetch, args=(served.url + path, tmp_path / path[len("/data/") :]))
        for path in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)

    assert {f"/data/{each.name}": each.read_bytes() for each in tmp_path.iterdir()} == contents
