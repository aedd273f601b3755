"""Checks of everything that a night needs, Prefect's server included; changes nothing."""

from flows import clock
from forecasting.pipeline.health import checked, night_checks
from forecasting.settings import read_settings


def doctor() -> list[dict[str, str]]:
    """The checks, one row each: check, state (`ok` or `wrong`) and what was found."""
    return checked({**night_checks(read_settings(), now=clock.now), "prefect": _prefect})


def _prefect() -> str:
    from flows.operations.server import check_home, has_server, reached_server

    if not has_server():
        check_home()
        return "no server configured: `run` and `catch-up` need none, `serve` starts its own"
    with reached_server() as url:
        return f"server {url} responds"
