"""The cold tier: days in files, and the only writer of them. In: days. Out: Parquet files, rows in `sealed_days`."""
