"""The choice of how tonight's challenger is fitted, with the reason."""

from dataclasses import dataclass
from typing import Literal

from forecasting.vocabulary import Mode

Method = Literal["scratch", "warm", "skip"]

FITS: tuple[Method, ...] = ("scratch", "warm")
"""The methods by which a night makes a network."""

MAX_CHAIN_EPOCHS = 60
"""Epochs of a chain of warm fits. Longer chains overfit: the coverage of 80 % intervals fell to 68 %."""


@dataclass(frozen=True)
class ModeChoice:
    """The method and the reason for it; both are stored with the run."""

    method: Method
    reason: str


@dataclass(frozen=True)
class ChainFacts:
    """The facts about the champion that the mode depends on.

    Attributes:
        usable: Its weights exist, unaltered, and match this code and these settings.
        error: Why it is not usable; empty if it is.
        sessions_since_scratch: Sessions since the newest fit from scratch of this symbol and target.
        chain_epochs: Epochs of the champion's chain of warm fits, its fit from scratch included.
        drift: The alarm of the control chart; empty without one.
        had_events: Whether its chain of fits began with earnings dates.
        has_events: Whether tonight's training rows have any.
        had_market, has_market: The same of a market series: whether its value of tonight is known.
    """

    usable: bool
    error: str
    sessions_since_scratch: int
    chain_epochs: int
    drift: str = ""
    had_events: bool = False
    has_events: bool = False
    had_market: bool = False
    has_market: bool = False


def choose_mode(requested: Mode, champion: ChainFacts | None, *, scratch_every: int) -> ModeChoice:
    """How to fit tonight.

    Args:
        requested: The mode of the caller; `auto` chooses by the facts.
        champion: None before the first champion.
        scratch_every: Sessions between fits from scratch.
    """
    if requested == "skip":
        return ModeChoice("skip", "asked for: no fit tonight")
    if champion is None:
        return ModeChoice("scratch", "no champion yet")
    if not champion.usable:
        return ModeChoice("scratch", f"no warm fit can go on from the champion: {champion.error}")
    if requested != "auto":
        return ModeChoice(requested, f"asked for: {requested}")
    # A warm fit keeps the effects, and with them lags from which reactions were removed, or were not.
    if champion.had_events != champion.has_events:
        change = "arrived" if champion.has_events else "vanished"
        return ModeChoice("scratch", f"earnings dates have {change} since the champion's chain of fits began")
    if champion.had_market != champion.has_market:
        change = "arrived" if champion.has_market else "vanished"
        return ModeChoice("scratch", f"the market series has {change} since the champion's chain of fits began")
    if champion.drift:
        return ModeChoice("scratch", champion.drift)
    sessions = champion.sessions_since_scratch
    since = f"{sessions} session{'' if sessions == 1 else 's'} since the last fit from scratch"
    if sessions >= scratch_every:
        return ModeChoice("scratch", since)
    if champion.chain_epochs >= MAX_CHAIN_EPOCHS:
        return ModeChoice("scratch", f"the chain of warm fits has had {champion.chain_epochs} epochs")
    return ModeChoice("warm", since)
