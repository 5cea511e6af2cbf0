"""What is taken for granted of the exchange though it promises it nowhere, and how far."""

from datetime import timedelta

TIMES_RUN_BACK_AT_MOST = timedelta(seconds=10)
"""A trade with a higher id is never stamped more than this earlier than one with a lower id.

The exchange does not promise it. In the recordings looked at not one trade is stamped earlier than one with a lower id;
ten seconds is a wide margin, chosen by this project. It must stay below a minute: what is proven from candles
(`prices/domain/proof.py`, `prices/queries/candles.py`) takes it that two trades with a minute between them are further
apart.
"""
