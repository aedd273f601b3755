"""Scores, significance tests, promotion, drift and standings."""
