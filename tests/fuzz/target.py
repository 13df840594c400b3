"""What is fuzzed: bytes in, an oracle, seeds and words to mutate with, and what was found before."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

Change = Callable[[bytes, Sequence[bytes], random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """One reader of hostile bytes.

    check : the oracle; raises when something other than the declared refusal happens
    make_seeds : inputs to begin with, made, not stored
    change : gives another input out of one, with the other seeds to splice in
    words : pieces of the input's language (libFuzzer's dictionary)
    found : inputs that once failed the oracle, by what they showed; each is a regression test
    """

    name: str
    check: Callable[[bytes], None]
    make_seeds: Callable[[], list[bytes]]
    change: Change
    words: tuple[bytes, ...] = ()
    found: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def seeds(self) -> list[bytes]:
        return self.make_seeds()

    def mutated(self, count: int, seed: int) -> None:
        """Check so many inputs that follow from the seed; the same everywhere."""
        rng = random.Random(seed)
        origins = [*self.seeds, *self.found.values()]
        for _ in range(count):
            self.check_shown(self.change(rng.choice(origins), origins, rng))

    def check_shown(self, data: bytes) -> None:
        """Check, and tell the input with the failure, so that it can be kept in `found`."""
        try:
            self.check(data)
        except Exception as error:
            error.add_note(f"{self.name}: {data!r}"[:4000])
            raise
