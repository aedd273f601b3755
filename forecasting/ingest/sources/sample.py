"""The bundled sample: real S&P 500 index bars from the package arch, for a night without network."""

from datetime import date
from importlib.metadata import distribution, version
from pathlib import Path

import pandas as pd

from forecasting.errors import BadDataError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import canonical
from forecasting.ingest.sources import Fetched

SYMBOL = "^GSPC"
TITLE = "S&P 500 index, daily, 1999-01-04 to 2018-12-31, from the Python package arch (not SBUX)"
NEWEST = date(2018, 12, 31)


class Sample:
    """The S&P 500 index, 1999 to 2018, volume included."""

    name = "sample"

    def newest(self, symbol: str) -> date:
        """The sample's last session for any symbol; `fetch` refuses other symbols than its own."""
        return NEWEST

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        """The index's bars for the sessions `first` .. `last`.

        Raises:
            BadDataError: Another symbol, or a span outside 1999-01-04 .. 2018-12-31.
        """
        if symbol != SYMBOL:
            raise BadDataError(
                f"Expected the symbol {SYMBOL}, the only one of the sample ({TITLE}); found {symbol}. "
                "Name that one, or neither set FORECASTING_SYMBOLS nor give --symbol."
            )
        raw = _read()
        raw.columns = [name.lower().replace(" ", "_") for name in raw.columns]
        bars = canonical(raw).loc[f"{first}" : f"{last}"]
        if bars.empty:
            raise BadDataError(
                f"The sample holds the sessions 1999-01-04 to {NEWEST}; none lies between {first} and {last}. "
                "Choose --as-of inside that span."
            )
        return Fetched(self.name, symbol, first, last, bars, make_actions([]), f"arch {version('arch')}", TITLE)


def _read() -> pd.DataFrame:
    """The file of the package, without importing that, which takes 0.8 s of CPU for models that nothing here uses."""
    file = distribution("arch").locate_file("arch/data/sp500/sp500.csv.gz")
    return pd.read_csv(Path(str(file)), index_col=0, parse_dates=True)
