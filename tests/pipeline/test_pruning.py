from __future__ import annotations

from datetime import date

import pytest

from forecasting.pipeline.interrupted import prunable_weights
from forecasting.pipeline.night import make_night
from forecasting.settings import Settings
from forecasting.store import write
from forecasting.store.connect import transaction
from tests.store.rows import SYMBOL, TARGET, at, forecast_row, model_row, start


@pytest.mark.parametrize(("origin", "spared"), [("2024-03-07", []), ("2024-03-05", ["m0"])])
def test_weights_that_a_row_of_the_last_nights_came_from_are_kept(
    database_url: str, origin: str, spared: list[str]
) -> None:
    settings = Settings().model_copy(update={"keep_artifacts": 2})
    with transaction(database_url) as connection:
        start(connection, origins=(origin, "2024-03-06", "2024-03-08"), models=())
        for place in range(5):
            fitted = at(f"2024-03-0{place + 1}T22:00")
            write.add_model(connection, model_row(f"m{place}", created_at=fitted, artifact_path=f"artifacts/m{place}"))
        for place in range(3):  # m2 is champion, m1 was before it
            promotion = {"symbol": SYMBOL, "target": TARGET, "session": date(2024, 3, 1 + place), "origins": 0}
            promotion |= {"id": f"p{place}", "challenger": f"m{place}", "winner": f"m{place}", "trigger": "night"}
            write.add_promotion(connection, promotion | {"reason": "", "decided_at": at(f"2024-03-0{place + 1}T22:00")})
        said = [("m0", origin), ("m2", "2024-03-06"), ("m2", "2024-03-08")]
        write.add_forecasts(connection, [forecast_row(model, session) for model, session in said])
        assert (
            prunable_weights(
                connection, make_night(SYMBOL, date(2024, 3, 8), settings, now=lambda: at("2024-03-09T10:30"))
            )
            == spared
        )
