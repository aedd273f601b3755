"""Which tests are slow, and which worker runs a test.

One for a whole file, and for all files of one Prefect server.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

FILES_OF = {
    "served": ("tests/browser/test_prefect_ui.py", "tests/flows/test_serving.py"),
    "prefect_server": (
        "tests/faults/test_secrets.py",
        "tests/flows/test_nightly.py",
        "tests/flows/test_patient_nights.py",
        "tests/flows/test_reporting.py",
        "tests/flows/test_runners.py",
    ),
}
"""The files that use a fixture which starts a Prefect server, in their order; kept complete by
`server_of`."""

ROWS_OF_NIGHTS = (
    "tests/faults/test_clock.py",
    "tests/faults/test_files.py",
    "tests/faults/test_odd_bars.py",
    "tests/faults/test_spans.py",
    "tests/faults/test_world.py",
    "tests/flows/test_exchanges.py",
    "tests/ingest/test_nights.py",
    "tests/audit/test_backtest.py",
    "tests/night/test_ingest.py",
    "tests/audit/test_verify.py",
)
"""The files whose tests run several nights each: they are slow."""

_SERVER = {file: server for server, files in FILES_OF.items() for file in files}
_PLACE = {file: place for place, file in enumerate(_SERVER)}


def server_of(item: pytest.Item) -> str | None:
    """The fixture of a test that starts a Prefect server, or None.

    Raises:
        pytest.UsageError: The test's file is not listed in FILES_OF under that fixture.
    """
    (server, *_) = [name for name in FILES_OF if name in getattr(item, "fixturenames", ())] or [
        None
    ]
    file = file_of(item.nodeid)
    if server is not None and _SERVER.get(file) != server:
        raise pytest.UsageError(
            f"Expected {file} among FILES_OF[{server!r}] in tests/distribution.py, as it uses it."
        )
    return server


def mark_slow(items: list[pytest.Item]) -> None:
    """Mark as slow the tests of Prefect servers, PostgreSQL and rows of nights, and what `make test` leaves out."""
    for item in items:
        if server_of(item) or file_of(item.nodeid) in ROWS_OF_NIGHTS:
            item.add_marker(pytest.mark.slow)
        if any("postgres" in name for name in (item.name, *getattr(item, "fixturenames", ()))):
            item.add_marker(pytest.mark.slow)  # the same tests on SQLite stay
        if item.get_closest_marker("campaign") or item.get_closest_marker("network"):
            item.add_marker(pytest.mark.slow)  # -m "not slow" replaces the -m that leaves these out


def is_of(server: str, item: pytest.Item) -> bool:
    """Whether the test's file is one of those of this server, whether or not the test itself uses it."""
    return _SERVER.get(file_of(item.nodeid)) == server


def file_of(nodeid: str) -> str:
    """The path of a test's file, from the root of the project."""
    return nodeid.partition("::")[0]


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests, file by file: those of FILES_OF in its order, then others with slow tests, then the rest."""
    slow = {file_of(item.nodeid) for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, bool]:
        file = file_of(item.nodeid)
        return _PLACE.get(file, len(_PLACE)), file not in slow

    return sorted(items, key=place)


class OneWorkerAFile(LoadScopeScheduling):
    """Hands out whole files, and the files of one Prefect server together, in the order of collection.

    Each of these fixtures is then made once. `--dist loadgroup` would need marks in the ids of
    tests, which pytest 9.2 no longer takes from pytest-xdist 3.8: without a message, the groups of
    both workers were mixed.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = file_of(nodeid)
        return _SERVER.get(file, file)
