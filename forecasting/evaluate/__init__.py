"""How forecasts did, whether that is more than luck, and who is champion from now on."""
