from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError

from forecasting.store import schema, write
from forecasting.store.connect import transaction
from forecasting.store.write import plain
from tests.store.rows import at, run_row

METRIC = {"model_id": "m", "symbol": "S", "target": "volume", "metric": "mae", "scope": "live", "run_id": "r"}
METRIC |= {"window_from": date(2024, 3, 1), "window_to": date(2024, 3, 8), "n": 1}


def metrics(*horizons: int, value: float = 1.0) -> list[dict[str, object]]:
    return [METRIC | {"horizon": horizon, "value": value} for horizon in horizons]


def kept(connection: sa.Connection) -> dict[int, float]:
    table = schema.metrics
    return {row.horizon: row.value for row in connection.execute(sa.select(table.c.horizon, table.c.value))}


def test_the_count_is_of_new_rows_and_a_stored_row_stays(database_url):
    with transaction(database_url) as connection:
        assert write.add(connection, "metrics", *metrics(*range(0, 3000, 2))) == 1500
        assert write.add(connection, "metrics", *metrics(*range(3000), value=2.0)) == 1500
        assert kept(connection) == {horizon: 1.0 + horizon % 2 for horizon in range(3000)}


def test_a_key_twice_in_one_batch_is_written_once(database_url):
    with transaction(database_url) as connection:
        assert write.add(connection, "metrics", *metrics(1, 1)) == 1


def test_rows_with_other_columns_each_keep_their_own(database_url):
    with transaction(database_url) as connection:
        rows = [*metrics(1), metrics(2)[0] | {"baseline": "ridge", "p_value": 0.5}]
        assert write.add(connection, "metrics", *rows) == 2
        table = schema.metrics
        found = connection.execute(sa.select(table.c.baseline, table.c.p_value).order_by(table.c.horizon)).all()
    assert [tuple(row) for row in found] == [("", None), ("ridge", 0.5)]


def test_values_of_numpy_and_pandas_are_stored_as_python_ones(database_url):
    started = datetime(2024, 3, 8, 17, 0, 0, 250, tzinfo=timezone(timedelta(hours=-5)))
    row = run_row("r1", "2024-03-08") | {"as_of": pd.Timestamp("2024-03-08"), "started_at": pd.Timestamp(started)}
    row |= {"finished_at": pd.NaT, "seconds_train": np.float64("nan"), "seconds_predict": np.float32(0.5)}
    with transaction(database_url) as connection:
        write.add(connection, "runs", row | {"note": np.str_("quiet")})
        found = connection.execute(sa.select(schema.runs)).one()
    assert (found.as_of, found.started_at) == (date(2024, 3, 8), started.astimezone(UTC))
    assert (found.finished_at, found.seconds_train, found.seconds_predict, found.note) == (None, None, 0.5, "quiet")


def test_texts_and_numbers_are_read_back_exactly(database_url):
    texts = ['"quoted"', "back\\slash", "{a,b}", "NULL", "", "two\nlines", " spaces ", "it's", "Größe %s"]
    values = [0.1 + 0.2, -1.5, 0.0, 5e-324, -1.7976931348623157e308, float("inf"), 1e16, 123456789.123, 1 / 3]
    given = [metrics(at)[0] | {"baseline": texts[at], "value": values[at]} for at in range(len(texts))]
    given[3] |= {"p_value": None}
    with transaction(database_url) as connection:
        assert write.add(connection, "metrics", *({"p_value": 0.5} | row for row in given)) == len(texts)
        table = schema.metrics
        found = connection.execute(
            sa.select(table.c.baseline, table.c.value, table.c.p_value).order_by("horizon")
        ).all()
    assert [row.baseline for row in found] == texts
    assert [row.value.hex() for row in found] == [value.hex() for value in values]
    assert [row.p_value for row in found] == [0.5] * 3 + [None] + [0.5] * 5


def test_characters_that_a_database_refuses_are_stored_as_the_sign_for_unknown_ones(database_url):
    with transaction(database_url) as connection:
        write.add(connection, "runs", run_row("r1", "2024-03-08", note="a\0b \ud800 c", error="\udfff\U0001f600"))
        connection.execute(sa.update(schema.runs).values(plain({"mode_reason": "d\0"}, schema.runs)))
        columns = (schema.runs.c.note, schema.runs.c.error, schema.runs.c.mode_reason)
        found = tuple(connection.execute(sa.select(*columns)).one())
    assert found == ("a\ufffdb \ufffd c", "\ufffd\U0001f600", "d\ufffd")


def test_a_naive_instant_is_refused(database_url):
    with transaction(database_url) as connection, pytest.raises(ValueError, match="naive 2024-03-08"):
        write.add(connection, "runs", *[run_row("r1", "2024-03-08", started_at=datetime(2024, 3, 8))])  # noqa: DTZ001


def test_a_missing_value_and_a_text_too_long_are_refused(postgres_url):
    with pytest.raises(IntegrityError), transaction(postgres_url) as connection:
        write.add(connection, "metrics", *metrics(1, value=float("nan")))
    with pytest.raises(DataError), transaction(postgres_url) as connection:
        write.add(connection, "runs", run_row("r1", "2024-03-08", symbol="A" * 16, started_at=at("2024-03-08")))
