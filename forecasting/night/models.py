"""The models of the ledger: load, check, list, withdraw."""

import shutil
from pathlib import Path, PurePosixPath

from forecasting.errors import ArtifactError, StoreError, UsageError
from forecasting.night.folders import ARTIFACTS, child_folder
from forecasting.night.symbols import Outcomes, check_forecast, each_stored
from forecasting.settings import Settings
from forecasting.store import connect, lock, migrate, read, write
from forecasting.store.frames import Row
from forecasting.train.checkpoint import FILES, Checkpoint, load, read_whole
from forecasting.vocabulary import LSTM, Clock


def load_model(model: Row, settings: Settings) -> Checkpoint:
    """The checkpoint of a model row.

    An ArtifactError where it is missing, pruned, altered, or of other code.
    """
    if model["artifact_path"] is None or model["artifact_hash"] is None:
        raise ArtifactError(f"The weights of model {model['id']} were pruned on purpose; fit anew.")
    return load(weights_folder(model, settings), model["artifact_hash"])


def weights_folder(model: Row, settings: Settings) -> Path:
    """The folder that a model row names, which need not exist.

    An ArtifactError where it is none of ours.
    """
    path = PurePosixPath(model["artifact_path"])
    if path.parent != PurePosixPath(ARTIFACTS):
        raise ArtifactError(
            f"Expected artifact_path of model {model['id']} as {ARTIFACTS}/NAME, found "
            f"{str(path)[:60]!r}. Nothing was read; correct that row of table models."
        )
    folder = child_folder(settings.data_dir.absolute() / ARTIFACTS, path.name)
    for file in (folder / name for name in FILES):
        if file.resolve().parent != folder.resolve():
            raise ArtifactError(
                f"Expected a file at {file}, found a symbolic link to a place outside its folder. "
                "It was not read; put the file itself there."
            )
    return folder


def list_models(settings: Settings) -> tuple[list[Row], Outcomes[list[Row]]]:
    """The networks of each symbol, newest first, and what came of each symbol."""

    def networks(own: Settings) -> list[Row]:
        newest_first = ("created_at DESC", "id")
        of_networks = own.columns | {"name": LSTM}
        with connect.reading(own.url) as connection:
            rows = read.table_rows(
                connection,
                "models",
                of_networks,
                order=newest_first,
            )
            if not rows:
                check_forecast(connection, *own.key)
                raise StoreError(
                    f"Expected a {own.target} network of {own.symbol} in the database; found none: "
                    "its forecasts are a baseline's. For the reason: forecasting show --symbol "
                    f"{own.symbol} --target {own.target}"
                )
        for row in rows:
            row["weights"] = weights_state(row, own)
        return rows

    outcomes = each_stored(settings, networks)
    return [row for rows in outcomes.values.values() for row in rows], outcomes


def show_model(model_id: str, settings: Settings) -> Row:
    """A model's row, the state of its weights, what made it, and its forecasts."""
    migrate.check_ready(settings.url, writes=False)
    with connect.reading(settings.url) as connection:
        model = stored_model(connection, model_id)
        if model["method"] == "baseline":
            weights = "none: a baseline is fitted anew each night from the bars"
        else:
            weights = _runnable(model, settings)
        return {**model, "weights": weights, **read.lineage(connection, model)}


def _runnable(model: Row, settings: Settings) -> str:
    """Where a network's weights are, or why this code cannot load and run them."""
    try:
        load_model(model, settings)
    except ArtifactError as error:
        return str(error)
    return f"there, unaltered, run by this code: {weights_folder(model, settings)}"


def weights_state(model: Row, settings: Settings) -> str:
    """The state of a network's weights: `kept`, `missing`, `damaged` or `pruned` on purpose."""
    if model["artifact_path"] is None:
        return "pruned"
    try:
        folder = weights_folder(model, settings)
        if not folder.exists():
            return "missing"
        read_whole(folder, model["artifact_hash"])
    except ArtifactError:
        return "damaged"
    return "kept"


def withdraw(model_id: str, settings: Settings, *, now: Clock) -> str:
    """A sentence that names the network that no later night publishes or continues."""
    migrate.check_ready(settings.url)
    with lock.night_lock(settings.url), connect.transaction(settings.url) as connection:
        model = stored_model(connection, model_id)
        name = model["id"]
        if model["name"] != LSTM:
            raise UsageError(
                f"Expected a network, as `forecasting models list` prints it; {name} is "
                f"{model['name']}."
            )
        if model["withdrawn_at"] is None:
            write.update(connection, "models", name, {"withdrawn_at": now()})
    series = f"{model['symbol']} {model['target']}"
    return f"{name} of {series} is withdrawn: no night from now on publishes or continues it."


def stored_model(connection: connect.Connection, model_id: str) -> Row:
    """The row of a model, by its id or the beginning of its id that no other model has.

    A UsageError without one.
    """
    found = read.models_beginning(connection, model_id, limit=5)
    if len(found) == 1:
        return found[0]
    ids = f"no model {model_id!r}"
    if found:
        ids = f"{model_id!r} begins {', '.join(row['id'] for row in found)}"
    raise UsageError(
        "Expected a model id, as `forecasting models list` prints it, or its unique beginning; "
        f"found {ids}."
    )


def copy_weights(row: Row, settings: Settings, *, data_dir: Path) -> None:
    """Copy the weights of a row of table models to another data folder, if they exist."""
    if (folder := weights_folder(row, settings)).exists():
        shutil.copytree(folder, data_dir / row["artifact_path"])
