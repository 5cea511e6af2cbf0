"""The trust panel says what is: against a real ingester on the simulated exchange, and a database that goes away."""

import os
import re
import shutil
import signal
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import expect

from prices import tape
from prices.management.commands import audit_prices
from prices.models import Audit, Gap
from prices.tests.dashboard.looking import card, sees, state, trust
from prices.tests.factories import trade
from prices.tests.processes import (
    Process,
    database_out_of_reach,
    end_all_other_connections,
    exchange_settings,
    running_web_server,
)
from prices.tests.waiting import wait_until
from tracker.embedded_postgres.location import find_data_dir
from tracker.embedded_postgres.postmaster_file import read_postmaster

pytestmark = pytest.mark.django_db(transaction=True)


def is_trusted(page):
    expect(page.locator("#trust")).to_have_attribute("data-level", "green")
    sees(page.locator("#trust"), "Yes.", "not one trade is missing")


def is_not_trusted(page, level, word, *sentences):
    expect(page.locator("#trust")).to_have_attribute("data-level", level)
    sees(page.locator("#trust"), word, *sentences)


def test_a_whole_tape_is_told_in_numbers(visit, ingester):
    ingester()
    page = visit()
    is_trusted(page)

    expect(trust(page, "age")).to_have_text(re.compile(r"now|\d s ago"))
    expect(trust(page, "rate")).to_have_text(re.compile(r"[1-9][\d.]*"))
    expect(trust(page, "lag")).to_have_text(re.compile(r"\d+\.\d\d s"))
    expect(trust(page, "gaps")).to_have_text("0")
    expect(trust(page, "missing")).to_have_text("0")
    sees(trust(page, "audit"), "never", "audit_prices")


def test_the_last_audit_is_told(visit, market):
    page = visit()
    sees(trust(page, "audit"), "never")

    audit_prices.Command().execute(
        symbol=None, start=None, end=None, against_exchange=False, json=True, all=False, full=False, no_color=True,
        force_color=False, skip_checks=True, verbosity=1,
    )  # fmt: skip

    expect(trust(page, "audit")).to_have_text(re.compile(r"proven, \d+ s ago"))


def test_without_a_script_the_panel_says_the_same(visit, symbols):
    hours_ago = datetime.now(UTC) - timedelta(hours=3, minutes=30)
    tape.store([trade(1, at=hours_ago), trade(2, at=hours_ago)])
    Gap.objects.create(
        symbol="BTCUSDT",
        first_missing_id=-1500,
        last_missing_id=0,
        found_at=hours_ago,
        closed_at=hours_ago,
        outcome=Gap.Outcome.UNAVAILABLE,
        missing_trades=1501,
    )
    Audit.objects.create(finished_at=hours_ago, proven=False, against_exchange=False, symbols=1, trades=2)
    page = visit()
    expect(state(page, "stale")).to_be_visible()
    expect(trust(page, "audit")).to_have_attribute("title", re.compile("where you are"))

    panel = page.locator("#trust").inner_text()

    assert "1,501 trades, not at the exchange, 3 h ago" in panel
    assert visit(java_script_enabled=False).locator("#trust").inner_text() == panel


def test_a_gap_is_told_until_it_is_healed(visit, exchange, ingester):
    ingester()
    page = visit()
    is_trusted(page)

    exchange.faults(rest_errors=1.0)
    exchange.faults(leave_out=0.5)
    expect(trust(page, "gaps")).not_to_have_text("0")
    expect(trust(page, "missing")).not_to_have_text("0")
    is_not_trusted(page, "amber", "Almost.", "Missing trades are being fetched")

    exchange.clear_faults()
    is_trusted(page)
    expect(trust(page, "gaps")).to_have_text("0")
    expect(trust(page, "missing")).to_have_text("0")


def test_an_ingester_that_is_stopped_or_killed_is_missed(visit, ingester):
    process = ingester()
    page = visit()
    is_trusted(page)

    process.send(signal.SIGKILL)
    is_not_trusted(page, "red", "Not now.", "No ingester runs", "stream_prices")
    process = ingester()
    is_trusted(page)

    process.send(signal.SIGTERM)
    is_not_trusted(page, "red", "Not now.", "No ingester runs")


def test_an_exchange_out_of_reach_is_told(visit, exchange, ingester):
    ingester()
    page = visit()
    is_trusted(page)

    exchange.faults(refuse_connections="close")
    exchange.drop()
    is_not_trusted(page, "amber", "Almost.", "The ingester is connecting to the exchange")

    exchange.clear_faults()
    is_trusted(page)


def test_a_lost_database_is_said_and_found_again(visit, ingester, expected_failures):
    expected_failures.append("503 (Service Unavailable)")
    ingester()
    page = visit()
    is_trusted(page)

    with database_out_of_reach():
        sees(state(page, "database"), "The database is out of reach")
        is_not_trusted(page, "red", "Not now.", "The database is out of reach")
        fresh = visit()
        sees(state(fresh, "database"), "This page tries again by itself.")
        expect(fresh.locator("form")).to_have_count(0)

    for each in (page, fresh):
        is_trusted(each)
        expect(state(each, "live")).to_be_visible()
    expect(fresh.locator("form")).to_have_count(4)


def test_the_listener_outlives_its_connection(visit, ingester):
    ingester()
    page = visit()
    is_trusted(page)

    for _ in range(3):
        end_all_other_connections()
        before = card(page).locator("[data-slot=timestamp]").inner_text()
        expect(card(page).locator("[data-slot=timestamp]")).not_to_have_text(before)

    is_trusted(page)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such way to end a server")
def test_a_database_that_is_restarted_is_found_again(visit, exchange, tmp_path, expected_failures):
    """A server of its own, ended at once as by a power cut; whoever connects next starts it again."""
    expected_failures.append("503 (Service Unavailable)")
    folder = settings.VAR_DIR / f"dashboard-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    environment = {"DATABASE_URL": "", "VAR_DIR": str(folder), **exchange_settings(exchange)}
    Process("migrate", "-v0", log=tmp_path / "migrate.log", **environment).wait(120)
    ingester = Process("stream_prices", log=tmp_path / "ingester.log", **environment)
    try:
        with running_web_server(tmp_path / "web.log", **environment) as server:
            page = visit(server=server)
            is_trusted(page)

            end_the_server(folder)

            before = card(page).locator("[data-slot=timestamp]").inner_text()
            expect(card(page).locator("[data-slot=timestamp]")).not_to_have_text(before)
            is_trusted(page)
            page.close()
    finally:
        ingester.stop()
        shutil.rmtree(find_data_dir(folder / "postgres"), ignore_errors=True)
        shutil.rmtree(folder)


def end_the_server(folder):
    postmaster = wait_until(lambda: read_postmaster(find_data_dir(folder / "postgres"))).pid
    os.kill(postmaster, signal.SIGQUIT)
    wait_until(lambda: not Path(f"/proc/{postmaster}").exists())
