"""The judge: replays a trace through schemes and holds every answer against the truth.

For `rmaplab run` and for studies. Each scheme is judged by the question it answers (its `predicate`).
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.engine import Plan, Sharers, price, replay, sharers
from rmaplab.judge.results import SHOWN, Copies, Judgement, SchemeJudgement, Tally, WrongCase
from rmaplab.schemes import Predicate, Scheme, Verdicts, responsible
from rmaplab.trace import Trace, Verdict


def judge(source: Trace | Plan, schemes: Iterable[Scheme]) -> Judgement:
    """Judge `schemes` on a valid trace. Raises IdRangeError where a scheme cannot hold the trace's IDs."""
    plan = source if isinstance(source, Plan) else Plan.of(source)
    known = sharers(plan)
    return Judgement(
        schemes={scheme.name: _judge_one(plan, known, scheme) for scheme in schemes},
        avoidable_copies=_copies(plan.trace, known, None),
    )


def avoidable_copies(source: Trace | Plan) -> Copies:
    """What a precise answer would have saved the kernel that ran; see `Copies`. Splits are no copies."""
    plan = source if isinstance(source, Plan) else Plan.of(source)
    return _copies(plan.trace, sharers(plan), None)


def _judge_one(plan: Plan, known: Sharers, scheme: Scheme) -> SchemeJudgement:
    verdicts = replay(plan, scheme)
    true = _true_verdicts(plan.trace, known, scheme)
    return SchemeJudgement(
        name=scheme.name,
        predicate=scheme.predicate,
        by=_tallies(plan.trace, verdicts, true),
        wrong=_wrong_cases(plan, verdicts, true),
        price=price(plan.trace, scheme),
        saved=_copies(plan.trace, known, verdicts),
        observed="questions" not in plan.trace.meta.unobserved,
    )


def _true_verdicts(trace: Trace, known: Sharers, scheme: Scheme) -> Verdicts:
    """The truth by the predicate of whoever answers: on small folios that is the mapcount's, any-owner."""
    true = known.verdicts(scheme.predicate)
    answering = responsible(scheme, 0)
    if answering is not None and answering is not scheme:
        small = (trace.folios["order"].gather(trace.questions["folio"]) == 0).to_numpy()
        true[small] = known.verdicts(answering.predicate)[small]
    return true


def _tallies(trace: Trace, verdicts: Verdicts, true: Verdicts) -> dict[tuple[int, str], Tally]:
    counts = (
        pl.DataFrame(
            {
                "order": trace.folios["order"].gather(trace.questions["folio"]),
                "what": trace.questions["what"],
                "false_exclusive": (verdicts == Verdict.EXCLUSIVE) & (true == Verdict.SHARED),
                "false_shared": (verdicts == Verdict.SHARED) & (true == Verdict.EXCLUSIVE),
                "unknown": verdicts == Verdict.UNKNOWN,
            }
        )
        .group_by("order", "what")
        .agg(pl.len(), pl.col("false_exclusive", "false_shared", "unknown").sum())
        .sort("order", "what")
    )
    return {(order, what): Tally(*numbers) for order, what, *numbers in counts.iter_rows()}


def _wrong_cases(plan: Plan, verdicts: Verdicts, true: Verdicts) -> tuple[WrongCase, ...]:
    wrong = np.flatnonzero((verdicts != true) & (verdicts != Verdict.UNKNOWN))
    worst_first = wrong[np.argsort(true[wrong] == Verdict.EXCLUSIVE, kind="stable")][:SHOWN]
    cases = []
    for row in worst_first.tolist():
        question = plan.trace.questions.row(row, named=True)
        cases.append(
            WrongCase(
                row=row,
                step=question["step"],
                folio=question["folio"],
                order=plan.trace.folios["order"][question["folio"]],
                what=question["what"],
                asker=question["mm"],
                mappings=_mappings(plan, row),
                verdict=Verdict(verdicts[row]),
                truth=Verdict(true[row]),
            )
        )
    return tuple(cases)


def _mappings(plan: Plan, row: int) -> dict[int, int]:
    """Who maps the folio when question `row` is asked, by rmap ID."""
    at = int(np.flatnonzero(plan.question_rows == row)[0])
    events = slice(int(plan.starts[plan.question_rank[at]]), int(plan.question_end[at]))
    counts: Counter[int] = Counter()
    for mm, nr in zip(plan.mm[events].tolist(), plan.nr[events].tolist(), strict=True):
        counts[mm] += nr
    return {mm: count for mm, count in sorted(counts.items()) if count}


def _copies(trace: Trace, known: Sharers, verdicts: Verdicts | None) -> Copies:
    """Copied pages that hung on a true EXCLUSIVE; with `verdicts`, only where these said so."""
    if {"questions", "outcomes"} & set(trace.meta.unobserved):
        return Copies(None, None, None)
    questions = trace.questions
    anonymous = (trace.folios["kind"].gather(questions["folio"]) == "anon").to_numpy()
    copied = (questions["outcome"] == "copied").fill_null(False).to_numpy()
    alone = (known.mms == 1) & (known.verdicts(Predicate.BY_CALLER) == Verdict.EXCLUSIVE)
    avoidable: NDArray[np.bool_] = anonymous & copied & alone
    if verdicts is not None:
        avoidable &= verdicts == Verdict.EXCLUSIVE
    pages = questions["pages"].to_numpy().astype(np.int64)
    free = (questions["extra_refs"] == 0).fill_null(False).to_numpy()
    untold = questions["extra_refs"].is_null().to_numpy()
    certain = int(pages[avoidable & free].sum())
    return Copies(certain, certain * trace.meta.page_size, int(pages[avoidable & untold].sum()))
