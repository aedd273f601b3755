"""What re-runs the past: backtest, verification of finished nights."""
