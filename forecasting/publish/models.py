"""The models of the ledger: list, show, withdraw."""

from dataclasses import asdict

from forecasting.errors import ArtifactError, StoreError, UsageError
from forecasting.publish.export import check_forecast, each_stored
from forecasting.settings import Outcomes, Settings
from forecasting.store import connect, lock, migrate, read, write
from forecasting.store.rows import ModelRow, WeightsRow
from forecasting.vocabulary import LSTM, Clock

_OF_FETCH = (
    *("source", "fetched_at", "row_count"),
    *("first_received", "last_received", "payload_hash"),
)


def list_models(settings: Settings) -> tuple[list[ModelRow], Outcomes[list[ModelRow]]]:
    """The networks of each symbol, newest first, and what came of each symbol."""

    def networks(own: Settings) -> list[ModelRow]:
        with connect.reading(own.url) as connection:
            rows = read.networks(connection, *own.key)
            if not rows:
                check_forecast(connection, own)
                raise StoreError(
                    f"Expected a {own.target} network of {own.symbol} in the database; found none: "
                    "its forecasts are a baseline's. For the reason: forecasting show --symbol "
                    f"{own.symbol} --target {own.target}"
                )
        return rows

    outcomes = each_stored(settings, networks)
    return [row for rows in outcomes.values.values() for row in rows], outcomes


def show_model(model_id: str, settings: Settings) -> dict[str, object]:
    """Facts of a model: its row, the state of its weights, what made it, and its forecasts."""
    migrate.check_ready(settings.url, writes=False)
    with connect.reading(settings.url) as connection:
        model = stored_model(connection, model_id)
        stored = read.stored(connection, WeightsRow, {"model_id": model.id})
        lineage = read.lineage(connection, model)
    night = lineage.fitted_by
    return {
        **asdict(model),
        "weights": _state(model, stored),
        "parents": lineage.parents,
        "settings": getattr(night, "settings", None),
        "fitted_on_the_night_of": getattr(night, "as_of", None),
        "why_so": getattr(night, "mode_reason", None),
        **{f"bars_{name}": getattr(lineage.trained_on, name, None) for name in _OF_FETCH},
        "forecasts": lineage.forecasts,
        "first_origin": lineage.first_origin,
        "last_origin": lineage.last_origin,
    }


def _state(model: ModelRow, stored: WeightsRow | None) -> str:
    """Whether this code can load and run a model's weights, or why not."""
    from forecasting.night.steps.train import load_model  # with torch

    if model.name != LSTM:
        return "none: a baseline is fitted anew each night from the bars"
    try:
        load_model(model, stored)
    except ArtifactError as error:
        return str(error)
    return "there, unaltered, run by this code"


def withdraw(model_id: str, settings: Settings, *, now: Clock) -> str:
    """A sentence that names the network that no later night publishes or continues."""
    migrate.check_ready(settings.url)
    with lock.night_lock(settings.url), connect.transaction(settings.url) as connection:
        model = stored_model(connection, model_id)
        name = model.id
        if model.name != LSTM:
            raise UsageError(
                f"Expected a network, as `forecasting models list` prints it; {name} is "
                f"{model.name}."
            )
        if model.withdrawn_at is None:
            write.update(connection, "models", name, {"withdrawn_at": now()})
    series = f"{model.symbol} {model.target}"
    return f"{name} of {series} is withdrawn: no night from now on publishes or continues it."


def stored_model(connection: connect.Connection, model_id: str) -> ModelRow:
    """The model whose id is `model_id`, or alone begins with it.

    A UsageError where there is no such model, or more than one.
    """
    found = read.models_beginning(connection, model_id, limit=5)
    if len(found) == 1:
        return found[0]
    ids = f"no model {model_id!r}"
    if found:
        ids = f"{model_id!r} begins {', '.join(row.id for row in found)}"
    raise UsageError(
        "Expected a model id, as `forecasting models list` prints it, or its unique beginning; "
        f"found {ids}."
    )
