"""What the face returns: results of the rooms with their data, that print as the command line shows them.

Each has `to_dict` (what `--json` prints), `to_polars` (tidy rows, one per observation) and `plot` (an Altair chart; needs
the extra `plot`). Immutable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import polars as pl

from rmaplab import extras
from rmaplab.judge import Judgement
from rmaplab.report.console import table
from rmaplab.report.html_table import Part, html, text
from rmaplab.report.kernels import kernels_table
from rmaplab.report.run import conclusion, kernel_answers, run_json, run_tables
from rmaplab.text import plain
from rmaplab.trace import Trace

if TYPE_CHECKING:  # rooms that cost time or an extra to load; only their types are needed here
    import altair as alt

    from rmaplab.bench.operations import Row
    from rmaplab.inspect.look import Look
    from rmaplab.inspect.views import By
    from rmaplab.machine.differential.sidebyside import Said, Stage
    from rmaplab.verify.refute.problem import Finding, Witness


class _Shown:
    """Shows `_parts()` as text and as HTML."""

    def _parts(self) -> Sequence[Part]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return text(*self._parts())

    def _repr_html_(self) -> str:
        return html(*self._parts())


@dataclass(frozen=True, repr=False)
class Run(_Shown):
    """A trace and how the schemes answered its questions."""

    trace: Trace
    judgement: Judgement

    @property
    def conclusion(self) -> str:
        """What the kernel did for nothing, and which schemes would have known: a few lines."""
        return conclusion(self.trace, self.judgement)

    def to_dict(self) -> dict[str, Any]:
        """The object `rmaplab run --json` prints."""
        return run_json(self.trace, self.judgement)

    def to_polars(self) -> pl.DataFrame:
        """One row per scheme, order and kind of question: counts (UInt32), and the scheme's price."""
        rows = [
            {
                "scheme": name,
                "order": order,
                "what": what,
                "questions": tally.questions,
                "false_exclusive": tally.false_exclusive,
                "false_shared": tally.false_shared,
                "unknown": tally.unknown,
                "bytes": one.price.max_bytes,
                "rmw_per_event": one.price.rmw_per_event,
            }
            for name, one in self.judgement.schemes.items()
            for (order, what), tally in one.by.items()
        ]
        counts = dict.fromkeys(("questions", "false_exclusive", "false_shared", "unknown", "bytes"), pl.UInt32)
        types = {"scheme": pl.String, "order": pl.UInt8, "what": pl.String, **counts, "rmw_per_event": pl.Float64}
        return pl.DataFrame(rows, schema=types)

    def plot(self) -> "alt.Chart":
        """What each scheme answered, right and wrong, as bars."""
        chart: alt.Chart = extras.charts().answers(self.to_polars())
        return chart

    def _parts(self) -> Sequence[Part]:
        return [*run_tables(self.trace, self.judgement), self.conclusion]


@dataclass(frozen=True, repr=False)
class Comparison(_Shown):
    """One scenario under the rules of several kernels, by the kernel's name."""

    runs: Mapping[str, Run]

    def __getitem__(self, kernel: str) -> Run:
        return self.runs[kernel]

    def to_dict(self) -> dict[str, Any]:
        """The object `rmaplab run --kernel A,B --json` prints."""
        return {"kernels": [run.to_dict() for run in self.runs.values()]}

    def to_polars(self) -> pl.DataFrame:
        """One row per kernel: pages reused, copied, and copied for nothing (Int64, null where nobody saw it)."""
        rows = []
        for kernel, run in self.runs.items():
            answers = kernel_answers(run.trace)
            needless = run.judgement.avoidable_copies.pages
            rows.append((kernel, answers["reused_pages"], answers["copied_pages"], needless))
        names = dict.fromkeys(("reused", "copied", "for_nothing"), pl.Int64)
        return pl.DataFrame(rows, schema={"kernel": pl.String, **names}, orient="row")

    def plot(self) -> "alt.Chart":
        """Pages each kernel copied, with reason and for nothing, as bars."""
        chart: alt.Chart = extras.charts().kernels(self.to_polars())
        return chart

    def _parts(self) -> Sequence[Part]:
        return [kernels_table([(run.trace, run.judgement) for run in self.runs.values()])]


