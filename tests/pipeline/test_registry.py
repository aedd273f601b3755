"""From a forecast's row to all that made it, and back, as a user would ask: SQL and `forecasting models show`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from flows import nightly
from flows.cli import app
from forecasting.settings import read_settings
from forecasting.store import connect
from tests.builders import LAST

pytestmark = pytest.mark.usefixtures("plain_flows")


def listed(model_id: str) -> str:
    """What `forecasting models list` says of a model's weights."""
    shown = CliRunner().invoke(app, ["models", "list", "--json"])
    (weights,) = (row["weights"] for row in json.loads(shown.stdout) if row["id"] == model_id)
    return str(weights)


FROM_A_ROW = """
SELECT f.model_id, r.code_version, r.settings, m.seed, f.fetch_id, t.payload_hash, m.artifact_path, m.artifact_hash,
    m.fetch_id AS trained_on, m.parent_id, f.run_id
FROM forecasts f JOIN runs r ON r.id = f.run_id JOIN fetches t ON t.id = f.fetch_id JOIN models m ON m.id = f.model_id
WHERE f.origin_session = :origin AND f.horizon = 1 AND f.role = 'champion'
"""


@pytest.mark.usefixtures("done_on_the_seventh")
def test_every_forecast_leads_to_code_settings_seed_bars_and_weights_and_back(night_folder: Path) -> None:
    nightly.nightly(as_of=LAST)
    with connect.reading(read_settings().url) as connection:
        (row,) = connection.execute(sa.text(FROM_A_ROW), {"origin": str(LAST)}).mappings()
    assert all(value is not None for name, value in row.items() if name != "parent_id"), dict(row)
    shown = CliRunner().invoke(app, ["models", "show", row["model_id"], "--json"])
    model = json.loads(shown.stdout)
    assert model["settings"] == row["settings"]
    assert (model["seed"], model["artifact_hash"], model["fetch_id"]) == (0, row["artifact_hash"], row["trained_on"])
    assert len(model["bars_payload_hash"]) == 64
    assert model["fitted_on_the_night_of"] == "2024-03-07"
    assert (model["forecasts"], model["first_origin"], model["last_origin"]) == (10, "2024-03-07", "2024-03-08")
    assert model["weights"].startswith("there, unaltered")
    assert (model["base"], listed(row["model_id"])) == ("volume-2022-12-30", "kept")
    (night_folder / row["artifact_path"] / "weights.safetensors").write_bytes(b"damaged")
    again = CliRunner().invoke(app, ["models", "show", row["model_id"]])
    assert "SHA-256" in again.stdout  # the sentence is wrapped into its column
    assert row["model_id"] in again.stdout
    assert listed(row["model_id"]) == "damaged"
    shutil.rmtree(night_folder / row["artifact_path"])
    assert listed(row["model_id"]) == "missing"
