"""The library of the nightly forecaster: functions of their arguments, which know neither a scheduler nor the clock."""
