"""Bars of a file or a frame, and of the sample."""

from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from importlib.metadata import distribution, version
from pathlib import Path

import pandas as pd

from forecasting.errors import BadDataError, UsageError
from forecasting.ingest.actions import implied_dividends, make_actions
from forecasting.ingest.bar_rules import PRICES, UNREADABLE, Finding
from forecasting.ingest.sources import Request, Response, canonical
from forecasting.ingest.sources.tables import (
    BARS,
    OPTIONAL,
    Kind,
    Table,
    check_regular,
    faults,
    first_faults,
    misfits,
    read_days,
    read_file,
    read_numbers,
)
from forecasting.plain_text import named
from forecasting.sessions import NEWEST_DAY
from forecasting.values import SYMBOL, source_name

_FIRST_DAY = date(1900, 1, 1)  # one flipped bit makes 1022 of 2022


class Files:
    """A file of daily bars, read once for all symbols while it stays the same.

    Columns, in any order and case: date (or session), open, high, low, close, volume; optionally
    adj close, dividends, stock splits, and symbol (or ticker) in a file of several symbols. Prices
    are split-adjusted, as Yahoo's are. Without a dividends column, dividends are derived from adj
    close.
    """

    def __init__(
        self, kind: Kind, path: Path, *, one_series: bool = False, today: date = NEWEST_DAY
    ) -> None:
        """A source of the file at `path`, whose rows after `today` are left out as unreadable.

        With `one_series` it is a market series alone, whose date and close suffice.
        """
        self.option = "market" if one_series else "source"
        self.one_series = one_series
        self.today = today
        check_regular(path, self.option)
        self.kind = kind
        self.path = path
        self.name = source_name(f"{kind}:{path}")

    def fetch(self, request: Request) -> Response:
        """The file's bars for the sessions of the request; a BadDataError without one."""
        symbol = request.symbol
        rows, _, findings = self._rows(symbol)
        every = canonical(rows)
        bars = _of_span(every, request, f"{self.path.name} has bars of {symbol}")
        actions = _actions(rows.loc[every.index], every)
        in_span = actions["session"].between(bars.index[0], pd.Timestamp(request.last))
        return Response(
            request,
            bars,
            actions[in_span].reset_index(drop=True),
            # A bar that newer ones follow is finished
            live=bars.index[-1] == every.index[-1],
            title=f"{symbol}, daily, from {self.path.name}",
            library_version=f"pandas {version('pandas')}",
            findings=tuple(finding for finding in findings if self._concerns(finding, request)),
        )

    def _concerns(self, finding: Finding, request: Request) -> bool:
        """Whether a row that cannot be read is of the sessions requested, or of no session yet."""
        day = finding.session
        return day is None or day > self.today or request.first <= day <= request.last

    def newest(self, symbol: str) -> date:
        """The newest session that the file has a row of, readable or not, up to today."""
        return self._rows(symbol)[1]

    def names_symbols(self) -> bool:
        """Whether the file has a column of symbols."""
        return self._table().places is not None

    def _table(self) -> Table:
        table = read_file(
            self.path,
            self.kind,
            self.option,
            needed="series" if self.one_series else "bars",
        )
        return replace(table, places=None) if self.one_series else table

    def _rows(self, symbol: str) -> tuple[pd.DataFrame, date, tuple[Finding, ...]]:
        """The symbol's readable rows by session, its newest session, and findings on the others.

        A UsageError where no row can be read.
        """
        table = self._table()
        rows = _of_symbol(table, symbol)
        days, undated = read_days(rows["session"], _FIRST_DAY, self.today)
        unread = [misfits(rows), undated]
        numbers = {}
        for name in (*BARS[1:], *OPTIONAL):
            if name in rows:
                numbers[name], broken = read_numbers(rows[name])
                unread.append(broken)
        if self.one_series:
            numbers = dict.fromkeys(PRICES, numbers["close"]) | numbers
        frame = pd.DataFrame(numbers).set_axis(days, axis=0)
        is_broken = rows.index.isin(first_faults(*unread).index)
        repeated = frame.reset_index().duplicated().to_numpy() & ~is_broken  # equal rows are one
        others = pd.Series(days.where(~repeated))
        again = (others.duplicated(keep=False) & others.notna()).to_numpy()
        reasons = first_faults(
            *unread, faults(again, "expected each session once", rows["session"])
        )
        is_readable = ~(is_broken | repeated | again)
        if not is_readable.any():
            raise UsageError(
                f"{table.name} {reasons.iloc[0]}; no row of {symbol} can be read. Correct them."
            )
        return frame[is_readable], days.max().date(), _unreadable(rows["session"], reasons)


