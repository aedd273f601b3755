"""Around the flows: Prefect's server, worker, events, alarms, artifacts and logs."""
