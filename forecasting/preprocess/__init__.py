"""From bars to the inputs of a forecaster: targets, features, future covariates, windows."""
