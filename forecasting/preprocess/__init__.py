"""From bars to what a forecaster may know: targets, features, windows."""
