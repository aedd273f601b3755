"""How far a run of many nights has come: in words, as stages done, and of how many."""

from collections.abc import Sequence

from forecasting.pipeline.night_run import NightSpec

STAGES = ("preprocess", "train", "predict", "evaluate")
"""A night's stages after the ingest, which all nights of a run share."""


def at_stage(shard: Sequence[NightSpec], stage: str, nights: Sequence[NightSpec]) -> tuple[str, int, int]:
    """Where a stage of a shard begins among the nights, done shard by shard and of each symbol the oldest first."""
    at = nights.index(shard[0])
    done = 0 if stage == "ingest" else 1 + at * len(STAGES) + len(shard) * STAGES.index(stage)
    which = f" ({at + 1} of {len(nights)})" if len(nights) > 1 and stage != "ingest" else ""
    more = f" and {len(shard) - 1} more" if len(shard) > 1 else ""
    return f"{shard[0].symbol} {shard[0].session}{more}{which}: {stage}", done, 1 + len(nights) * len(STAGES)


def after(done: int, nights: int) -> tuple[str, int, int]:
    """Where so many of the nights are done."""
    return f"{done} of {nights} nights done", 1 + done * len(STAGES), 1 + nights * len(STAGES)
