"""Restatements: stored bars that a fetch has otherwise, and which of them are findings."""

from datetime import date

import pandas as pd

from forecasting.ingest.bar_rules import PRICES, Finding
from forecasting.ingest.bars import PRICE_TOLERANCE
from forecasting.ingest.splits import ACCEPTED, SAME_RATIO

VOLUME_ALARM = 5e-3
"""Share beyond which a restated settled volume is a finding; a restated settled price always is."""

RESTATED = 20
"""Settled bars that one fetch may restate past VOLUME_ALARM, or in price, while the share basis stays.

Yahoo restates single volumes of the last days; of SBUX, two downloads 19 months apart differ by no bar of 253. Another
unit, vendor or rounding restates hundreds, and would replace the record that forecasts were made from.
"""


def restated_bars(expected: pd.DataFrame, versions: pd.DataFrame, *, factor: pd.Series) -> pd.DataFrame:
    """The known bars that get a new version: columns session, price, volume (relative changes), differs, settled.

    Of a rebased bar, a price within SAME_RATIO and a volume within one share are no change: ratio and source round.

    Args:
        expected: The stored bars on the share basis of the fetch: index session; columns as of `explain`'s `known`.
        versions: The rows to append, as of `Revision`.
        factor: New shares per old share of every known session, as of `basis`.
    """
    now = versions[versions["session"].isin(expected.index)].set_index("session")
    before = expected.loc[now.index]
    price = (now[PRICES] / before[PRICES] - 1.0).abs().max(axis=1)
    volume = now["volume"] / before["volume"] - 1.0
    rebased = factor.loc[now.index] != 1.0
    price = price.mask(rebased & (price < SAME_RATIO), 0.0)
    volume = volume.mask(rebased & ((now["volume"] - before["volume"]).abs() <= 1.0), 0.0)
    filled = before["volume"].isna() & now["volume"].notna()
    return pd.DataFrame(
        {
            "session": now.index,
            "price": price.to_numpy(),
            "volume": volume.to_numpy(),
            "differs": ((price > PRICE_TOLERANCE) | (volume.abs() > 0) | filled).to_numpy(),
            "settled": before["settled"].astype(bool).to_numpy(),
        }
    )


def alarming(restated: pd.DataFrame) -> "pd.Series[bool]":
    """Which restatements are findings: of settled bars, in price or past VOLUME_ALARM; a provisional bar may move."""
    moved = (restated["price"] > PRICE_TOLERANCE) | (restated["volume"].abs() > VOLUME_ALARM)
    return restated["settled"] & moved


def alarms(restated: pd.DataFrame, *, accept: bool) -> list[Finding]:
    """Findings on restated settled bars; one for all of them where the user accepted more than RESTATED."""
    settled = restated[alarming(restated)]
    if accept and len(settled) > RESTATED:
        detail = f"{len(settled)} settled bars were restated up to this session, as --switch-source permitted."
        return [Finding(settled["session"].iloc[-1].date(), ACCEPTED, "flag", float(len(settled)), detail)]
    prices = settled[settled["price"] > PRICE_TOLERANCE]
    volumes = settled[settled["volume"].abs() > VOLUME_ALARM]
    price_detail = "A settled price was restated by this share."
    volume_detail = "A settled volume was restated by this share."
    return [
        *(Finding(day, "price_restated", "flag", share, price_detail) for day, share in _by_day(prices, "price")),
        *(Finding(day, "volume_restated", "flag", share, volume_detail) for day, share in _by_day(volumes, "volume")),
    ]


def _by_day(restated: pd.DataFrame, column: str) -> list[tuple[date, float]]:
    days = pd.DatetimeIndex(restated["session"])
    return [(day.date(), float(share)) for day, share in zip(days, restated[column], strict=True)]
