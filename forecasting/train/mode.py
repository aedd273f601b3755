"""How tonight's challenger is to be fitted, and the reason in words."""

from dataclasses import dataclass
from typing import Literal

from forecasting.vocabulary import Mode

Method = Literal["scratch", "warm", "skip"]

MAX_CHAIN_EPOCHS = 60
"""Epochs a chain of warm fits may have had. Warm chains overfit: 80 % intervals fell to 68 % cover when they ran on."""


@dataclass(frozen=True)
class ModeChoice:
    """The method and why it was chosen; both are kept with the run."""

    method: Method
    reason: str


@dataclass(frozen=True)
class ChainFacts:
    """What is known of the champion when the mode is chosen.

    Attributes:
        usable: Its weights are there, unaltered, and of this code and these settings.
        trouble: Why not, when not usable.
        sessions_since_scratch: Sessions since the newest fit from scratch of this symbol and target.
        chain_epochs: Epochs that the champion's chain of warm fits has had since its scratch fit.
        drift: What the control chart says when it is out of bounds, else empty.
    """

    usable: bool
    trouble: str
    sessions_since_scratch: int
    chain_epochs: int
    drift: str = ""


def choose_mode(asked: Mode, champion: ChainFacts | None, *, scratch_every: int) -> ModeChoice:
    """The fit to make tonight.

    Args:
        asked: What the caller wants; `auto` leaves the choice to the facts.
        champion: None before the first champion.
        scratch_every: Sessions between fits from scratch.
    """
    if asked == "skip":
        return ModeChoice("skip", "asked for: no fit tonight")
    if champion is None:
        return ModeChoice("scratch", "no champion yet")
    if not champion.usable:
        return ModeChoice("scratch", f"no warm fit can go on from the champion: {champion.trouble}")
    if asked != "auto":
        return ModeChoice(asked, f"asked for: {asked}")
    if champion.drift:
        return ModeChoice("scratch", champion.drift)
    sessions = champion.sessions_since_scratch
    since = f"{sessions} session{'' if sessions == 1 else 's'} since the last fit from scratch"
    if sessions >= scratch_every:
        return ModeChoice("scratch", since)
    if champion.chain_epochs >= MAX_CHAIN_EPOCHS:
        return ModeChoice("scratch", f"the chain of warm fits has had {champion.chain_epochs} epochs")
    return ModeChoice("warm", since)
