"""A night without a scheduler, for one symbol or a shard of them: read, compute, write, log."""
