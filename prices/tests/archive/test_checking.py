"""A file that is missing or altered turns the light red, whoever looks; and green again when it is back."""

import os
import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from prices import queries, tape
from prices.archive import checking, places
from prices.archive.checking import look_at_files
from prices.domain.times import DAY
from prices.models import Ingester, Lease, SealedDay, Symbol
from prices.queries import archive as archive_queries
from prices.queries import looking
from prices.status.report import read_status
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.archive.test_both_tiers import seal
from prices.tests.factories import alive, followed, looked, trade
from prices.tests.test_metrics import parse

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "symbol=BTCUSDT/date=2026-05-29/trades.parquet"
SECOND = timedelta(seconds=1)


@pytest.fixture
def path():
    """Of the older of two sealed days, of a tape that is alive and whole."""
    tape.add_symbols(["BTCUSDT"], tracked=True)
    Symbol.objects.exclude(name="BTCUSDT").delete()
    tape.store(a_day(1, 500) + a_day(501, 300, day=DAY_ONE + DAY))
    seal(DAY_ONE)
    seal(DAY_ONE + DAY)
    now = timezone.now()
    followed(trade(801, at=now))
    alive(now, symbols=["BTCUSDT"])
    looked(now)
    return places.path_of("BTCUSDT", DAY_ONE)


def noted():
    return list(SealedDay.objects.exclude(trouble="").values_list("day", "trouble"))


def told():
    """However long the test took until now, of the ingester there is news."""
    Ingester.objects.update(beat_at=timezone.now())
    Lease.objects.filter(name="healer").update(looked_at=timezone.now())
    return read_status()


def look_anew():
    archive_queries._kept = archive_queries.Kept()


def test_files_that_are_what_they_were_are_no_trouble(path, client):
    assert look_at_files() == []
    assert client.get("/health").json()["status"] == "whole"


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_a_look_notes_what_is_missing_and_that_it_is_back(path, harm):
    whole = path.read_bytes()
    path.unlink()
    if harm == "cut":
        path.write_bytes(whole[:-9])

    (trouble,) = look_at_files()

    assert trouble.path == path
    assert noted() == [(DAY_ONE, trouble.reason)]
    assert ("is not there" if harm == "gone" else "bytes instead of") in trouble.reason
    path.write_bytes(whole)
    assert look_at_files() == []
    assert noted() == []


def test_what_an_audit_found_is_forgotten_by_a_look_when_the_file_is_whole_again(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    SealedDay.objects.filter(day=DAY_ONE).update(trouble="it was altered")

    (trouble,) = look_at_files()
    assert trouble.reason == "it was altered"
    assert noted() == [(DAY_ONE, "it was altered")]

    path.write_bytes(whole)
    assert look_at_files() == []
    assert noted() == []


def test_what_an_answer_met_is_noted(client, path):
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))

    answer = client.get("/trades", {"symbol": "BTCUSDT", "start": f"{DAY_ONE:%Y-%m-%d}"})

    assert answer.status_code == 503
    ((day, reason),) = noted()
    assert day == DAY_ONE
    assert reason in answer.json()["detail"]


def test_a_file_that_is_just_being_replaced_is_no_trouble(path, monkeypatch):
    look = checking.look

    def seal_before(files):
        monkeypatch.setattr(checking, "look", look)
        tape.store([trade(9_000, at=DAY_ONE)])
        seal(DAY_ONE)
        return look(files)

    monkeypatch.setattr(checking, "look", seal_before)

    assert look_at_files() == []
    assert noted() == []


def test_thousands_of_files_are_looked_at_in_one_sweep(path, django_assert_num_queries):
    known = SealedDay.objects.get(day=DAY_ONE)
    days = [DAY_ONE - number * DAY for number in range(1, 3001)]
    SealedDay.objects.bulk_create(
        [SealedDay(**{**_columns(known), "day": day, "trouble": "it is not there"}) for day in days]
    )
    for day in days[1:]:
        other = places.path_of("BTCUSDT", day)
        other.parent.mkdir()
        os.link(path, other)

    with django_assert_num_queries(3):
        assert [trouble.path for trouble in look_at_files()] == [places.path_of("BTCUSDT", days[0])]
    assert noted() == [(days[0], "it is not there")]


def _columns(row):
    return {field.name: getattr(row, field.name) for field in row._meta.fields if field.name != "id"}


