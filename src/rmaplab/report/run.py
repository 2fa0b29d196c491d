"""What happened in a run, what the kernel did, and how every scheme would have answered.

For `rmaplab run` and `rmaplab demo`. From a trace, or what happened in one, and its judgement; computes nothing a judge
should.
"""

from dataclasses import replace
from typing import Any, Final

from rmaplab.judge import Happened, Judgement, SchemeJudgement
from rmaplab.machine.model.policy import UNSEEN, kernels
from rmaplab.report.console import table
from rmaplab.report.sheet import Sheet
from rmaplab.trace import Meta, Trace

_WORDS: Final = ("right", "imprecise", "UNSOUND", "not asked")
"""What a run shows of a scheme; one run proves none of them right."""


_UNSEEN: Final = {
    "questions": "the system's own questions (COW faults)",
    "outcomes": "what the kernel did",
    "write_seconds": "how long writing took",
}


def run_json(source: Trace | Happened, judgement: Judgement) -> dict[str, Any]:
    """The object `rmaplab run --json` prints: scenario, source, kernel, avoidable_copies, schemes, and what happened."""
    judged, trace = judgement.to_dict(), Happened.of(source)
    return {
        "scenario": trace.meta.scenario,
        "source": trace.meta.source,
        "exactness": trace.meta.exactness,
        "why": trace.meta.why,
        "unobserved": list(trace.meta.unobserved),
        "names": {str(mm): name for mm, name in trace.meta.names.items()},
        "happened": _happened(trace),
        "kernel": kernel_answers(trace),
        "avoidable_copies": judged["avoidable_copies"],
        "schemes": judged["schemes"],
    }


def kernel_answers(source: Trace | Happened) -> dict[str, Any]:
    """Release, pages its COW faults reused and copied, and seconds the program's writes took (null if unknown)."""
    happened = Happened.of(source)
    seen = happened.sees("questions", "outcomes")
    return {
        "release": happened.meta.kernel,
        "standing": standing(happened.meta),
        "reused_pages": happened.pages.get("reused", 0) if seen else None,
        "copied_pages": happened.pages.get("copied", 0) if seen else None,
        "write_seconds": happened.meta.stats.get("write_seconds"),
    }


def standing(meta: Meta) -> str:
    """Whether this kernel is one that ran: itself, or for a model whether one was seen to behave so."""
    if meta.source != "model":
        return "it ran"
    return kernels[meta.kernel].standing if meta.kernel in kernels else UNSEEN


def run_tables(source: Trace | Happened, judgement: Judgement) -> list[Sheet]:
    """What `rmaplab run` shows: what happened, the schemes, and the first wrong cases of each."""
    trace = Happened.of(source)
    return [_summary(trace, judgement), _schemes(judgement), *_by_kind(judgement), *_wrong(trace, judgement)]


def conclusion(source: Trace | Happened, judgement: Judgement) -> str:
    """The run in a few lines: what the kernel did for nothing, and which schemes would have known."""
    trace = Happened.of(source)
    avoidable = judgement.avoidable_copies
    copied = kernel_answers(trace)["copied_pages"]
    if copied is None or avoidable.bytes is None:
        did = f"What the kernel copied is unknown: {_unseen(trace)}."
    elif not copied:
        did = "The kernel copied nothing: every write went to the page that was there."
    elif not avoidable.pages:
        did = f"The kernel copied {copied} pages, every one with a reason: somebody else mapped or held it."
    else:
        did = (
            f"The kernel copied {copied} pages; {avoidable.pages} of them ({size(avoidable.bytes)}) although one "
            "process alone mapped them and nobody else held a reference."
        )
    names = {word: [n for n, one in judgement.schemes.items() if _word(one) == word] for word in _WORDS}
    return "\n".join([did, *(f"  {word} here: {', '.join(found)}" for word, found in names.items() if found)])


def size(count: int | None) -> str:
    """Bytes for people: 8 MiB, 4 KiB, 17 B."""
    if count is None:
        return "unknown"
    for unit, bits in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << bits:
            return f"{count / (1 << bits):.4g} {unit}"
    return f"{count} B"


def counted(count: int | None) -> str:
    """A number, or that nobody saw it."""
    return "unknown" if count is None else str(count)


def _unseen(trace: Happened) -> str:
    return "the recorder did not see " + ", ".join(_UNSEEN[what] for what in trace.meta.unobserved)


def _name(trace: Happened, mm: int) -> str:
    """MM 3, or MM 3 (redis-server)."""
    return f"MM {mm} ({trace.meta.names[mm]})" if mm in trace.meta.names else f"MM {mm}"


def _happened(trace: Happened) -> dict[str, Any]:
    seen = trace.sees("questions")
    return {
        "mms": len(trace.mms),
        "folios": sum(trace.folios.values()),
        "folios_by_order": {str(order): count for order, count in trace.folios.items()},
        "events": trace.events,
        "questions": trace.questions or (0 if seen else None),
        "cow_faults": trace.cow_faults if seen else None,
        "forks": trace.meta.stats.get("forks"),
    }


