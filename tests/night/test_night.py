"""Nights without Prefect: the flow and its tasks as plain functions."""

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from flows import clock, nightly
from flows.cli import app
from forecasting.errors import LockedError, UsageError
from forecasting.night.run_log import CUT_OFF
from forecasting.night.steps import train
from forecasting.publish import models
from forecasting.report.terminal import model_listing
from forecasting.report.words import notices
from forecasting.settings import read_settings
from forecasting.store import connect, lock
from forecasting.vocabulary import HORIZONS
from tests.builders import EVE, LAST, random_bars, write_yahoo_csv
from tests.nights import (
    ON_BOTH_DATABASES,
    damage_weights,
    killed,
    killed_before,
    newest_reports,
    night,
    rows,
)

pytestmark = pytest.mark.usefixtures("plain_flows")


@pytest.mark.usefixtures("done_on_the_sixth")
def test_earnings_dates_that_arrive_after_a_fit_are_followed_by_a_fit_from_scratch(
    night_folder, monkeypatch
):
    announced = [
        f"{year}-{month}-20,amc" for year in (2022, 2023) for month in ("01", "04", "07", "10")
    ]
    dates = night_folder.with_name("dates.csv")
    dates.write_text("\n".join(["announced,timing", *announced]))
    monkeypatch.setenv("FORECASTING_EVENTS", f"csv:{dates}")
    night(EVE)
    night(LAST)
    arrived = "earnings dates have arrived since the chain of fits began"
    assert [(run["mode"], run["mode_reason"]) for run in runs()] == [
        ("scratch", "no fit before"),
        ("scratch", arrived),
        ("warm", "1 session since the last fit from scratch"),
    ]
    first, second, third = map(network_of, runs())
    assert (second["base"], second["parent_id"]) == (f"{first['base']}-earnings", None)
    assert (third["base"], third["parent_id"]) == (second["base"], second["id"])
    published = [
        {row["model_id"] for row in rows("forecasts", run_id=run["id"], role="published")}
        for run in runs()
    ]
    assert published == [{first["id"]}, {second["id"]}, {third["id"]}]


def test_a_baseline_forecasts_a_young_symbol_and_a_network_from_the_436th_session_on(night_folder):
    young = random_bars(days=436, seed=3, last=LAST)
    write_yahoo_csv(young, night_folder.with_name("TEST.csv"))
    night(EVE, "scratch")
    night(LAST)
    first, second = runs()
    reason = "435 of 436 sessions of history"
    assert (first["mode"], first["mode_kind"], first["mode_reason"]) == ("skip", "young", reason)
    assert (second["mode"], second["mode_kind"]) == ("scratch", "first")
    stated = {"status": "fallback", "reason": f"{reason}; har is published instead"}
    assert len(rows("forecasts", run_id=first["id"], role="published", **stated)) == len(HORIZONS)
    assert len(rows("forecasts", run_id=second["id"], role="published", status="ok")) == len(
        HORIZONS
    )
    assert len(rows("scores", role="published", model="har")) == 1  # by the night after


@pytest.mark.usefixtures("done_on_the_seventh")
def test_damaged_weights_are_replaced_by_the_nights_own_fit_however_often_it_is_stopped(
    night_folder, monkeypatch
):
    damage_weights()
    stops = {
        "predict.write.add": killed_before("forecasts"),
        "evaluate.write.add": killed_before("total_scores"),
    }
    for place, stop in (stops | {"evaluate.close": killed}).items():
        with monkeypatch.context() as once, pytest.raises(KeyboardInterrupt):
            once.setattr(f"forecasting.night.steps.{place}", stop)
            night(LAST)
        # Not running
        assert (runs()[-1]["status"], runs()[-1]["error"]) == ("failed", CUT_OFF.format(as_of=LAST))
    night(LAST)
    run = runs()[-1]
    fitted = network_of(run)
    networks = [row for row in rows("forecasts", run_id=run["id"]) if row["role"] != "baseline"]
    assert (run["status"], run["mode"], len(networks)) == ("done", "scratch", len(HORIZONS))
    assert {(row["model_id"], row["role"], row["status"], row["reason"]) for row in networks} == {
        (fitted["id"], "published", "ok", "")
    }


def runs():
    """The nights, oldest first."""
    return sorted(rows("runs"), key=lambda run: str(run["as_of"]))


