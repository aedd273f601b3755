"""What uvicorn serves in a temporary server's process: Prefect's API, which deletes old runs there too."""

from fastapi import FastAPI
from prefect.server.api.server import create_app as prefect_app
from prefect.server.services import db_vacuum
from prefect.server.services.perpetual_services import get_perpetual_services


def create_app() -> FastAPI:
    """Prefect's API with the services that delete what has expired, which its own temporary server leaves out."""
    for service in get_perpetual_services():
        if service.function.__module__ == db_vacuum.__name__:
            service.run_in_ephemeral = True
    return prefect_app()
