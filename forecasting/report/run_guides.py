"""What the deployments do and what to do about their runs, in Markdown: their tab Description in Prefect's UI."""

NIGHTLY = """Brings the bars of every symbol up to date, fits a network, forecasts the next five sessions and scores the
forecasts whose session has closed. One run does all sessions missed since the last one, oldest first; the same night
run twice adds nothing.

**First open the newest of [volume](../../artifacts/key/outcomes-volume),
[close](../../artifacts/key/outcomes-close) or [range](../../artifacts/key/outcomes-range)**, the artifact `outcomes` of
a run: it says what to do, how late the run was and how long it took.

| state of a run | what it means | what to do |
| --- | --- | --- |
| Completed | every symbol is done | nothing |
| Skipped | nothing new, as on a holiday | nothing |
| Late, after its start | a bar is missing, or the source does not respond; *Details* has the hours | nothing |
| Late, never started | no worker took it | start one: `forecasting worker` |
| WithoutBar | the bar did not come by the stated hour | nothing: the next night makes up for it |
| PartlyFailed, Failed | *Details* names the symbols and why | what the message says; the next hour's run tries again |
| Cancelled | another run was at work | nothing: that one does all |
| Crashed | its process was killed | nothing: the next hour's run, or the next night, makes up for it |

More: `docs/operations.md`."""

CATCH_UP = """Forecasts from every session of a span that has no finished run, oldest first, from the bars as known at
each. A forecast made after its first session has opened is marked late or replay, and never counts as live.

For nights that are missing in the record: *Run*, *Custom run*, with `first` and `last`. A night that is done is left
out, so a run may be repeated. The newest nights need no catch-up: the next `nightly` does them."""

BACKTEST = """Replays the nightly path at the origins of a span and scores it against every baseline. It changes no
forecast; the figures are its artifact `backtest`, and rows of table `metrics`.

*Run*, *Custom run*, with `first` and `last`. `as_published` replays every night's fit and decisions too: about a third
of a second an origin more."""
