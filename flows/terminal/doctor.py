"""Checks of everything that a night needs, Prefect's server included; changes nothing."""

from flows import clock
from forecasting.pipeline.health import checked, night_checks
from forecasting.settings import read_settings


def doctor() -> list[dict[str, str]]:
    """The checks, one row each: check, state (`ok` or `wrong`) and what was found."""
    return checked({**night_checks(read_settings(), now=clock.now), "prefect": _prefect})


def _prefect() -> str:
    from prefect.settings import PREFECT_API_URL

    from flows.operations.server import check_home, check_server

    if PREFECT_API_URL.value() is None:
        check_home()
        return "no server configured: each run starts a temporary one"
    return f"server {check_server()} responds"
