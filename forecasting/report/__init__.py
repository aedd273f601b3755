"""The report of a night, made of ReportData.

One self-contained page, and a chart and tables for artifacts.
"""
