"""Meaning of the columns of the tables in outputs.py; those they share with others are in meanings.py."""

OUTPUT_COLUMNS: dict[str, dict[str, str]] = {
    "runs": {
        "id": "Id, derived from symbol, session, target, source and settings, so that a repeated night has the same.",
        "as_of": "The night's session: the newest whose bar it may use, the origin of its forecasts.",
        "trigger": "What started the night: `run` (by hand), `schedule` (unattended) or `catch-up`.",
        "status": "`running`, `done`, `late` (its bar is missing) or `failed`.",
        "mode": "How the challenger was fitted: `scratch`, `warm` or `skip`; empty until decided.",
        "mode_reason": "Why that mode was chosen; empty until decided.",
        "started_at": "When the night first started, UTC.",
        "finished_at": "When it was done, UTC; NULL before.",
        "seconds_ingest": (
            "Seconds of step ingest, its share of symbols run together; NULL before it ended, and where the "
            "request of a later session's night brought the bars."
        ),
        "seconds_preprocess": "Seconds of step preprocess, its share of symbols run together; NULL before it ended.",
        "seconds_train": "Seconds of step train, its share of symbols run together; NULL before it ended.",
        "seconds_predict": "Seconds of step predict, its share of symbols run together; NULL before it ended.",
        "seconds_evaluate": "Seconds of step evaluate, its share of symbols run together; NULL before it ended.",
        "flow_run_id": "Id of Prefect's flow run; NULL without Prefect.",
        "settings": "JSON of the settings that shape a forecast, and the file of earnings dates.",
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
    "night_lock": {"unused": "Never filled in."},
    "backtest_lock": {"unused": "Never filled in."},
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
        "baseline": (
            "Baseline that the figure is of or compares with; empty without one, and of the naive one, which is "
            "`last_value`, of close `random_walk`."
        ),
        "p_value": (
            "Two-sided p of equal absolute error, for close of equal pinball loss, against that baseline "
            "(Diebold-Mariano), 0 to 1; NULL without a test or with fewer than ten origins a session ahead."
        ),
    },
}
