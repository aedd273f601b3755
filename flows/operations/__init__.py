"""Around the flows: Prefect's server, worker, states, messages, artifacts and logs."""
