"""Meaning, unit, sign and allowed values of every table and column: of docs/tables.md, and of the comments in Postgres.

`migrate.upgrade` writes the comments, so that a changed text needs no migration.
"""

from forecasting.store.tables.input_columns import INPUT_COLUMNS
from forecasting.store.tables.output_columns import OUTPUT_COLUMNS
from forecasting.vocabulary import QUANTILE_COLUMNS, QUANTILES

TABLES = {
    "fetches": "One request to a source and its outcome, also where no bar was stored. Insert-only.",
    "bar_versions": (
        "One version of one session's bar. Values never change: a restatement or a split adds a version; only "
        "superseded_at and settled_at are filled in, once. Prices and volumes are on the share basis of the version's "
        "fetch."
    ),
    "corporate_actions": "One dividend or split as first seen with one value; the newest first_seen_at is valid.",
    "events": (
        "One event (an earnings date) as first seen in one form; a later row of the same session and kind replaces it."
    ),
    "findings": (
        "One fault of a fetched or stored bar. A persistent finding stays open until a later fetch no longer shows it;"
        " a flag about a new or changed row, and one of the witness, is cleared by its own fetch."
    ),
    "runs": "One night of one symbol, target and source under one set of settings. Updated while it proceeds.",
    "models": (
        "One fitted network, baseline or backtest, or one set of pretrained weights. Only artifact_path changes, when "
        "weights are pruned."
    ),
    "promotions": (
        "One decision which model is champion next: one a night with a challenger, and one a command. Insert-only; the"
        " newest session, then the newest decision, is valid."
    ),
    "forecasts": "One forecast as issued: seven quantiles of one target session by one model. Insert-only.",
    "scores": "One forecast scored against one version of its target session's bar. Insert-only.",
    "standings": (
        "Running sums over a window of nights, one row a forecaster and horizon; derived from scores and written with "
        "them. live_skill divides them. Losses are rounded to a power of two, so that sums stay exact."
    ),
    "night_lock": "Always empty: nights lock it on Postgres, so that one runs at a time.",
    "backtest_lock": "Always empty: backtests lock it.",
    "metrics": "One figure over a window of origins; today those of backtests. Insert-only.",
}
"""What a row of each table is."""

COMMON = {
    "symbol": "Ticker as Yahoo writes it: SBUX, BRK-B, ^GSPC.",
    "target": "What is forecast: `volume`, `close` or `range`, which is log(high / low).",
    "source": (
        "Source of the bars: `yahoo`, `sample`, `alpaca`, `csv:FILE`, `parquet:FILE`, or `NAME:ARGUMENT` of an "
        "installed package."
    ),
    "horizon": "Sessions from the origin to the target session: 1 to 5.",
    "origin_session": "Origin: the last session whose bar the forecast used.",
    "target_session": "Session that is forecast: the origin plus the horizon, in sessions of the exchange.",
    "kind": (
        "`live`, `late` or `replay`: issued before the first target session opened, before it closed, or later from "
        "what was known then."
    ),
    "role": (
        "Role when issued: `champion` (the published forecast, also where a baseline made it), `challenger`, "
        "`baseline`, or `silenced` (the champion's own forecast on a night on which a baseline was published)."
    ),
    "stage": (
        "`first_print` or `settled`: scored against the first stored bar, or the one that a later fetch confirmed."
    ),
    "model_id": "Model that made the forecast, an id of `models`.",
    "model": "Name of the model: `lstm` or a baseline's name.",
    "issued_at": "When the forecast was written, UTC.",
    "settings_hash": "Hash of the settings that shape a forecast; equal for equal settings.",
    "code_version": "Version of this package, with the commit in a checkout: 0.2.0+3f9c2ab.",
    "pinball": "Pinball loss, mean over the seven quantile levels, in the target's unit; at least 0, lower is better.",
    **{
        name: f"Quantile of level {level:.2f}, in the target's unit: shares, the bars' currency, or log(high / low)."
        for name, level in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
    },
}
"""Columns with the same meaning in every table where COLUMNS has no other."""

COLUMNS = INPUT_COLUMNS | OUTPUT_COLUMNS
"""Columns of each table."""


def text_of(table: str, column: str) -> str:
    """The meaning of a table's column.

    Raises:
        KeyError: It has no text.
    """
    own = COLUMNS[table]
    return own[column] if column in own else COMMON[column]
