"""The report of a night, made of ReportData: one self-contained page, and a chart and tables for artifacts."""
