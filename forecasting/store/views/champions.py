"""View champions: which model was champion from when to when, and why."""

from forecasting.store.views.view import View

# The newest session counts before the newest decision, as in read.champion: a span replayed today changes its own days.
_SELECT = """
WITH decided AS (
    SELECT p.*, LAG(p.winner) OVER (
        PARTITION BY p.symbol, p.target ORDER BY p.session, p.decided_at, p.id
    ) AS before
    FROM promotions p
),
changed AS (
    SELECT d.*, LEAD(d.session) OVER (
        PARTITION BY d.symbol, d.target ORDER BY d.session, d.decided_at, d.id
    ) AS to_session
    FROM decided d
    WHERE d.before IS NULL OR d.before <> d.winner
)
SELECT c.symbol, c.target, c.session AS from_session, c.to_session, c.winner AS model_id, m.name AS model, m.method,
    c.before AS replaced, c.reason AS why, c.challenger_pinball, c.champion_pinball, c.origins, c.trigger, c.decided_at,
    m.trained_to, m.chain_epochs, c.run_id
FROM changed c JOIN models m ON m.id = c.winner
"""

CHAMPIONS = View(
    _SELECT,
    "One model's time as champion: one row each time the champion changed.",
    "promotions",
    {
        "from_session": (
            "Session of the decision. Forecasts of later origins use the model; that of this one too on the first "
            "night, and where the champion before could not be used."
        ),
        "to_session": (
            "Session of the decision that replaced it, the last origin it forecast unless it could not be used there; "
            "NULL: still champion. Equal to `from_session`: replaced before another forecast."
        ),
        "model_id": "The champion, an id of `models`.",
        "model": "Its name: `lstm`.",
        "method": "How it was fitted: `scratch` or `warm`.",
        "replaced": "Champion before, an id of `models`; NULL for the first.",
        "why": "The decision's reason, as text.",
        "trained_to": "Last session whose value its weights have used.",
        "chain_epochs": "Training epochs since its last fit from scratch, its own included.",
    },
)
