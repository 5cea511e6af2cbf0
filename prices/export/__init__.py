"""The tape out. In: a symbol and a stretch of time. Out: files for other tools."""
