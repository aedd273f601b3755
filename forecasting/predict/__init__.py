"""Combined, calibrated quantiles, and the fallback when the champion is not eligible."""
