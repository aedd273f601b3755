"""The five steps of a night."""