def test_a_missing_file_is_a_red_light_that_names_it(path, client):
    path.unlink()

    answer = client.get("/health")

    assert (answer.status_code, answer.json()["status"]) == (503, "failing")
    assert answer.json()["reasons"] == [f"The archive's file {NAME} can't be used: it is not there."]
    status = told()
    assert (status["level"], status["sentence"]) == ("red", answer.json()["reasons"][0])
    assert status["words"]["archive"] == "1 file can't be used"
    assert parse(client.get("/metrics").text)["tracker_archive_files_in_trouble",] == 1
    assert NAME in client.get("/").text


def test_the_page_names_the_file_that_an_answer_would_need(path, client):
    path.unlink()

    page = client.get("/?ask=price-at-second&symbol=BTCUSDT&timestamp=2026-05-29T00:05:00")

    assert page.status_code == 503
    assert f'error" id="price-at-second-timestamp-error">The archive&#x27;s file {NAME}' in page.text
    assert "N/A" not in page.text.split('id="minmax"')[0].split('id="price-at-second"')[1].split("<template>")[0]


def test_the_light_is_green_again_without_anybody_who_keeps_the_archive(path, client):
    whole = path.read_bytes()
    path.unlink()
    assert client.get("/health").status_code == 503
    path.write_bytes(whole)

    look_anew()

    assert client.get("/health").json()["status"] == "whole"


def test_the_state_is_read_once_in_a_while_alone(path):
    before = queries.archive_state()
    path.unlink()
    assert queries.archive_state() is before
    look_anew()
    assert len(queries.archive_state().troubles) == 1


def test_a_disk_that_hangs_is_given_up_and_is_a_red_light(path, client, monkeypatch):
    goes_on = threading.Event()
    monkeypatch.setattr(looking, "WAITS_S", 0.1)
    monkeypatch.setattr(looking, "HANGS_AFTER_S", 0.05)
    monkeypatch.setattr(looking, "look", lambda files: goes_on.wait(60) and [])
    try:
        answer = client.get("/health")
    finally:
        goes_on.set()

    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["The archive's folder can't be used: it has not answered for more than 0.05 s."]


def test_many_missing_files_are_counted(path):
    SealedDay.objects.bulk_create(
        [
            SealedDay(**{**_columns(SealedDay.objects.get(day=DAY_ONE)), "day": DAY_ONE - number * DAY})
            for number in range(1, 1401)
        ]
    )

    sentence = told()["sentence"]

    assert sentence.count("trades.parquet") == 3
    assert sentence.endswith("Nor can 1,397 more of its files.")


def test_what_is_sealed_is_told_in_words_and_numbers(path, client, settings):
    settings.ARCHIVE_AFTER_DAYS = 30
    tape.store(a_day(801, 10, day=DAY_ONE + 2 * DAY))
    Lease.objects.create(
        name="archive", holder="host:2", taken_at=timezone.now(), renewed_at=timezone.now(), trouble="No space left"
    )
    size = sum(SealedDay.objects.values_list("bytes", flat=True))

    status = told()

    assert status["archive"] == {
        "symbols": 1,
        "days": 2,
        "trades": 800,
        "bytes": size,
        "from": "2026-05-29",
        "through": "2026-05-30",
        "files_in_trouble": 0,
        "days_not_emptied": 0,
        "days_due": 1,
    }
    assert status["words"]["archive"] == "through 2026-05-30, 2 days, 1 MB"
    assert "Keeping the archive is hindered: No space left." in status["notes"]
    found = parse(client.get("/metrics").text)
    assert found["tracker_archive_days", "BTCUSDT"] == 2
    assert found["tracker_archive_bytes", "BTCUSDT"] == size
    assert found["tracker_archive_trades", "BTCUSDT"] == 800
    assert found["tracker_archive_days_not_emptied", "BTCUSDT"] == 0
    assert found["tracker_archive_days_due",] == 1


def test_sealed_days_are_listed_in_the_admin(path, client):
    client.force_login(User.objects.create_superuser("admin"))
    SealedDay.objects.filter(day=DAY_ONE).update(trouble="it was altered")

    listed = client.get("/admin/prices/sealedday/").text
    in_trouble = client.get("/admin/prices/sealedday/?file=trouble").text

    assert "2026-05-29" in listed
    assert "2026-05-30" in listed
    assert "2026-05-30" not in in_trouble.split("<tbody>")[1]
    assert "it was altered" in in_trouble
    assert client.get("/admin/prices/sealedday/add/").status_code == 403
    assert "sealed through 2026-05-30, 2 days, 1 MB" in client.get("/admin/prices/symbol/").text
