"""Bars from a source: fetched, checked, and compared with the stored ones."""
