"""rmaplab: is this memory mapped by one process or by many?

The face for notebooks and scripts. Nothing is loaded until it is used: `import rmaplab` costs a few milliseconds and no
NumPy.

    rmaplab.run("prefork", on="model")      a scenario, and how every scheme would have answered
    rmaplab.compare("snapshot", ["linux-6.6", "linux-6.18"])
    rmaplab.judge(trace)                    the same for a trace you have
    rmaplab.inspect(pid)                    who maps a running process's memory
    rmaplab.refute("generations", order=7)  sound, or the smallest witness
    rmaplab.bench(order=9)                  prices on real atomics
    rmaplab.schemes, rmaplab.scenarios      what there is, by name

What these return shows itself (`repr`, HTML in a notebook) and has `to_dict`, `to_polars` and `plot`. Tour:
docs/python.md.

`judge`, `inspect`, `bench`, `schemes` and `scenarios` are packages as well: `from rmaplab.judge import Tally` goes on to
work. The package object itself is what can be called or looked into, so it does not matter which of the two is imported
first.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False  # as type checkers read it; the module typing costs more than all else here
if TYPE_CHECKING:
    from os import PathLike
    from typing import Any

    from rmaplab.face import (
        Comparison,
        Inspection,
        Prices,
        Refutation,
        Run,
        StepComparison,
        compare,
        open_machine,
        refute,
        run,
    )
    from rmaplab.inspect.views import By
    from rmaplab.machine.differential.program import Step
    from rmaplab.machine.protocol import Machine, Process
    from rmaplab.scenarios import Scenario
    from rmaplab.schemes import Scheme
    from rmaplab.trace import Trace, Verdict, read, write

__version__ = "0.1.0"


class _Judge(ModuleType):
    def __call__(self, trace: "Trace | str | PathLike[str]", schemes: "Iterable[str | Scheme] | None" = None) -> "Run":
        """See `rmaplab.face.judge`."""
        made: Run = _face("judge")(trace, schemes)
        return made


class _Inspect(ModuleType):
    def __call__(self, *pids: int, cgroup: str | None = None, by: "By" = "process", write: bool = False) -> "Inspection":
        """See `rmaplab.face.inspect`."""
        made: Inspection = _face("inspect")(*pids, cgroup=cgroup, by=by, write=write)
        return made


class _Bench(ModuleType):
    def __call__(self, schemes: Iterable[str] | None = None, *, order: int = 9, rounds: int = 15) -> "Prices":
        """See `rmaplab.face.bench`."""
        made: Prices = _face("bench")(schemes, order=order, rounds=rounds)
        return made


class _Registry(ModuleType):
    """A package that is also the read-only mapping of what it registers, by name."""

    def _known(self) -> "dict[str, Any]":
        known: dict[str, Any] = getattr(self, self.__name__.rpartition(".")[2].upper())
        return known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __contains__(self, name: object) -> bool:
        return name in self._known()

    def __len__(self) -> int:
        return len(self._known())

    def __repr__(self) -> str:
        return f"<{self.__name__}: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        html: str = _face("registry_html")(self.__name__)
        return html


class _Scenarios(_Registry):
    def __getitem__(self, name: str) -> "Scenario":
        found: Scenario = self._known()[name]
        return found


class _Schemes(_Registry):
    def __getitem__(self, name: str) -> "Scheme":
        found: Scheme = self._known()[name]
        return found


_DOORS = {"bench": _Bench, "inspect": _Inspect, "judge": _Judge, "scenarios": _Scenarios, "schemes": _Schemes}
_HOMES = {
    "Comparison": "face",
    "Inspection": "face",
    "Machine": "machine.protocol",
    "Prices": "face",
    "Process": "machine.protocol",
    "Refutation": "face",
    "Run": "face",
    "Step": "machine.differential.program",
    "StepComparison": "face",
    "Trace": "trace",
    "Verdict": "trace",
    "compare": "face",
    "open_machine": "face",
    "read": "trace",
    "refute": "face",
    "run": "face",
    "write": "trace",
}

if TYPE_CHECKING:
    bench: _Bench
    inspect: _Inspect
    judge: _Judge
    scenarios: _Scenarios
    schemes: _Schemes

__all__ = [
    "Comparison",
    "Inspection",
    "Machine",
    "Prices",
    "Process",
    "Refutation",
    "Run",
    "Step",
    "StepComparison",
    "Trace",
    "Verdict",
    "bench",
    "compare",
    "inspect",
    "judge",
    "open_machine",
    "read",
    "refute",
    "run",
    "scenarios",
    "schemes",
    "write",
]


def _face(name: str) -> "Any":
    return getattr(import_module("rmaplab.face"), name)


def __getattr__(name: str) -> "Any":
    if name in _DOORS:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        setattr(sys.modules[__name__], name, found)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _Package(ModuleType):
    """This package. The import system hangs every package below on it once that is loaded: doors are made there."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _DOORS and type(value) is ModuleType:
            value.__class__ = _DOORS[name]
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
