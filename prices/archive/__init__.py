"""The cold tier: days in files, and the only writer of those. In: days. Out: Parquet files, and rows in `sealed_days`."""
