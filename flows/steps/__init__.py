"""What each of the five tasks does, without Prefect: read the store, call the library, write the store, log a line."""
