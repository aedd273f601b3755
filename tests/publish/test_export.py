"""Exported files: what another program reads back from each form, and what is refused before
anything is read."""

import shutil
from datetime import date

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from forecasting.errors import StoreError, SymbolsFailedError
from forecasting.publish.export import FRAMES, export, frame
from forecasting.settings import Settings
from forecasting.store import read, write
from forecasting.store.connect import reading, transaction
from tests.builders import EVE
from tests.store.rows import (
    SYMBOL,
    add_scores,
    forecast_row,
    score_row,
    start,
    store_bars,
    total_row,
)

FORMS = ("latest", "totals", "history", "bars", "nixtla")


@pytest.fixture(scope="module")
def filled(tmp_path_factory, migrated_sqlite_file):
    """The settings of a ledger of two nights, which no test changes."""
    url = f"sqlite:///{shutil.copy(migrated_sqlite_file, tmp_path_factory.mktemp('filled') / 'ledger.db')}"
    fill(url)
    return settings_of(url)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_file_has_the_values_of_the_frame(filled, tmp_path, form, suffix):
    out = tmp_path / f"{form}{suffix}"
    sentence = export(filled, form, out)
    expected = frame(form, filled)
    found = (
        pd.read_parquet(out)
        if suffix == ".parquet"
        else pd.read_csv(out, keep_default_na=False, na_values=[""])
    )
    assert sentence.startswith(f"{form}: {len(expected)} rows of ")
    assert list(found) == list(expected)
    for name in expected:
        # An empty text and an unknown value are the same in CSV for pandas.
        wanted = expected[name].replace({"": pd.NA}) if suffix == ".csv" else expected[name]
        got = found[name]
        if isinstance(expected[name].dtype, pd.DatetimeTZDtype):
            got = pd.to_datetime(got, utc=True)
        got = got.astype(expected[name].dtype)
        pd.testing.assert_series_equal(got, wanted, check_exact=True, obj=name)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [out.name]


def test_days_are_dates_in_parquet_but_for_nixtla(filled, tmp_path):
    schemas = {}
    for form in FORMS:
        export(filled, form, tmp_path / f"{form}.parquet")
        schemas[form] = parquet.read_schema(tmp_path / f"{form}.parquet")
    types = {
        ("bars", "session"): pa.date32(),
        ("bars", "volume"): pa.int64(),
        ("latest", "issued_at"): pa.timestamp("us", tz="UTC"),
        ("history", "inside_80"): pa.bool_(),
        ("nixtla", "ds"): pa.timestamp("us"),
    }
    assert {(form, name): schemas[form].field(name).type for form, name in types} == types


@pytest.mark.parametrize("form", FORMS)
def test_a_symbol_without_a_row_is_named_and_the_others_are_written_without_any_nothing(
    filled, tmp_path, form
):
    export(filled, form, tmp_path / "alone.csv")
    asked = settings_of(filled.url, SYMBOL, "SBUXX")
    with pytest.raises(SymbolsFailedError, match=r"^1 of 2 .* Expected .* of SBUXX.*; found none"):
        export(asked, form, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == (tmp_path / "alone.csv").read_text()
    asked = settings_of(filled.url, "SBUXX").for_target("range")
    with pytest.raises(
        StoreError, match=r"Correct the symbol|forecasting run --symbol SBUXX --target range"
    ):
        export(asked, form, tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


ORIGINS = ("2024-03-07", "2024-03-08")


def settings_of(url, *symbols):
    return Settings(database_url=url, symbols=symbols or (SYMBOL,))


def fill(url):
    """Two nights of the network and of a baseline, the first of them scored."""
    forecasts = [
        forecast_row(model, origin, horizon, role=role)
        for origin in ORIGINS
        for horizon in (1, 2)
        for model, role in (("lstm", "published"), ("ridge", "baseline"))
    ]
    with transaction(url) as connection:
        start(connection, origins=ORIGINS, models=("lstm", "ridge"))
        write.add(connection, "forecasts", *forecasts)
        add_scores(connection, [score_row(row) for row in forecasts[:4]])
        totals = [total_row(row) for row in forecasts if row["horizon"] == 2]
        write.add(connection, "total_forecasts", *totals)
        key = {
            name: forecasts[0][name]
            for name in ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
        }
        write.add(connection, "forecast_parts", key | {"part": "usual", "place": 1, "factor": 2.0})


def test_each_frame_has_the_columns_of_its_view_and_the_same_types_with_rows_and_without(
    database_url,
):
    asked = settings_of(database_url)
    of_views = {name: view for name, (view, _) in FRAMES.items() if name != "nixtla"}
    empty = {name: frame(name, asked) for name in of_views}
    fill(database_url)
    for name, view in of_views.items():
        filled = frame(name, asked)
        assert len(filled) > 0, name
        assert list(filled) == list(empty[name]), name
        assert filled.dtypes.tolist() == empty[name].dtypes.tolist(), name
        with reading(database_url) as connection:
            of_view = set(read.view(connection, view, {"symbol": SYMBOL}))
        assert of_view ^ set(filled) == ({"first_seen_at"} if name == "bars" else set()), name
    newest = frame("latest", asked)
    history = frame("history", asked)
    assert newest["origin_session"].unique().tolist() == [pd.Timestamp("2024-03-08")]
    assert newest["horizon"].tolist() == [1, 2]
    assert (len(history), history["actual"].notna().sum()) == (8, 4)
    assert str(history["issued_at"].iloc[0]) == "2024-03-07 22:00:00+00:00"


def test_bars_as_of_a_session_are_those_that_its_night_had(sqlite_url, tmp_path):
    with transaction(sqlite_url) as connection:
        store_bars(connection, {"2024-03-06": 100.0, "2024-03-07": 200.0}, seen="2024-03-07T22:00")
        store_bars(
            connection,
            {"2024-03-07": 250.0},
            seen="2024-03-08T22:00",
            version=2,
            settled=("2024-03-06",),
        )
        store_bars(connection, {"2024-03-08": float("nan")}, seen="2024-03-08T22:30")
    asked = settings_of(sqlite_url)
    assert frame("bars", asked, day=EVE)[["volume", "version"]].to_numpy().tolist() == [
        [100, 1],
        [200, 1],
    ]
    with pytest.raises(
        StoreError, match=r"bars of SBUX up to 2024-03-05; found none\. Correct .* date"
    ):
        export(asked, "bars", tmp_path / "x.csv", as_of=date(2024, 3, 5))
    now = frame("bars", asked)
    assert now["volume"].fillna(-1).tolist() == [100, 250, -1]
    assert now["settled"].tolist() == [True, False, False]
