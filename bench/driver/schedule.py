"""Rounds within a limit of time. Every step runs once, then those that want more rounds again, one of each at a time; what would
not end in time is left out, and said. Nothing is left out of the first round: who cannot end that has failed."""
import time
from typing import Callable, NamedTuple

from daemons import OutOfTime

MARGIN = 1.15  # a round may take so much longer than the longest of its kind before


class Step(NamedTuple):
    name: str
    rounds: int
    run: Callable  # of the number of the round


class Schedule:
    def __init__(self, steps, limit_s, clock=time.monotonic):
        self.steps, self.limit_s, self.clock = steps, limit_s, clock
        self.took = {step.name: [] for step in steps}

    def run(self):
        began = self.clock()
        try:
            for number in range(max(step.rounds for step in self.steps)):
                for step in self.steps:
                    if number < step.rounds and self.fits(step, self.clock() - began):
                        at = self.clock()
                        step.run(number)
                        self.took[step.name].append(round(self.clock() - at, 1))
        except OutOfTime:
            if not all(self.took.values()):
                raise

    def fits(self, step, spent):
        took = self.took[step.name]
        return not took or spent + MARGIN * max(took) <= self.limit_s

    def missing(self):
        """{step: (rounds done, rounds wanted)}, of those that had to be cut."""
        return {step.name: (len(self.took[step.name]), step.rounds) for step in self.steps
                if len(self.took[step.name]) < step.rounds}
