"""Prefect's server and worker."""
