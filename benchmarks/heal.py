"""Healing: how many missing trades a second does the healer bring back, when the exchange sets no limit?

The tape holds a trade, a gap of many ids, and a trade. The real gap watch finds it by query and the real healer fills
it over real HTTP from a simulated exchange in another process, which has every trade and no rate limit; the healer's
own budget is lifted with it. At the exchange itself the limit decides: 3,000 weight a minute are 2,000 trades a second.

    python benchmarks/heal.py
    python benchmarks/heal.py --trades 1000000
"""

import time

from database import fresh_database
from processes import running_simulator
from results import Result, finish, make_parser
from tqdm import tqdm

SYMBOL = "BTCUSDT"
LEAST_TRADES_PER_S = 20_000
HISTORY_MINUTES = 60
NO_BUDGET = 10**12


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--trades", type=int, default=200_000, help="that are missing (default: %(default)s)")
    options = parser.parse_args()
    rate = options.trades * 1.2 / (HISTORY_MINUTES * 60)
    market = ["--no-limits", "--symbols", SYMBOL, "--seed", "1", "--rate", str(rate), "--history", str(HISTORY_MINUTES)]
    with (
        fresh_database("heal") as environment,
        running_simulator(environment, *market, "--keep", str(2 * options.trades)) as (_, rest_url),
    ):
        seconds = heal(rest_url, options.trades)
    rate = options.trades / seconds
    result = Result("Heal: missing trades found, fetched over HTTP and stored")
    must = f"at least {LEAST_TRADES_PER_S:,}"
    result.add("healed", f"{rate:,.0f} trades/s", must, rate >= LEAST_TRADES_PER_S)
    result.points = {"trades": options.trades, "seconds": seconds}
    result.notes.append(f"{options.trades:,} trades in {seconds:.1f} s; every one was found stored.")
    finish(result, options.json)


def heal(rest_url: str, missing: int) -> float:
    """Seconds from the moment at which the gap is on record to the last trade stored."""
    from prices import queries  # noqa: PLC0415  Django is set up by fresh_database
    from prices.binance.rest import RestClient  # noqa: PLC0415
    from prices.ingest.gap_watch import GapWatch  # noqa: PLC0415
    from prices.ingest.healer import Healer  # noqa: PLC0415
    from prices.ingest.lease import HealerLease  # noqa: PLC0415
    from prices.ingest.statistics import Statistics  # noqa: PLC0415

    client = RestClient(rest_url, weight_budget=NO_BUDGET)
    make_a_gap(client, missing)
    statistics, lease = Statistics(), HealerLease("benchmark")
    watch = GapWatch(lease, statistics)
    healer = Healer(client, lease, statistics, queries.database_now)
    while not statistics.open_gaps:
        watch.step()
    began_at = time.perf_counter()
    with tqdm(total=missing, unit=" trades") as bar:
        while statistics.healed_trades < missing:
            if not lease.is_held:
                lease.take()
            time.sleep(healer.step())
            bar.update(statistics.healed_trades - bar.n)
    seconds = time.perf_counter() - began_at
    client.close()
    watch.step()
    check_that_it_is_whole(missing, statistics.open_gaps)
    return seconds


def make_a_gap(client, missing: int) -> None:  # type: ignore[no-untyped-def]  # a RestClient
    from prices import tape  # noqa: PLC0415

    first = client.historical_trades(SYMBOL, 0, limit=1).trades
    last = client.historical_trades(SYMBOL, first[0].trade_id + missing + 1, limit=1).trades
    tape.store([*first, *last], followed=[SYMBOL])


def check_that_it_is_whole(missing: int, open_gaps: int) -> None:
    from prices.models import Price  # noqa: PLC0415

    stored = Price.objects.count()
    if stored != missing + 2 or open_gaps:
        raise SystemExit(f"{stored:,} trades are stored, not {missing + 2:,}, and {open_gaps} gap(s) are open")


if __name__ == "__main__":
    main()
