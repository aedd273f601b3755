"""The walk-forward backtest: the nightly path replayed at past origins, and its figures."""
