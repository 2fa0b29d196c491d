"""What a campaign does: under which rules, how long its programs are, what they go without, from which seeds.

For the campaign, its jobs, its journal and the commands.
"""

from dataclasses import dataclass
from typing import Final, Self

from rmaplab.machine.model import policy_of
from rmaplab.machine.protocol import BadOperation

OPTIONAL: Final = {
    "ksm": "merging equal pages",
    "swap": "a swap device",
    "disk": "files of a disk file system",
    "khugepaged": "collapse in the background",
    "sharing": "processes that share memory (vfork, CLONE_VM)",
}
"""What programs can go without, and what it is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Programs of `steps` operations against the model of `kernel`, without what is named (of `OPTIONAL`). Together with
    a seed it says what a program is. Raises BadOperation."""

    kernel: str
    steps: int = 30
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        policy_of(self.kernel)
        for name in sorted(self.without):
            if name not in OPTIONAL:
                raise BadOperation("without", name, f"must be of {', '.join(OPTIONAL)}")

    def to_dict(self) -> dict[str, object]:
        """As a journal keeps it."""
        return {"kernel": self.kernel, "steps": self.steps, "without": sorted(self.without)}


def without(text: str) -> frozenset[str]:
    """`ksm,swap` as a set; the empty text is none."""
    return frozenset(text.split(",")) if text else frozenset()


@dataclass(frozen=True, slots=True)
class Seeds:
    """Seeds `first` .. `last`, both included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`A:B`. Raises BadOperation."""
        first, colon, last = text.partition(":")
        numbers = [int(word) for word in (first, last) if word.isascii() and word.isdigit() and len(word) <= 10]
        if not colon or len(numbers) != 2 or not 0 <= numbers[0] <= numbers[1] < 1 << 32:
            raise BadOperation("seeds", text, "must be A:B, whole numbers, 0 <= A <= B < 4294967296")
        return cls(*numbers)

    def range(self) -> range:
        return range(self.first, self.last + 1)
