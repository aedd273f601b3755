"""The models of the ledger: which there are, where one comes from, and the champion that a person hands over to."""

from typing import Any

from flows import clock
from flows.night import short_id
from flows.steps.train import load_runnable, stored_at, why_not_runnable
from forecasting.errors import ArtifactError, UsageError
from forecasting.settings import Settings, read_settings
from forecasting.store import database, lineage, reads, writes
from forecasting.train.checkpoint import read_whole


def list_models() -> list[dict[str, Any]]:
    """The networks of the first symbol, newest first, the champion marked, each with the state of its weights."""
    settings = read_settings()
    database.check_ready(settings.url)
    with database.reading(settings.url) as connection:
        champion = reads.champion(connection, settings.symbols[0], settings.target)
        rows = reads.models(connection, settings.symbols[0], settings.target)
    return [
        {
            **row,
            "champion": champion is not None and row["id"] == champion["id"],
            "weights": state_of_weights(row, settings),
        }
        for row in rows
        if row["name"] == "lstm"
    ]


def show_model(model_id: str) -> dict[str, Any]:
    """A model's row, whether its weights are there, the settings and bars that made it, and what it has said.

    Raises:
        UsageError: No such model.
    """
    settings = read_settings()
    database.check_ready(settings.url)
    with database.reading(settings.url) as connection:
        model = known_model(connection, model_id)
        return {**model, "weights": weights_in_words(model, settings), **lineage.lineage(connection, model_id)}


def state_of_weights(model: dict[str, Any], settings: Settings) -> str:
    """Whether the weights of a network are `kept`, `missing` from the data folder, `damaged` or `pruned` on purpose."""
    if model["artifact_path"] is None:
        return "pruned"
    folder = stored_at(model, settings)
    if not folder.exists():
        return "missing"
    try:
        read_whole(folder, model["artifact_hash"])
    except ArtifactError:
        return "damaged"
    return "kept"


def weights_in_words(model: dict[str, Any], settings: Settings) -> str:
    """Whether the weights of a model are there, unaltered, and run under this code; else why not."""
    if model["method"] == "baseline":
        return "none: a baseline is fitted anew each night from the bars"
    trouble = why_not_runnable(model, settings)
    return trouble or f"there, unaltered, run by this code: {stored_at(model, settings)}"


def promote(model_id: str) -> str:
    """A sentence that says who speaks from the next forecast on.

    Raises:
        UsageError: No such model.
        ArtifactError: Its weights cannot be loaded and run by this code.
    """
    settings = read_settings()
    database.check_ready(settings.url)
    with database.transaction(settings.url) as connection:
        model = known_model(connection, model_id)
        if model["method"] == "baseline":
            raise UsageError(
                f"{model_id} is the baseline {model['name']}; a champion is a network. See: forecasting models list"
            )
        return hand_over(connection, model, settings, trigger="promote", reason="asked for by hand")


def roll_back() -> str:
    """A sentence that says who speaks from the next forecast on: the champion before the present one.

    Raises:
        UsageError: There was no other champion before.
        ArtifactError: Its weights cannot be loaded and run by this code.
    """
    settings = read_settings()
    database.check_ready(settings.url)
    with database.transaction(settings.url) as connection:
        before = lineage.champion_before(connection, settings.symbols[0], settings.target)
        if before is None:
            raise UsageError(f"{settings.symbols[0]} {settings.target} has had no other champion to go back to.")
        return hand_over(connection, before, settings, trigger="rollback", reason="rolled back by hand")


def known_model(connection: database.Connection, model_id: str) -> dict[str, Any]:
    """The row of a model.

    Raises:
        UsageError: No such model.
    """
    model = lineage.model(connection, model_id)
    if model is None:
        raise UsageError(
            f"A model id is expected, as `forecasting models list` prints it; found no model {model_id!r}."
        )
    return dict(model)


def hand_over(
    connection: database.Connection, model: dict[str, Any], settings: Settings, *, trigger: str, reason: str
) -> str:
    """Add the decision row that makes `model` champion, once its weights have been loaded and run."""
    load_runnable(model, settings)
    champion = reads.champion(connection, model["symbol"], model["target"])
    if champion is not None and champion["id"] == model["id"]:
        return f"{model['id']} is the champion of {model['symbol']} {model['target']} already."
    decided_at, day = clock.now(), model["trained_to"]
    writes.add_promotion(
        connection,
        {
            "id": short_id("promotion", trigger, model["id"], decided_at.isoformat()),
            "symbol": model["symbol"],
            "target": model["target"],
            "session": max(lineage.newest_decision(connection, model["symbol"], model["target"]) or day, day),
            "champion": champion["id"] if champion else None,
            "challenger": model["id"],
            "winner": model["id"],
            "origins": 0,
            "reason": reason,
            "trigger": trigger,
            "decided_at": decided_at,
        },
    )
    return f"{model['id']} speaks for {model['symbol']} {model['target']} from the next forecast on ({reason})."
