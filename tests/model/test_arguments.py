# ruff: noqa: ARG005
"""Arguments that make no sense are refused by live machine and model alike, before anything changes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.errors import NotAvailable
from rmaplab.machine.choose import open_machine
from rmaplab.machine.model import ModelMachine
from rmaplab.machine.protocol import MOST_KEPT, MOST_LENGTH, PAGE_SIZE, BadOperation, Machine, Process


class Raises:
    """A number, by its looks, that answers with an error."""

    def __index__(self) -> int:
        raise ZeroDivisionError


class Number(int):
    """One that says of itself what it is not."""

    def __int__(self) -> int:
        raise ZeroDivisionError

    def __lt__(self, other: object) -> bool:
        raise ZeroDivisionError


NO_NUMBERS = [
    Raises(),
    4096.0,
    float("nan"),
    "4096",
    None,
    True,
    b"x",
    [4096],
    np.float64(4096),
    np.arange(3),
    1 << 63,
    1 << 5000,
]
WRONG = [*NO_NUMBERS, Number(-1), -PAGE_SIZE, -1, 1, PAGE_SIZE + 1, 1 << 46, MOST_LENGTH + PAGE_SIZE]
CALLS: dict[str, Callable[[Process, int, Any], object]] = {
    "mmap length": lambda p, at, bad: p.mmap(bad),
    "munmap address": lambda p, at, bad: p.munmap(bad, PAGE_SIZE),
    "munmap length": lambda p, at, bad: p.munmap(at, bad),
    "mremap old": lambda p, at, bad: p.mremap(at, bad, PAGE_SIZE),
    "mremap new": lambda p, at, bad: p.mremap(at, PAGE_SIZE, bad, move=True),
    "mprotect": lambda p, at, bad: p.mprotect(at, bad, writable=False),
    "madvise": lambda p, at, bad: p.madvise(at, bad, "dontneed"),
    "read": lambda p, at, bad: p.read(at, bad),
    "write": lambda p, at, bad: p.write(bad, PAGE_SIZE),
    "peek": lambda p, at, bad: p.peek(at, bad),
    "poke": lambda p, at, bad: p.poke(at, bad),
    "migrate": lambda p, at, bad: p.migrate(at, bad),
    "ask": lambda p, at, bad: p.ask(at, bad),
    "pin": lambda p, at, bad: p.pin(at, bad),
}
OTHERS: dict[str, Callable[[Machine, Process, int], object]] = {
    "order": lambda m, p, at: p.mmap(PAGE_SIZE, order=2.0),  # type: ignore[arg-type]
    "order too large": lambda m, p, at: p.mmap(PAGE_SIZE, order=10),
    "offset": lambda m, p, at: p.mmap(PAGE_SIZE, file=m.file(PAGE_SIZE), offset="0"),  # type: ignore[arg-type]
    "shared": lambda m, p, at: p.mmap(PAGE_SIZE, shared="no"),  # type: ignore[arg-type]
    "file": lambda m, p, at: p.mmap(PAGE_SIZE, file=3),  # type: ignore[arg-type]
    "value": lambda m, p, at: p.write(at, PAGE_SIZE, 1.5),  # type: ignore[arg-type]
    "value too large": lambda m, p, at: p.write(at, PAGE_SIZE, 256),
    "advice": lambda m, p, at: p.madvise(at, PAGE_SIZE, 4),  # type: ignore[arg-type]
    "advice unknown": lambda m, p, at: p.madvise(at, PAGE_SIZE, "nonsense"),  # type: ignore[arg-type]
    "writable": lambda m, p, at: p.mprotect(at, PAGE_SIZE, writable=None),  # type: ignore[arg-type]
    "pin": lambda m, p, at: p.unpin(None),  # type: ignore[arg-type]
    "file length": lambda m, p, at: m.file(4096.0),  # type: ignore[arg-type]
    "file too long": lambda m, p, at: m.file(128 << 40),
    "file longer": lambda m, p, at: m.truncate(m.file(PAGE_SIZE), 128 << 40),
    "shared memory too long": lambda m, p, at: p.mmap(64 << 40, shared=True),
    "shared memory longer than a file": lambda m, p, at: p.mmap(MOST_KEPT + PAGE_SIZE, shared=True),
    "swap too long": lambda m, p, at: m.swap(64 << 40),
    "file kind": lambda m, p, at: m.file(PAGE_SIZE, kind=None),  # type: ignore[arg-type]
    "swap length": lambda m, p, at: m.swap("2M"),  # type: ignore[arg-type]
}


@pytest.fixture
def live() -> Iterator[Machine]:
    try:
        with open_machine("live", "") as machine:
            yield machine
    except NotAvailable as missing:
        pytest.skip(str(missing))


def refusals(machine: Machine) -> dict[str, str]:
    """What every wrong call says. Nothing may have changed by them."""
    process = machine.spawn()
    at = process.mmap(4 * PAGE_SIZE)
    process.write(at, 4 * PAGE_SIZE, 5)
    before = machine.observe().height
    said = {}
    for name, call in CALLS.items():
        for bad in WRONG:
            with pytest.raises(BadOperation) as refused:
                call(process, at, bad)
            said[f"{name} {bad!r:.20}"] = str(refused.value)
    for name, other in OTHERS.items():
        with pytest.raises(BadOperation) as refused:
            other(machine, process, at)
        said[name] = str(refused.value)
    assert all(len(line.splitlines()) == 1 and len(line) < 300 for line in said.values())
    assert machine.observe().height == before
    assert process.read(at, 4 * PAGE_SIZE).tolist() == [5] * 4
    assert process.mmap(PAGE_SIZE) == at + (4 << 20)
    return said


def test_the_model_refuses_and_goes_on() -> None:
    with ModelMachine() as machine:
        refusals(machine)


def test_what_nobody_touched_costs_the_model_nothing() -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        at = process.mmap(1 << 40)
        process.write(at + (1 << 39), PAGE_SIZE, 3)
        assert process.read(at + (1 << 39), PAGE_SIZE).tolist() == [3]
        assert machine.bytes < 16 << 20


@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_live_machine_and_model_refuse_in_the_same_words(live: Machine) -> None:
    with ModelMachine() as model:
        assert refusals(live) == refusals(model)


def accepts_numpy(machine: Machine) -> list[int]:
    process = machine.spawn()
    at = process.mmap(np.int64(2 * PAGE_SIZE), order=np.uint8(0), shared=np.bool_(False))  # type: ignore[arg-type]
    process.write(np.uint64(at), np.int32(2 * PAGE_SIZE), np.uint8(7))  # type: ignore[arg-type]
    return process.read(at, 2 * PAGE_SIZE).tolist()


def test_numpy_integers_are_numbers() -> None:
    with ModelMachine() as machine:
        assert accepts_numpy(machine) == [7, 7]


@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_numpy_integers_are_numbers_to_the_kernel_too(live: Machine) -> None:
    assert accepts_numpy(live) == [7, 7]


@given(st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans(), st.binary()))
def test_any_length_is_mapped_or_refused(length: Any) -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        try:
            at = process.mmap(length)
        except BadOperation:
            assert machine.observe().is_empty()
        else:
            process.munmap(at, length)


def beyond(machine: Machine) -> list[str]:
    """Accesses beyond a file's end, where the kernel sends SIGBUS."""
    said = []
    backings: list[dict[str, Any]] = [
        {"file": machine.file(PAGE_SIZE), "shared": True},
        {"file": machine.file(PAGE_SIZE)},
        {"shared": True},
    ]
    for options in backings:
        process = machine.spawn()
        at = process.mmap(PAGE_SIZE, **options)
        process.mremap(at, PAGE_SIZE, 3 * PAGE_SIZE)
        calls: list[Callable[[int, int], object]] = [
            process.read, process.write, process.peek, process.poke, process.pin,
            lambda a, n: process.madvise(a, n, "populate_read"), lambda a, n: process.madvise(a, n, "populate_write"),  # noqa: B023
        ]  # fmt: skip
        for call in calls:
            for start, length in ((at + PAGE_SIZE, PAGE_SIZE), (at, 3 * PAGE_SIZE), (at + 2 * PAGE_SIZE, PAGE_SIZE)):
                with pytest.raises(BadOperation) as refused:
                    call(start, length)
                said.append(str(refused.value))
        assert process.alive
        process.write(at, PAGE_SIZE, 9)
        assert process.read(at, PAGE_SIZE).tolist() == [9]
    assert all("beyond the end of its file" in line for line in said)
    return said


def test_beyond_a_files_end_the_model_refuses() -> None:
    with ModelMachine() as machine:
        beyond(machine)


@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_beyond_a_files_end_both_refuse_in_the_same_words(live: Machine) -> None:
    with ModelMachine() as model:
        assert beyond(live) == beyond(model)


def orders(machine: Machine) -> list[int]:
    process = machine.spawn()
    at = process.mmap(64 * PAGE_SIZE, order=1)
    process.write(at, 64 * PAGE_SIZE)
    return machine.observe()["order"].to_list()


@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_anonymous_memory_of_order_1_is_of_order_0_on_both(live: Machine) -> None:
    with ModelMachine() as model:
        assert orders(model) == orders(live) == [0] * 64
