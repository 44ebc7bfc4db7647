"""Steps with names: what the demo does, and which of them did not hold."""

from collections.abc import Iterator
from contextlib import contextmanager


class StepFailed(Exception):
    """A step of the demo did not hold; the message names the step and both values."""


class Steps:
    """Prints each step and what was seen in it."""

    def __init__(self) -> None:
        self.number = 0
        self.name = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Name what happens; whatever goes wrong inside is a failure of this step."""
        self.number += 1
        self.name = name
        print(f"\n{self.number:2}. {name}", flush=True)
        try:
            yield
        except StepFailed:
            raise
        except Exception as error:
            raise StepFailed(f"step {self.number} ({name}): {error!r}") from error

    def say(self, text: str) -> None:
        print(f"    {text}", flush=True)

    def equal(self, what: str, seen: object, own: object) -> None:
        """Print a value that was answered; it must be the one worked out here."""
        if seen != own:
            raise StepFailed(
                f"step {self.number} ({self.name}): {what} is {seen}, by our own sum it is {own}"
            )
        self.say(f"{what}: {seen}  ✓")

    def true(self, what: str, *, holds: bool) -> None:
        if not holds:
            raise StepFailed(f"step {self.number} ({self.name}): not true: {what}")
        self.say(f"{what}  ✓")
