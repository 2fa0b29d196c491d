"""What operations cost booted kernels, for people.

For `rmaplab kernel bench`.
"""

from collections.abc import Sequence

from rmaplab.kernels.bench import Compared
from rmaplab.report.console import table
from rmaplab.report.sheet import Sheet


def bench_table(compared: Sequence[Compared]) -> Sheet:
    """One row for each order, operation and scheme: instructions and locked ones, with their change against `off`."""
    rows = [
        (
            one.cost.order,
            one.cost.operation,
            one.cost.scheme or "as it is",
            one.cost.instructions,
            f"{(one.ratio_off - 1) * 100:+.2f} %" if one.ratio_off is not None else "",
            one.cost.locked,
            f"{one.cost.locked - one.locked_off:+d}" if one.locked_off is not None else "",
        )
        for one in sorted(compared, key=lambda one: (one.cost.order, _place(compared, one)))
    ]
    columns = ("order", "operation", "scheme", "instructions", "to off", "locked", "locked\nto off")
    kernels = ", ".join(dict.fromkeys(one.cost.kernel for one in compared))
    return table(f"{kernels}: instructions for 16 MiB", columns, rows)


def functions_table(compared: Sequence[Compared]) -> Sheet:
    """One row for each function in which more or fewer instructions are executed, or lock, than in the yardstick."""
    rows = [
        (one.cost.order, one.cost.operation, one.cost.scheme or "as it is", function, *_differences(one, function))
        for one in sorted(compared, key=lambda one: (one.cost.order, _place(compared, one)))
        for function in dict.fromkeys([*one.executed_more, *one.locked_more])
    ]
    columns = ("order", "operation", "scheme", "function", "to off", "locked\nto off")
    return table("where the instructions differ", columns, rows)


def _differences(one: Compared, function: str) -> tuple[str, str]:
    executed, locked = one.executed_more.get(function), one.locked_more.get(function)
    return "" if executed is None else f"{executed:+d}", "" if locked is None else f"{locked:+d}"


def text_lines(compared: Sequence[Compared]) -> list[str]:
    """Text of each kernel, in bytes, where it is known: the first, and how much more each other has."""
    sizes = {one.cost.kernel: one.cost.text_bytes for one in compared if one.cost.text_bytes is not None}
    if not sizes:
        return []
    (first, least), *others = sizes.items()
    return [f"text of {first}: {least} B", *(f"text of {name}: {size - least:+d} B" for name, size in others)]


def _place(compared: Sequence[Compared], one: Compared) -> tuple[int, int]:
    """Operations in the order they were done in, the schemes of each side by side."""
    names = list(dict.fromkeys(other.cost.operation for other in compared))
    return names.index(one.cost.operation), compared.index(one)
