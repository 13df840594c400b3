"""All situations, from the plainest on."""

from __future__ import annotations

from tests.support.situations.attempts import ATTEMPTS
from tests.support.situations.blame import BLAME
from tests.support.situations.pieces import PIECES
from tests.support.situations.propagation import PROPAGATION
from tests.support.situations.situation import Situation
from tests.support.situations.unanswered import UNANSWERED
from tests.support.situations.unmarked import UNMARKED
from tests.support.situations.waiting import WAITING

SITUATIONS: tuple[Situation, ...] = (
    *PROPAGATION,
    *UNMARKED,
    *WAITING,
    *UNANSWERED,
    *ATTEMPTS,
    *BLAME,
    *PIECES,
)
