"""Feature of the tool x kernel, as a Markdown table with its reasons below.

For `rmaplab kernel features` and docs/kernels.md.
"""

from collections.abc import Iterator, Mapping, Sequence

from rmaplab.trials.features import Feature


def matrix(found: Mapping[str, Sequence[Feature]]) -> Iterator[str]:
    """One row a feature, one column a kernel; a number leads to the reason why something is no more than it is."""
    reasons: dict[str, int] = {}
    yield f"| | {' | '.join(found)} |"
    yield f"|---|{'---|' * len(found)}"
    names = dict.fromkeys(feature.name for features in found.values() for feature in features)
    for name in names:
        cells = []
        for features in found.values():
            one = next((feature for feature in features if feature.name == name), None)
            cells.append("not tried" if one is None else _cell(one, reasons))
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    for reason, number in reasons.items():
        yield f"{number}. {reason}"


def _cell(feature: Feature, reasons: dict[str, int]) -> str:
    if not feature.why:
        return feature.state
    return f"{feature.state} [{reasons.setdefault(feature.why, len(reasons) + 1)}]"
