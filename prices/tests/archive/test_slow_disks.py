"""A disk that answers slowly is no trouble, and one that hangs is: what counts is that files are answered at all."""

import threading

import pytest

from prices import tape
from prices.archive import checking, places
from prices.domain.times import DAY
from prices.models import SealedDay
from prices.queries import looking
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.archive.test_both_tiers import seal
from prices.tests.waiting import Clock, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

FILES = 3


class SlowDisk:
    """Answers of one file each time the test lets it."""

    def __init__(self, monkeypatch):
        self._look_at = checking._look_at
        self._lets = threading.Semaphore(0)
        self.asked = self.answered = 0
        monkeypatch.setattr(checking, "_look_at", self._wait)

    def _wait(self, file):
        self.asked += 1
        assert self._lets.acquire(timeout=60)
        return self._look_at(file)

    def answer(self, files):
        """Of so many more files, then ask for the next one."""
        self.answered += files
        self._lets.release(files)
        wait_until(lambda: self.asked > self.answered)

    def finish(self, looks):
        """Answer of all files there are; return the trouble that is known then, while the next look is under way."""
        self._lets.release(FILES)
        wait_until(lambda: not looks.is_under_way)
        return looks.troubles()


@pytest.fixture
def disk(monkeypatch):
    tape.add_symbols(["BTCUSDT"], tracked=True)
    for number in range(FILES):
        tape.store(a_day(1 + 100 * number, 100, day=DAY_ONE + number * DAY))
        seal(DAY_ONE + number * DAY)
    monkeypatch.setattr(looking, "WAITS_S", 0.05)
    slow = SlowDisk(monkeypatch)
    yield slow
    slow._lets.release(1000)


@pytest.fixture
def clock():
    return Clock()


def test_a_slow_disk_is_no_trouble_as_long_as_it_answers_of_a_file(disk, clock):
    looks = looking.Looks(clock)
    assert looks.troubles() == []

    clock.now += 4
    assert looks.troubles() == []
    disk.answer(1)
    clock.now += 4  # eight since the look began, four since an answer
    assert looks.troubles() == []
    clock.now += 4
    (trouble,) = looks.troubles()
    assert trouble.sentence == "The archive's folder can't be used: it has not answered for more than 5 s."

    disk.answer(1)
    assert looks.troubles() == []
    assert disk.finish(looks) == []


def test_what_was_found_stands_while_the_next_look_is_under_way(disk, clock):
    file = places.path_of("BTCUSDT", DAY_ONE)
    whole = file.read_bytes()
    file.unlink()
    looks = looking.Looks(clock)
    assert looks.troubles() == []  # nobody knows yet

    (trouble,) = disk.finish(looks)
    assert (trouble.path, trouble.reason) == (file, "it is not there")

    wait_until(lambda: disk.asked > FILES)
    file.write_bytes(whole)
    assert looks.troubles() == [trouble]
    assert disk.finish(looks) == []


def test_what_is_on_record_is_known_before_the_first_look_is_over(disk, clock):
    SealedDay.objects.filter(day=DAY_ONE).update(trouble="it was altered")

    (trouble,) = looking.Looks(clock).troubles()

    assert trouble.reason == "it was altered"


def test_trouble_that_somebody_notes_meanwhile_does_not_hide_it(disk, clock):
    places.path_of("BTCUSDT", DAY_ONE).unlink()
    looks = looking.Looks(clock)
    looks.troubles()
    SealedDay.objects.filter(day=DAY_ONE).update(trouble="it is not there")

    (trouble,) = disk.finish(looks)

    assert trouble.reason == "it is not there"
