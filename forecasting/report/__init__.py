"""The report of a night: one self-contained page, charts, tables and documents."""