def _summary(trace: Happened, judgement: Judgement) -> Sheet:
    happened, kernel = _happened(trace), kernel_answers(trace)
    by_order = ", ".join(f"{count} of order {order}" for order, count in happened["folios_by_order"].items())
    forks = "?" if happened["forks"] is None else f"{happened['forks']:.0f}"
    seconds = kernel["write_seconds"]
    avoidable = judgement.avoidable_copies
    own = "" if happened["cow_faults"] is not None or not happened["questions"] else " of statistics"
    saved = f"would have saved {counted(avoidable.pages)} copies ({size(avoidable.bytes)})"
    if avoidable.pages is None:
        saved = "would have saved: unknown"
    rows = [
        ("what happened", f"{happened['mms']} MMs, {forks} forks, {happened['folios']} folios ({by_order})"),
        (
            "",
            f"{happened['events']} rmap updates, {counted(happened['questions'])} questions{own}, "
            f"{counted(happened['cow_faults'])} COW faults",
        ),
        ("the kernel", f"{kernel['release']} ({_source(trace.meta)}, {trace.meta.exactness})"),
        ("  reused", _pages(kernel["reused_pages"], trace)),
        ("  copied", _pages(kernel["copied_pages"], trace)),
        ("  writing took", "unknown" if seconds is None else f"{seconds * 1e3:.1f} ms"),
        ("a precise answer", saved),
    ]
    if trace.meta.unobserved:
        rows.append(("unknown", _unseen(trace)))
    if trace.meta.exactness == "unknown":
        rows.append(("", trace.meta.why))
    if avoidable.unknown_pages:
        rows.append(("", f"and perhaps {avoidable.unknown_pages} more, whose other references are unknown"))
    made = table(f"{trace.meta.scenario or 'trace'}", ("", ""), rows, left=2)
    return replace(made, headings=False)


def _source(meta: Meta) -> str:
    return f"{meta.source}: {standing(meta)}" if meta.source == "model" else meta.source


def _pages(count: int | None, trace: Happened) -> str:
    return "unknown" if count is None else f"{count} pages ({size(count * trace.meta.page_size)})"


def _schemes(judgement: Judgement) -> Sheet:
    columns = (
        "scheme",
        "here",
        "asked",
        "false\nexcl.",
        "false\nshared",
        "un-\nknown",
        "copies\nsaved",
        "bytes\na folio",
        "RMWs an\nupdate",
    )
    rows = [
        (
            name,
            _word(one),
            *_counts(one),
            counted(one.saved.pages),
            "-" if one.price.max_bytes is None else one.price.max_bytes,
            "-" if one.price.rmw_per_event is None else f"{one.price.rmw_per_event:.1f}",
        )
        for name, one in judgement.schemes.items()
    ]
    return table("what each scheme would have answered", columns, rows, left=2)


def _counts(one: SchemeJudgement) -> tuple[object, ...]:
    total = one.total
    if not total.questions and not one.observed:
        return ("unknown",) * 4
    return total.questions, total.false_exclusive, total.false_shared, total.unknown


def _word(one: SchemeJudgement) -> str:
    right, imprecise, unsound, silent = _WORDS
    if not one.total.questions:
        return silent
    if not one.total.sound:
        return unsound
    return right if one.total.precise else imprecise


def _by_kind(judgement: Judgement) -> list[Sheet]:
    """Where the wrong answers are, by order and kind of question; nothing if there is only one kind of both."""
    kinds = {kind for one in judgement.schemes.values() for kind in one.by}
    rows = [
        (name, order, what, tally.questions, tally.false_exclusive, tally.false_shared, tally.unknown)
        for name, one in judgement.schemes.items()
        for (order, what), tally in one.by.items()
        if not (tally.sound and tally.precise)
    ]
    if len(kinds) < 2 or not rows:
        return []
    columns = ("scheme", "order", "question", "asked", "false\nexcl.", "false\nshared", "un-\nknown")
    return [table("wrong answers by order and question", columns, rows)]


def _wrong(trace: Happened, judgement: Judgement) -> list[Sheet]:
    rows = [
        (
            name,
            f"{_name(trace, case.asker)}: {case.what}"
            if case.asker in trace.meta.names
            else f"MM {case.asker} ({case.what})",
            f"{case.folio} (order {case.order})",
            case.step,
            ", ".join(f"{_name(trace, mm)}: {count}" for mm, count in case.mappings.items()),
            case.verdict.name,
            case.truth.name,
        )
        for name, one in judgement.schemes.items()
        for case in one.wrong[:2]
    ]
    if not rows:
        return []
    columns = ("scheme", "asked by", "folio", "step", "who maps it (pages)", "verdict", "truth")
    return [table("first wrong answers", columns, rows, left=7)]
