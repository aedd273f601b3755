from dataclasses import replace

import pytest

from forecasting.evaluate.promotion import Decision, Facts, decide

SOUND = Facts(has_champion=True, method="warm", refused="")


@pytest.mark.parametrize(
    ("facts", "winner", "reason"),
    [
        (SOUND, "challenger", "A refresh of the champion that passed the gate takes over."),
        (replace(SOUND, method="scratch"), "challenger", "A fit from scratch that passed the gate takes over."),
        (replace(SOUND, has_champion=False), "challenger", "There was no champion; this fit passed the gate."),
        (
            replace(SOUND, refused="a quantile of a member is not finite"),
            "champion",
            "The champion stays; the gate refused the fit: a quantile of a member is not finite.",
        ),
        (
            replace(SOUND, damage="expected sha256 ab12, found cd34."),
            "champion",
            "The champion stays; expected sha256 ab12, found cd34.",
        ),
        (
            replace(SOUND, has_champion=False, refused="a weight is too far"),
            None,
            "There is still no champion; the gate refused the fit: a weight is too far.",
        ),
    ],
)
def test_a_fit_takes_over_when_it_passed_the_gate_and_runs(facts, winner, reason):
    assert decide(facts) == Decision(winner, reason)
