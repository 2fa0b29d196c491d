"""The plan of the house holds: no circle of files, and arrows between rooms point down only.

The graph is drawn from the source by `ast`, so an import under TYPE_CHECKING or inside a function counts as any other.
Loading by name (`import_module`) does not: it is how commands and the face load late, and it stands in LOADS_BY_NAME.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import rmaplab

SOURCE: Final = Path(rmaplab.__path__[0])

EVERYBODY: Final = ("errors", "names", "text", "proctext", "system", "extras", "sources", "")
"""What any room may use: errors, words, text of /proc, files and signals, where the C is; "" is the package itself (its
version)."""

ROOMS: Final[Mapping[str, tuple[str, ...]]] = {
    # What any room may use; among them, in this order.
    "errors": (),
    "names": (),
    "text": ("names",),
    "extras": ("errors",),
    "proctext": ("errors",),
    "system": ("errors",),
    "sources": (),
    "campaigns": (),
    "cluster": ("campaigns",),
    "bpf": (),
    "recorded": (),
    # The stream.
    "trace": (),
    "schemes": ("trace",),
    "engine": ("schemes",),
    "judge": ("engine",),
    "machine.protocol": ("trace",),
    "machine.live.proc": (),
    "machine": ("machine.protocol", "machine.live.proc", "trace", "schemes", "campaigns"),
    "scenarios": ("machine.protocol",),
    # Booted kernels, and what is tried in them.
    "kernels": (),
    "machine.lab": ("machine", "kernels"),
    "trials": ("machine.lab", "scenarios", "judge"),
    # A running system.
    "inspect": ("trace", "machine.live.proc", "bpf"),
    "watch": ("inspect", "bpf"),
    "fleet": ("inspect",),
    # Beside the stream.
    "core.loading": (),
    "core": ("core.loading", "schemes"),  # it implements the definitions, and answers with their verdicts
    "verify": ("schemes", "core", "campaigns"),
    "verify.refute": ("verify", "engine", "machine"),  # a witness is replayed, and shown where pages leak
    "bench": ("core", "scenarios", "kernels"),
    "stress": ("core", "scenarios", "kernels", "schemes"),
    # What people see.
    "report": (
        "judge",
        "scenarios",
        "trials",
        "inspect",
        "watch",
        "fleet",
        "core",
        "verify.refute",
        "bench",
        "stress",
    ),
    "face": ("report", "cluster"),
    "cli": ("face", "report", "cluster", "recorded"),
    "__main__": ("cli",),
    "": ("face",),
}
"""Room: the rooms below it; what these may import it may too. The table of the plan of the house, with the rooms that
came later."""

MODEL: Final[Mapping[str, tuple[str, ...]]] = {
    "policy": (),
    "physical": ("policy",),
    "backing": ("physical",),
    "space": ("backing",),
    "faults": ("space",),
    "thp": ("faults",),
    "reclaim": ("thp",),
    "ksm": ("thp",),
    "calls": ("reclaim", "ksm"),
    "system": ("reclaim", "ksm"),
    "process": ("system", "calls"),
    "observe": ("space",),
    "machine": ("process", "observe"),
    "invariants": ("machine",),
    "": ("machine", "invariants"),
}
"""The same inside `rmaplab.machine.model`; bottom up it reads as Linux does."""

LIVE: Final[Mapping[str, tuple[str, ...]]] = {
    "proc": (),
    "workers": (),
    "host": ("proc", "workers"),
    "record": ("proc",),
    "held": (),
    "arena": ("proc", "held"),
    "system": ("host", "record", "workers", "held", "arena"),
    "attended": ("system",),
    "process": ("attended",),
    "machine": ("process",),
    "": ("machine",),
}

MACHINES: Final[Mapping[str, tuple[str, ...]]] = {
    "protocol": (),
    "arguments": ("protocol",),
    "arena": ("protocol",),
    "observation": ("protocol",),
    "pagecache": (),
    "base": ("arguments", "arena", "observation"),
    "model": ("base", "pagecache"),
    "live": ("base", "pagecache"),
    "choose": ("protocol",),
    "differential": ("model", "live"),
    "lab": ("differential", "choose"),
    "": (),
}

LOADS_BY_NAME: Final = (
    "",
    "cli",
    "face",
    "extras",
    "core.loading",
    "machine.choose",
    "machine.live",
    "verify.refute.asked",
)
"""Modules (and rooms) that load others by name, when they are asked for: for start-up time, never to hide a circle."""


@cache
def modules() -> dict[str, Path]:
    """Every module below `rmaplab` by its name there; the package itself is ""."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """What a source imports of the package, wherever in it, `rmaplab.` left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def owner(name: str) -> str | None:
    """The module in which `rmaplab.x.y.name` stands; None if it is not of this package."""
    first, _, rest = name.partition(".")
    if first != "rmaplab":
        return None
    while rest and rest not in modules():
        rest = rest.rpartition(".")[0]
    return rest


