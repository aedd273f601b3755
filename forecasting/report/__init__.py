"""The report of a night: one self-contained page, a chart and a table for artifacts. Reads a Night, never the store."""
