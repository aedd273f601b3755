"""The network, its linear partner and the baselines: fitting, and the files that keep what was learned."""