@dataclass(frozen=True, repr=False)
class StepComparison(_Shown):
    """One program under the rules of several kernels, step by step."""

    kernels: tuple[str, ...]
    stages: "Sequence[Stage]"

    @property
    def parts_at(self) -> int | None:
        """The first step, counted from 0, at which some kernel answers otherwise than the first, or shows another world;
        None if all agree."""
        parts = (at for at, stage in enumerate(self.stages) if any(_differs(stage, i) for i in range(len(self.kernels))))
        return next(parts, None)

    def to_dict(self) -> dict[str, Any]:
        """`kernels`, and of every step what was done and what each kernel said."""
        rows = self.to_polars().to_dicts()
        return {"kernels": list(self.kernels), "parts_at": self.parts_at, "steps": rows}

    def to_polars(self) -> pl.DataFrame:
        """One row per step and kernel: step from 0, what was done, the answer, and the first thing in which this kernel's
        world differs from the first one's (String, "" where nothing does)."""
        rows = [
            (at, stage.step.advice or stage.step.do, kernel, _answer(said), said.differs)
            for at, stage in enumerate(self.stages)
            for kernel, said in zip(self.kernels, stage.said, strict=True)
        ]
        names = ("do", "kernel", "answer", "differs")
        return pl.DataFrame(rows, schema={"step": pl.Int64, **dict.fromkeys(names, pl.String)}, orient="row")

    def _parts(self) -> Sequence[Part]:
        rows = [
            (f"{at}", stage.step.advice or stage.step.do, *(_cell(stage, i) for i in range(len(self.kernels))))
            for at, stage in enumerate(self.stages)
        ]
        told = next((said.differs for stage in self.stages for said in stage.said if said.differs), "")
        sheet = table("step by step", ("step", "operation", *self.kernels), rows, left=2 + len(self.kernels))
        return [sheet, f"first difference: {told}"] if told else [sheet]


def _differs(stage: "Stage", kernel: int) -> bool:
    first, said = stage.said[0], stage.said[kernel]
    return bool(said.differs) or _answer(first) != _answer(said)


def _answer(said: "Said") -> str:
    value = said.answer.value
    return "refused" if said.answer.refused else "" if value is None else str(value)


def _cell(stage: "Stage", kernel: int) -> str:
    said = stage.said[kernel]
    return f"{_answer(said):.20}{' (another world)' if said.differs else ''}".strip() or "done"


@dataclass(frozen=True, repr=False)
class Inspection(_Shown):
    """A running system's memory at one moment. `rows` are those of `rmaplab inspect --json`, sizes in bytes."""

    look: "Look"
    by: "By"
    rows: Sequence[Mapping[str, Any]]

    @property
    def exactness(self) -> str:
        """exact, or estimate; `look.exactness` says why."""
        return self.look.exactness.label

    def to_dict(self) -> dict[str, Any]:
        """The object `rmaplab inspect --json` prints."""
        return {**self.look.head(), "by": self.by, "rows": [dict(row) for row in self.rows]}

    def to_polars(self) -> pl.DataFrame:
        """The rows; names as valid Unicode (`rmaplab.text.for_json`)."""
        return pl.DataFrame(plain(list(self.rows)), infer_schema_length=None)

    def plot(self) -> "alt.Chart":
        """Exclusive and shared bytes of the largest rows, as bars."""
        chart: alt.Chart = extras.charts().memory(self.to_polars(), self.by)
        return chart

    def _parts(self) -> Sequence[Part]:
        shown = import_module("rmaplab.report.inspect_table")
        most = shown.DEFAULT_TOP
        page = shown.page(self.look, list(self.rows[:most]), max(0, len(self.rows) - most), self.by)
        return list(page.renderables)


@dataclass(frozen=True, repr=False)
class Refutation(_Shown):
    """What the refuter decided of one configuration."""

    finding: "Finding"

    @property
    def verdict(self) -> str:
        """sound, refuted or undecided."""
        return self.finding.decision.value

    @property
    def witness(self) -> "Witness | None":
        """Who asks and who maps, if refuted."""
        return self.finding.witness

    def to_dict(self) -> dict[str, Any]:
        """The row of `rmaplab refute --json`."""
        return self.finding.row()

    def to_polars(self) -> pl.DataFrame:
        """The witness, one row per MM that maps: `mm`, `pages` (UInt32). Empty if there is none."""
        rows = list(self.witness.mappings.items()) if self.witness else []
        return pl.DataFrame(rows, schema={"mm": pl.UInt32, "pages": pl.UInt32}, orient="row")

    def plot(self) -> "alt.Chart":
        """The pages each MM of the witness maps, as bars."""
        chart: alt.Chart = extras.charts().witness(self.finding)
        return chart

    def _parts(self) -> Sequence[Part]:
        report = import_module("rmaplab.report.refute")
        return [report.findings_table([self.finding]), *report.in_words(self.finding)]


@dataclass(frozen=True, repr=False)
class Prices(_Shown):
    """What operations on folios of `order` cost on this machine, as ratios to `mm-id` within one interleaved run."""

    rows: Sequence["Row"]
    order: int

    def to_dict(self) -> dict[str, Any]:
        """`results` as in `rmaplab bench --json`."""
        return {"order": self.order, "results": [row.as_json() for row in self.rows]}

    def to_polars(self) -> pl.DataFrame:
        """One row per configuration, without the single runs."""
        rows = [{k: v for k, v in row.as_json().items() if k != "runs_ns"} for row in self.rows]
        return pl.DataFrame(rows, infer_schema_length=None)

    def plot(self) -> "alt.VConcatChart":
        """Ratios to `mm-id` with their spread, a bar per scheme."""
        chart: alt.VConcatChart = extras.charts().prices(self.rows)
        return chart

    def _parts(self) -> Sequence[Part]:
        return [import_module("rmaplab.report.bench").price_table(self.rows, self.order)]
