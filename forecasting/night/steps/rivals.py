"""Write what rivals, the user's own, forecast: scored as a baseline is, never published."""

from contextlib import suppress

import numpy as np
import pandas as pd

from forecasting.night.night import Night, bars_of, windows_of
from forecasting.night.run_log import add_notes
from forecasting.night.steps.issue import add_forecasts, issued_columns
from forecasting.plain_text import plain_text
from forecasting.predict import rivals
from forecasting.predict.candidates import Candidate
from forecasting.predict.fallback import Published
from forecasting.preprocess.windows import H, actual_of
from forecasting.store import connect, read
from forecasting.train.baselines import whole_quantiles
from forecasting.values import is_file
from forecasting.vocabulary import QUANTILE_COLUMNS, RIVAL, short_id


def add_rivals(night: Night) -> Night:
    """The night, once what its rivals forecast, and has not been written before, is.

    What is wrong with a rival harms no night: it is a note of the run.
    """
    notes = []
    for name, option in night.settings.rivals.items():
        try:
            note = _add_rival(night, name, option)
        except Exception as error:  # whatever a file, or others' code, leads to
            note = str(error)
        if note:
            notes.append(plain_text(f"Rival {name}: {note}", limit=500))
    if night.settings.rivals:
        with connect.transaction(night.url) as connection:
            add_notes(connection, night.id, {"rivals": " ".join(notes)})
    return night


def _add_rival(night: Night, name: str, option: str) -> str:
    """Write what a rival forecasts and has not before, and return what is to be noted of it.

    The file is compared with the rows of the newest stored origin alone. The rows of all origins
    would be more each night.
    """
    of_model = _of_rival(night, name)
    with connect.reading(night.url) as connection:
        stored = read.newest_of_model(
            connection, *night.key, model_id=of_model["model_id"], session=night.session
        )
        scores = read.view(connection, "scores", of_model | {"stage": "first_print"})
    at = pd.Timestamp(night.session)
    has_before = stored["horizon"][stored["origin_session"] == at] - 1
    windows = windows_of(night)
    given = np.full((H, len(QUANTILE_COLUMNS)), np.nan)
    note = ""
    if isinstance(option, str) and is_file(option):
        given, note = rivals.of_file(option, night.settings, windows, stored)
    elif has_before.empty:
        history = bars_of(night).assign(value=actual_of(night.target, bars_of(night)))
        given = rivals.of_class(option, history, windows)
    whole = whole_quantiles(given, scores[scores["target_session"] <= at], windows)
    whole[has_before] = np.nan
    with connect.transaction(night.url) as connection:
        issued = [Candidate(of_model["model_id"], name, RIVAL, whole)]
        about = issued_columns(connection, night)
        add_forecasts(connection, night, issued, Published("", "ok", ""), about)
    return note


def _of_rival(night: Night, name: str) -> dict[str, str]:
    return night.settings.columns | {"model_id": short_id(RIVAL, name, *night.key)}


def has_more(night: Night, name: str, option: str) -> bool:
    """Whether a rival's file has more of a night than is stored, or of a class nothing is."""
    of_night = _of_rival(night, name) | {"origin_session": night.session}
    with connect.reading(night.url) as connection:
        stored = read.values(connection, "forecasts", "horizon", of_night)
    if not is_file(option):
        return not stored
    with suppress(Exception):  # of a file without rows of the night, or that cannot be read
        rows, _ = rivals.read_rows(option, night.settings)
        return not set(rows.loc[str(night.session)].index) <= set(stored)
    return False