def _unreadable(written: pd.Series, reasons: pd.Series) -> tuple[Finding, ...]:
    """The findings on rows that cannot be read, by line, of each day as written the first alone."""
    days, _ = read_days(written[reasons.index], _FIRST_DAY, NEWEST_DAY)
    dated = pd.Series(days.date, reasons.index)
    once = dated[~dated.duplicated() | dated.isna()]
    return tuple(
        Finding(None if pd.isna(day) else day, UNREADABLE, "reject", line, f"Left out, {why}.")
        for line, day, why in zip(once.index.tolist(), once, reasons[once.index], strict=True)
    )


def _of_symbol(table: Table, symbol: str) -> pd.DataFrame:
    """The symbol's rows; a UsageError without any."""
    if table.rows.empty:
        raise UsageError(f"Expected one line per session in {table.name}; found only a header.")
    rows = table.of_symbol(symbol)
    if len(rows):
        return rows
    has = [name for name in map(str, table.places or ()) if SYMBOL.fullmatch(name)]
    near = get_close_matches(symbol, has)
    listed = f": {named(near if near else has, 5)}" if has else ""
    raise UsageError(
        f"{table.name} has no rows of {symbol}; symbols that it has: {len(table.places or ())}. "
        f"Name one of them, as the file writes it{listed}."
    )


def _of_span(every: pd.DataFrame, request: Request, has: str) -> pd.DataFrame:
    """The bars of the sessions requested; a BadDataError without any."""
    bars = every.loc[str(request.first) : str(request.last)]
    if bars.empty:
        raise BadDataError(
            f"{has} from {every.index[0]:%Y-%m-%d} to {every.index[-1]:%Y-%m-%d}; none lies "
            f"between {request.first} and {request.last}. Choose a session inside that span, or "
            "another source."
        )
    return bars


SAMPLE = "^GSPC"
SAMPLE_TITLE = (
    "S&P 500 index, daily, 1999-01-04 to 2018-12-31, from the Python package arch (not SBUX)"
)
SAMPLE_ENDS = date(2018, 12, 31)


class Sample:
    """Real bars of the S&P 500 index from the package arch, for a night without network."""

    name = "sample"

    def newest(self, symbol: str) -> date:
        """The sample's last session; a UsageError for another symbol than its own."""
        if symbol != SAMPLE:
            raise UsageError(
                f"{symbol} is not in the sample, whose only symbol is {SAMPLE} ({SAMPLE_TITLE}). "
                "Name that one, or neither set FORECASTING_SYMBOLS nor give --symbol."
            )
        return SAMPLE_ENDS

    def fetch(self, request: Request) -> Response:
        """The index's bars for the sessions of the request; a BadDataError without one."""
        self.newest(request.symbol)
        # Without importing the package, which takes 0.8 s of CPU for models that nothing here uses.
        file = distribution("arch").locate_file("arch/data/sp500/sp500.csv.gz")
        raw = pd.read_csv(Path(str(file)), index_col=0, parse_dates=True)
        raw.columns = [name.lower().replace(" ", "_") for name in raw.columns]
        bars = _of_span(canonical(raw), request, "The sample has bars")
        library = f"arch {version('arch')}"
        return Response(request, bars, title=SAMPLE_TITLE, library_version=library)


def _actions(rows: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """The dividends and splits of the rows; dividends from Adj Close without a column of them."""
    actions: list[tuple[object, str, float]] = []
    for column, kind in (("dividends", "dividend"), ("splits", "split")):
        if column in rows:
            paid = rows[column][rows[column] > 0]
            actions += [(day, kind, value) for day, value in paid.items()]
    if "dividends" not in rows:
        actions += implied_dividends(bars).itertuples(index=False, name=None)
    return make_actions(actions)
