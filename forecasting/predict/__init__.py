"""What is issued: combined, calibrated quantiles, and who speaks when the champion may not."""
