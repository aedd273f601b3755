"""Combined, calibrated quantiles, and the fallback in its place."""
