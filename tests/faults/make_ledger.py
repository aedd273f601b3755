"""Makes a frozen ledger of tests/faults/ledgers by the code of another checkout, whose folder this
runs in.

20 nights of two symbols, volume and range: a partial bar, a late bar, a split and a report.

    PYTHONPATH=. python .../make_ledger.py FOLDER
"""

import os
import sys
import tempfile
from datetime import date
from pathlib import Path

import pytest


def main(folder: Path):
    os.environ |= {
        "PREFECT_HOME": tempfile.mkdtemp(),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "OMP_NUM_THREADS": "1",
    }
    from flows import clock, nightly
    from forecasting.errors import ForecastingError
    from forecasting.ingest.actions import make_actions
    from forecasting.sessions import between
    from forecasting.settings import Settings
    from forecasting.store import migrate
    from tests.builders import LAST, random_bars, set_small_night
    from tests.nights import after
    from tests.plain_flows import without_prefect
    from tests.yahoo_stand_in import StandIn, asked_here, missing_row

    patch = pytest.MonkeyPatch()
    without_prefect(patch.setattr)
    (folder / "data").mkdir(parents=True)
    url = f"sqlite:///{folder / 'data' / 'forecasting.db'}"
    migrate.upgrade(url)
    several = "targets" in Settings.model_fields  # e2d6f360 makes nights of one target
    named = {"TARGETS": "volume,range"} if several else {}
    set_small_night(
        patch, folder, url, train_sessions=300, SOURCE="yahoo", SYMBOLS="MSFT,KO", **named
    )
    sessions = between(date(2024, 2, 9), LAST)
    split = make_actions([(sessions[11], "split", 2.0)])
    served = StandIn(random_bars(days=520, seed=4, last=LAST), split, symbol="MSFT")
    served.add("KO", random_bars(days=520, seed=5, last=LAST))
    report = sessions[14]
    served.calendar = [(name, f"{report}T21:00:00.000Z", "AMC") for name in ("MSFT", "KO")]
    with asked_here(served, patch.setattr):
        for place, session in enumerate(sessions):
            served.edits = [missing_row(session)] if place == 7 else []
            served.today = session
            patch.setattr(clock, "now", after(session, 13.5))
            for target in [None] if several else ["volume", "range"]:
                try:
                    nightly.nightly(target=target)
                except ForecastingError as error:
                    sys.stderr.write(f"{session}: {error}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
