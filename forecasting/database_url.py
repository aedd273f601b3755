"""The database's URL with the driver that is installed."""

import re


def with_driver(url: str) -> str:
    """The URL, where it names Postgres with its driver."""
    # psycopg 3 is the installed driver; a bare postgresql:// would import psycopg2.
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
