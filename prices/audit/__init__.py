"""Proves the tape: ids, candles, gaps, and the exchange's own klines. See `auditor.audit_symbol`."""
