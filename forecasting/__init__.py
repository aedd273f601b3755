"""The forecasting library: functions of their arguments, without a scheduler or a clock."""

__version__ = "0.2.0"