@cache
def graph() -> dict[str, set[str]]:
    """Module: those it imports."""
    arrows = {}
    for name, path in modules().items():
        owners = {owner(target) for target in imported(ast.parse(path.read_text()))}
        arrows[name] = {target for target in owners if target is not None} - {name}
    return arrows


def circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """One closed walk for every way of coming back to where one began, by depth-first search."""
    state: dict[str, int] = {}
    found: list[list[str]] = []

    def visit(name: str, walk: list[str]) -> None:
        state[name] = 1
        for target in sorted(arrows.get(name, ())):
            if state.get(target) == 1:
                found.append([*walk[walk.index(target) :], target])
            elif target not in state:
                visit(target, [*walk, target])
        state[name] = 2

    for name in sorted(arrows):
        if name not in state:
            visit(name, [name])
    return found


def below(table: Mapping[str, tuple[str, ...]], room: str) -> set[str]:
    """A room and all rooms below it."""
    return {room}.union(*(below(table, lower) for lower in table[room]))


def room_of(table: Mapping[str, tuple[str, ...]], module: str) -> str:
    """The smallest room of the table that holds a module. Raises KeyError if none does."""
    name = module
    while name not in table:
        if "." not in name:
            raise KeyError(f"{module} stands in no room of the table")
        name = name.rpartition(".")[0]
    return name


def upward(table: Mapping[str, tuple[str, ...]], prefix: str, everybody: Iterable[str] = ()) -> list[str]:
    """Arrows within `prefix` that the table does not have."""
    inside = f"{prefix}." if prefix else ""
    wrong = []
    for module, targets in graph().items():
        if not (module == prefix or module.startswith(inside)):
            continue
        room = room_of(table, module.removeprefix(prefix).removeprefix("."))
        allowed = below(table, room) | set(everybody)
        for target in sorted(targets):
            if not (target == prefix or target.startswith(inside)):
                continue
            there = room_of(table, target.removeprefix(prefix).removeprefix("."))
            if there not in allowed:
                wrong.append(
                    f"{module or 'rmaplab'} imports {target}: {there or 'rmaplab'} is not below {room or 'rmaplab'}"
                )
    return wrong


def within(module: str, room: str) -> bool:
    """Is `module` the room or in it? Nothing is in "", the package itself, but itself."""
    return module == room or (bool(room) and module.startswith(f"{room}."))


def test_no_circle_of_files() -> None:
    assert [" -> ".join(walk) for walk in circles(graph())] == []


def test_arrows_between_rooms_point_down() -> None:
    assert upward(ROOMS, "", EVERYBODY) == []


@pytest.mark.parametrize(
    ("table", "prefix"),
    [(MACHINES, "machine"), (MODEL, "machine.model"), (LIVE, "machine.live")],
    ids=["machine", "model", "live"],
)
def test_arrows_within_the_machines_point_down(table: Mapping[str, tuple[str, ...]], prefix: str) -> None:
    assert upward(table, prefix) == []


@pytest.mark.parametrize("table", [ROOMS, MACHINES, MODEL, LIVE], ids=["rooms", "machine", "model", "live"])
def test_the_tables_themselves_have_no_circle(table: Mapping[str, tuple[str, ...]]) -> None:
    assert circles(table) == []


def test_every_room_says_at_its_door_what_it_is() -> None:
    rooms = [path for path in modules().values() if path.name == "__init__.py" and path.parent != SOURCE / "recorded"]
    silent = [str(path.relative_to(SOURCE)) for path in rooms if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_only_who_loads_late_loads_by_name() -> None:
    users = [name for name, path in modules().items() if "import_module(" in path.read_text()]
    assert [name for name in users if not any(within(name, late) for late in LOADS_BY_NAME)] == []


def test_a_circle_under_type_checking_or_in_a_function_is_found() -> None:
    hidden = "if TYPE_CHECKING:\n    from rmaplab.trace import Trace\ndef f():\n    import rmaplab.judge.tally\n"
    assert list(imported(ast.parse(hidden))) == ["rmaplab.trace.Trace", "rmaplab.judge.tally"]
    assert circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == [["a", "b", "c", "a"]]
