"""The public archive of the simulated exchange: zips of whole days and months of trades, like those of
https://data.binance.vision, with its known defects on demand."""
