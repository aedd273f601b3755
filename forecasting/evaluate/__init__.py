"""Scores, significance tests, drift and the figures of a backtest."""
