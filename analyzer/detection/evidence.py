"""Evidence that adds up over time without being fooled by looking often.

In: p-values of one window per stream. Out: what a stream's e-process is multiplied with, and how high it must stand
for an alarm. Never decides what a p-value is of.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

KAPPA = 0.5
EARNED_TICKS = 720  # ticks over which what an alarm earned is spent


def log_bet(p: Floats, bet: float) -> Floats:
    """Return log(1 - bet + bet * kappa * p**(kappa - 1)), kappa = 1/2: the p-to-e calibrator, mixed with not betting.

    Its mean is 1 over uniform p (and less over p that are larger than uniform), so a product of such factors is an
    e-process: it exceeds 1/alpha, ever, with probability alpha at most.

    Parameters
    ----------
    p : float64[...]
        nan: there was nothing to look at; gives 0.
    bet : float

    Notes
    -----
    Source: Vovk and Wang (2021), E-values: calibration, combination and applications; floored at 1 after each step by
    the caller, its expected time between false alarms is at least 1/alpha (Shin, Ramdas, Rinaldo: e-detectors).
    """
    known = np.where(np.isnan(p), 1.0, np.maximum(p, 1e-300))
    return np.where(np.isnan(p), 0.0, np.log1p(bet * (KAPPA * known ** (KAPPA - 1.0) - 1.0)))


class Budget:
    """How many false alarms a tick may bring, all streams together. Owner: the detector's thread.

    The budget is spent evenly over time; an alarm earns a little more for the ticks after it, so that what hangs
    together with it is told soon. When an alarm earns g < 1 and the base is (1 - g) of the budget, all false alarms
    together stay within the budget: base * (1 + g + g**2 + ...).
    Source: LORD (Javanmard, Montanari), with time in the place of the sequence of hypotheses.
    """

    def __init__(self, false_alarms_per_hour: float, earned: float, tick_s: float) -> None:
        self._base = false_alarms_per_hour * (1.0 - earned) * tick_s / 3600.0
        self._earned = earned
        weights = 1.0 / np.arange(1, EARNED_TICKS + 1) ** 1.6
        self._gamma = weights / weights.sum()
        self.coming = np.zeros(EARNED_TICKS)

    def spend(self, ticks: int) -> float:
        """Return the false alarms allowed for each of the next ticks, and let that many pass."""
        now = self._base + float(self.coming[0])
        ticks = min(ticks, EARNED_TICKS)
        self.coming[: EARNED_TICKS - ticks] = self.coming[ticks:]
        self.coming[EARNED_TICKS - ticks :] = 0.0
        return now

    def earn(self) -> None:
        """An alarm was raised (several at once count as one)."""
        self.coming += self._earned * self._gamma
