"""Meaning, unit, sign and allowed values of every table and column: of docs/tables.md, and of the comments in Postgres.

`migrate.upgrade` writes the comments, so that a changed text needs no migration.
"""

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
        " a flag about a new or changed row is cleared by its own fetch."
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
    "metrics": "One figure over a window of origins; today those of backtests. Insert-only.",
}
"""What a row of each table is."""

COMMON = {
    "symbol": "Ticker as Yahoo writes it: SBUX, BRK-B, ^GSPC.",
    "target": "What is forecast: `volume`, `close` or `range`, which is log(high / low).",
    "source": (
        "Source of the bars: `yahoo`, `sample`, `csv:FILE`, `parquet:FILE`, or `NAME:...` of an installed package."
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

COLUMNS: dict[str, dict[str, str]] = {
    "fetches": {
        "id": "Id, derived from source, symbol, requested span, payload and run.",
        "run_id": "Run that made the request, an id of `runs`; NULL for an ingest alone.",
        "title": "Description of the series: SBUX, daily, from Yahoo Finance.",
        "currency": "Currency of the prices as the source writes it: USD, EUR, GBp for pence; empty if unknown.",
        "first_asked": "First session requested.",
        "last_asked": "Last session requested; no bar is newer.",
        "first_received": "Oldest session of the response; NULL without bars.",
        "last_received": "Newest session of the response, also if that bar was held back; NULL without bars.",
        "fetched_at": "When the response was received, UTC.",
        "row_count": "Bars in the response, before any check.",
        "payload_hash": "SHA-256 over symbol, sessions, prices to 4 decimals, volumes and actions, without Adj Close.",
        "library_version": "Library that read the response: yfinance 1.7.0, pandas 3.0.0.",
        "adjustment_session": "Newest session with an Adj Close; NULL without one.",
        "adjustment": "Adj Close / Close on that session, 0 to 1; the next dividend lowers it. NULL without one.",
        "verdict": (
            "Outcome: `first`, `extended`, `unchanged`, `dividend`, `split`, `revised`, `held`; no bar stored: `late`,"
            " `rate_limited`, `unavailable`, `bad_data`."
        ),
        "detail": "All changes in one line, or the error's message.",
    },
    "bar_versions": {
        "session": "Session of the bar, a trading day of the symbol's exchange.",
        "version": "1 for the first stored bar, then ascending.",
        "open": "Opening price, split-adjusted, in the fetch's currency.",
        "high": "Highest price, as open.",
        "low": "Lowest price, as open.",
        "close": "Closing price, as open; not adjusted for dividends.",
        "volume": "Shares traded, split-adjusted; NULL if unknown, never 0 for unknown.",
        "fetch_id": "Fetch that added the version.",
        "first_seen_at": "When that fetch was made, UTC.",
        "superseded_at": "When a later version replaced it, UTC; NULL for the current one.",
        "settled_at": "When the fetch of a later night confirmed it, UTC; NULL while provisional.",
    },
    "corporate_actions": {
        "session": "Ex-date, or first session on the new share basis.",
        "kind": "`dividend` or `split`.",
        "first_seen_at": "When its fetch was made, UTC.",
        "value": "Dividend in the fetch's currency per share, or new shares per old share; above 0.",
        "fetch_id": "Fetch that added it.",
    },
    "events": {
        "session": "Session that reacts: the announcement's own, or the next one after the close.",
        "kind": "`earnings`.",
        "first_seen_at": "When it was read, UTC.",
        "known_from": "First origin session that may use the event; for a withdrawal, the first that may not.",
        "known_rule": (
            "`seen`, `21 sessions ahead` (the default rule, where the first day is unknown), or `withdrawn` (the row "
            "ends the event)."
        ),
        "announced": "Day of the announcement.",
        "timing": "`bmo` (before the open), `amc` (after the close) or empty if unknown.",
        "source": "List of the event: a file, the bundled list or the source of the bars.",
    },
    "findings": {
        "id": "Id, derived from fetch, session and rule.",
        "session": "Session of the bar.",
        "rule": "Name of the rule: `price_unknown`, `price_spike`, `split_like_jump`, `volume_restated`, ...",
        "severity": "`reject` (the row is kept out of the bars) or `flag` (recorded only).",
        "value": "The offending number, in the unit of its rule (price, factor, share, volume); NULL without one.",
        "detail": "One sentence that explains the rule.",
        "fetch_id": "Fetch that first showed it.",
        "cleared_at": (
            "When a fetch no longer showed it, UTC; for a flag about one row, its own fetch. NULL: still open."
        ),
    },
    "runs": {
        "id": "Id, derived from symbol, session, target, source and settings, so that a repeated night has the same.",
        "as_of": "The night's session: the newest whose bar it may use, the origin of its forecasts.",
        "trigger": "What started the night: `run` (by hand), `schedule` (unattended) or `catch-up`.",
        "status": "`running`, `done`, `late` (its bar is missing) or `failed`.",
        "mode": "How the challenger was fitted: `scratch`, `warm` or `skip`; empty until decided.",
        "mode_reason": "Why that mode was chosen; empty until decided.",
        "started_at": "When the night first started, UTC.",
        "finished_at": "When it was done, UTC; NULL before.",
        "seconds_ingest": "Duration of step ingest, seconds; NULL before it ended.",
        "seconds_preprocess": "Duration of step preprocess, seconds; NULL before it ended.",
        "seconds_train": "Duration of step train, seconds; NULL before it ended.",
        "seconds_predict": "Duration of step predict, seconds; NULL before it ended.",
        "seconds_evaluate": "Duration of step evaluate, seconds; NULL before it ended.",
        "flow_run_id": "Id of Prefect's flow run; NULL without Prefect.",
        "settings": "JSON of the settings that shape a forecast.",
        "note": "Remarks for readers: a missing bar, a failed companion or market series; empty without any.",
        "market_fetch": (
            "The newest fetch of the market series when the night's bars were fetched: its windows have the closes "
            "known then; empty without a series and for nights before migration 0008."
        ),
        "error": "Message of the error of the last attempt; NULL without one.",
    },
    "models": {
        "id": (
            "Id derived from run and method; of a baseline, from name, version, symbol, target and settings; of "
            "pretrained weights, from the fetches of their bars and the settings of their fit."
        ),
        "name": "`lstm`, a baseline's name, or `backtest`.",
        "version": "Architecture of a network, version of the baselines, or the refit interval of a backtest.",
        "method": "`scratch`, `warm`, `baseline` or `backtest`; `base`: pretrained weights of `forecasting pretrain`.",
        "parent_id": "Model that a warm fit started from, an id of `models`; NULL otherwise.",
        "base": (
            "Weights that the chain of fits began with: the name of a shipped set or of one of method `base`, "
            "`companions` (trained on companions) or `drawn` (random); of method `base` its own name; empty for a "
            "baseline."
        ),
        "symbol": "Ticker as Yahoo writes it: SBUX, BRK-B, ^GSPC; empty for pretrained weights, which are of many.",
        "scope": "Bars that trained the weights: `symbol`, or `panel` with other symbols (pretrained weights).",
        "seed": "Seed of the random numbers.",
        "trained_from": "First training session; NULL for a baseline.",
        "trained_to": "Last session whose value a weight has used; NULL for a baseline.",
        "epochs": "Training epochs of this fit.",
        "chain_epochs": "Epochs since the last fit from scratch, this fit included.",
        "fetch_id": "Fetch of the training bars, an id of `fetches`; NULL for a baseline and method `base`.",
        "companion_fetches": (
            "JSON: symbol and fetch id of each companion that trained the weights, or of each symbol and market series "
            "of method `base`; empty without any."
        ),
        "run_id": "Run that fitted it, an id of `runs`; NULL for a baseline and method `base`.",
        "artifact_path": "Folder of the weights, relative to the data folder; NULL for a baseline or once pruned.",
        "artifact_hash": "SHA-256 of the weights; NULL for a baseline.",
        "seconds": "Duration of the fit, seconds.",
        "refused": "Why the gate refused the fit, so that it is never published; empty when it passed.",
        "gate": (
            "JSON of what the gate compared: `origins`, `first`, `last`, mean pinball loss of `challenger` and "
            "`champion` (NULL without one) on them; empty for a baseline and for fits before migration 0006."
        ),
        "created_at": "When the row was written, UTC.",
    },
    "promotions": {
        "id": "Id, derived from the run or the command.",
        "session": "Session of the decision; forecasts of later origins use the winner.",
        "champion": "Champion before, an id of `models`; NULL on the first night.",
        "challenger": "The night's fit, or the model named by a command, an id of `models`.",
        "winner": "Champion from now on, an id of `models`.",
        "compared": (
            "What the losses are of: `hindcasts`, both models run over the same closed origins by the gate; empty for "
            "a command and for decisions before migration 0006, which compared what champions and challengers issued."
        ),
        "best_baseline": "Baseline of the lowest loss on the same origins; empty since migration 0006.",
        "champion_pinball": (
            "Mean pinball loss of the champion on these origins, in the target's unit; NULL where none was compared."
        ),
        "challenger_pinball": (
            "Mean pinball loss of the challenger on these origins, in the target's unit; NULL where none was compared."
        ),
        "baseline_pinball": "Mean pinball loss of the best baseline; NULL since migration 0006.",
        "p_value": "Two-sided p of equal loss (Diebold-Mariano), 0 to 1; NULL since migration 0006.",
        "origins": "Number of origins compared; 0 for a command.",
        "first_origin": "Oldest of them; NULL where none was compared.",
        "last_origin": "Newest of them; NULL where none was compared.",
        "reason": "The decision's reason, as text.",
        "trigger": "`night`, `promote` or `rollback`.",
        "decided_at": "When it was decided, UTC.",
        "run_id": "Run that decided it, an id of `runs`; NULL for a command.",
    },
    "forecasts": {
        "status": "`ok`, or `fallback` where a baseline was published in the champion's place.",
        "reason": "Why the fallback was published; empty otherwise.",
        "last_value": "Value of the target on the origin session, in the target's unit; NULL if unknown.",
        "past_forecasts": "Closed forecasts of this horizon that calibrated it; 0 without calibration.",
        "calibration": (
            "JSON for later calibration: raw quantiles of `network` and `partner` (the linear model), `level`, "
            "`spread`, `weight`, `factors`; empty for a baseline."
        ),
        "outside": "Inputs beyond the training range, each with its session: `volume 2024-05-01`; empty for none.",
        "calendar": (
            "What is special about the target session by the exchange's calendar: `half day`, `triple witching`, "
            "`options expiry`, `after a holiday`, separated by a comma; empty for none and for forecasts before "
            "migration 0007."
        ),
        "data_as_of": "When the bars that it used were fetched, UTC.",
        "fetch_id": "Fetch whose bars it used.",
        "run_id": "Run that issued it.",
    },
    "scores": {
        "bar_version": "Version of the bar that gave the actual value; a restated bar adds a row.",
        "actual": "Actual value in the target's unit, on the share basis of the day the forecast was issued.",
        "error": "q50 - actual, in the target's unit: positive when the forecast was too high.",
        "interval_score": (
            "Weighted interval score of the median and the 80 and 90 % intervals, in the target's unit; at least 0, "
            "lower is better."
        ),
        "inside_80": "Whether the actual value is inside the 80 % interval, q10 to q90, ends included.",
        "inside_90": "Whether it is inside the 90 % interval, q05 to q95, ends included.",
        "scored_at": "When it was scored, UTC.",
        "role": "Role of the forecast, as in `forecasts`.",
        "issued_at": "When the forecast was written, UTC; never NULL.",
    },
    "standings": {
        "window_sessions": "Nights of the window: 20, 60 or 250.",
        "line": (
            "Forecaster: a baseline's name or `lstm`, each with its own forecasts of all nights, published or not; "
            "empty for the published forecasts, whichever model made them."
        ),
        "first_origin": "First night of the window.",
        "last_origin": "Newest night with a score of the published forecast.",
        "n": (
            "Nights of the window with a score of both the forecaster and the published forecast; 0 for a forecaster "
            "that no longer forecasts."
        ),
        "error": "Sum of the forecaster's absolute errors over these n, in the target's unit.",
        "pinball": "Sum of its pinball losses, in the target's unit.",
        "inside_80": "Number of its actual values inside the 80 % interval.",
        "inside_90": "Number inside the 90 % interval.",
        "champion_error": "Sum of the published forecasts' absolute errors on the same nights, in the target's unit.",
        "champion_pinball": "Sum of the published forecasts' pinball losses on the same nights, in the target's unit.",
    },
    "metrics": {
        "model_id": "Model of the figure, an id of `models`; the row of a backtest.",
        "horizon": "1 to 5, or 0 for the mean over all horizons.",
        "metric": (
            "`mae`, `mae_naive`, `mae_BASELINE`, `pinball`, `skill_vs_naive`, `skill_vs_best`, `coverage_80`, "
            "`coverage_90`; of volume also `r2_dollar_volume` and `r2_BASELINE`."
        ),
        "scope": "`backtest`, the model alone; `published`, what replayed nights published; `live` is reserved.",
        "window_to": "Last origin session.",
        "run_id": "Run that computed it; for a backtest its own id.",
        "window_from": "First origin session.",
        "value": (
            "The figure: losses in the target's unit, lower is better; skills as 1 - loss / baseline's loss, positive "
            "is better than the baseline; coverages 0 to 1; R² of log dollar volume over its mean of five sessions, "
            "at most 1, positive is better than that mean."
        ),
        "n": "Number of origins with an actual value.",
        "baseline": "Baseline that the figure is of or compares with; empty without one.",
        "p_value": "Two-sided p of equal loss against that baseline (Diebold-Mariano), 0 to 1; NULL without a test.",
    },
}
"""Columns of each table."""


def text_of(table: str, column: str) -> str:
    """The meaning of a table's column.

    Raises:
        KeyError: It has no text.
    """
    own = COLUMNS[table]
    return own[column] if column in own else COMMON[column]
