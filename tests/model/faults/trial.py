"""Does a model show the worlds that the right one shows? Random programs, step by step, one digest a step.

For `__main__`, which runs this file in a process of its own with a changed model on the path. Compared is what the
differential test compares with a kernel: answers and observations, up to the names of frames and swap slots. The right
model stands for the kernel here: a fault found by these programs is found on a machine that agrees with the model.
"""

import hashlib
import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import numpy as np

from rmaplab.machine.differential.generate import Generator
from rmaplab.machine.differential.program import Program, Run, Unnamed
from rmaplab.machine.model import ModelMachine
from rmaplab.machine.model.invariants import check
from rmaplab.machine.observation import UNKNOWN, Observation

KERNEL: Final = "linux-6.18"
_ORDERS: Final = (2, 3, 4, 5, 6, 7, 8, 9)
_STEPS: Final = 30
_PATIENCE: Final = 60
"""Seconds a program may take before it counts as hanging; the right model takes 0.1."""


def random_program(seed: int) -> Program:
    """The program of `seed`."""
    return Generator(seed, _ORDERS, _STEPS).program()


def worlds(program: Program) -> Iterator[bytes]:
    """A digest of answer and world after every step of the program.

    Raises whatever the model raises: `Broken`, `ContentLeak`, or any error a fault leads to.
    """
    with ModelMachine(KERNEL) as machine:
        run = Run(machine)
        for step in program:
            try:
                answer = run.do(step)
            except Unnamed:
                continue
            check(machine)
            told = (bool(answer.refused), answer.value)
            yield _digest(repr(told).encode(), *_columns(machine.observation()))


def _columns(seen: Observation) -> Iterator[bytes]:
    for name in seen.__slots__:
        values = getattr(seen, name)
        yield (_renamed(values) if name in ("frame", "slot") else values).tobytes()
        if name == "head":
            yield (seen.frame - values).tobytes()


def _renamed(names: np.ndarray) -> np.ndarray:
    """Names in the order of their first use, UNKNOWN as it is."""
    _, first, which = np.unique(names, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return np.where(names == UNKNOWN, UNKNOWN, order[which])


def _digest(*parts: bytes) -> bytes:
    total = hashlib.blake2b(digest_size=8)
    for part in parts:
        total.update(part)
    return total.digest()


def _hangs(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise TimeoutError("the program hangs")


def first_difference(name: str, program: Program, right: list[bytes]) -> str:
    """What tells the model at hand from the right one in the program called `name`; "" if nothing does."""
    signal.alarm(_PATIENCE)
    number = 0
    try:
        for number, (ours, theirs) in enumerate(zip(worlds(program), right, strict=True)):
            if ours != theirs:
                return f"{name}, step {number}"
    except Exception as error:  # whatever a planted fault leads to has found it
        return f"{name}, step {number}: {type(error).__name__}"
    finally:
        signal.alarm(0)
    return ""


def main() -> None:
    """`trial.py REFERENCE`: prints the first difference, if any, of programs pickled as {name: (program, digests)}."""
    signal.signal(signal.SIGALRM, _hangs)
    reference: dict[str, tuple[Program, list[bytes]]] = pickle.loads(Path(sys.argv[1]).read_bytes())
    for name, (program, right) in reference.items():
        found = first_difference(name, program, right)
        if found:
            print(found)
            return


if __name__ == "__main__":
    main()