def network_of(run):
    """What a night fitted."""
    (fitted,) = rows("models", run_id=run["id"], name="lstm")
    return fitted


@ON_BOTH_DATABASES
@pytest.mark.usefixtures("done_on_the_sixth")
def test_a_withdrawn_fit_is_published_and_continued_by_no_later_night(night_folder):
    night(EVE)
    networks = (row for row in rows("models") if row["name"] == "lstm")
    first, second = sorted(networks, key=lambda row: str(row["trained_to"]))
    # As a night that fits holds it
    with (
        lock.night_lock(read_settings().url),
        pytest.raises(LockedError, match="at work in another run"),
    ):
        models.withdraw(str(second["id"]), read_settings(), now=clock.now)
    for _ in range(2):
        said = models.withdraw(str(second["id"]), read_settings(), now=clock.now)
        assert str(second["id"]) in said
    issued = rows("latest_forecasts")
    assert {row["model_id"] for row in issued} == {second["id"]}  # it stays as issued
    night(LAST, mode="skip")
    assert {row["model_id"] for row in rows("latest_forecasts")} == {first["id"]}
    (baseline,) = (row["id"] for row in rows("models", name="ridge"))
    with pytest.raises(UsageError, match="is ridge"):
        models.withdraw(str(baseline), read_settings(), now=clock.now)


@pytest.mark.usefixtures("done_on_the_sixth")
def test_a_damaged_fit_is_refused_recorded_and_never_published(night_folder, monkeypatch):
    def shifted(*args, **kwargs):
        fitted = whole(*args, **kwargs)
        weights = {name: value.clone() for name, value in fitted.weights.items()}
        weights["0.shape_bias"][:, 0] += 0.4
        return replace(fitted, weights=weights)

    whole = train.fit_warm
    monkeypatch.setattr(train, "fit_warm", shifted)
    night(EVE)
    monkeypatch.setattr(train, "fit_warm", whole)
    (refused,) = [row for row in rows("models") if row["refused"]]
    assert ", the fit before " in str(refused["refused"])
    assert not any(row["model_id"] == refused["id"] for row in rows("forecasts"))
    shown = notices(newest_reports(read_settings())[0].conditions)["Note"]
    assert str(refused["id"]) in shown
    assert str(refused["refused"]) in shown
    _, listed = model_listing(models.list_models(read_settings())[0])
    assert [row[-2:] for row in listed] == [[refused["refused"], None], ["", None]]
    night(LAST)
    assert not any(row["model_id"] == refused["id"] for row in rows("forecasts"))
    assert refused["id"] not in {row["parent_id"] for row in rows("models")}


FROM_A_ROW = """
SELECT f.model_id, r.code_version, r.settings, m.seed, f.fetch_id, t.payload_hash, m.artifact_hash,
    m.fetch_id AS trained_on, m.parent_id, f.run_id
FROM forecasts f JOIN runs r ON r.id = f.run_id JOIN fetches t ON t.id = f.fetch_id JOIN models m ON m.id = f.model_id
WHERE f.origin_session = :origin AND f.horizon = 1 AND f.role = 'published'
"""


@pytest.mark.usefixtures("done_on_the_seventh")
def test_every_forecast_leads_to_code_settings_seed_bars_and_weights_and_back(night_folder):
    nightly.nightly(first=LAST, last=LAST)
    with connect.reading(read_settings().url) as connection:
        (row,) = connection.execute(sa.text(FROM_A_ROW), {"origin": str(LAST)}).mappings()
    assert all(value is not None for name, value in row.items() if name != "parent_id"), dict(row)
    shown = CliRunner().invoke(app, ["models", "show", row["model_id"], "--json"])
    model = json.loads(shown.stdout)
    stated = {name: row[name] for name in ("settings", "seed", "artifact_hash")}
    stated |= {"fetch_id": row["trained_on"], "fitted_on_the_night_of": "2024-03-08"}
    stated |= {"forecasts": 5, "first_origin": "2024-03-08", "last_origin": "2024-03-08"}
    assert model | stated | {"base": "volume-2022-12-30"} == model
    assert (len(model["bars_payload_hash"]), model["weights"][:16]) == (64, "there, unaltered")
    damage_weights()
    again = CliRunner().invoke(app, ["models", "show", row["model_id"]])
    assert "SHA-256" in again.stdout  # the sentence is wrapped into its column
