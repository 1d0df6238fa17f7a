"""Plans and comparisons as text and as plain JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vlm3r.training.plan.compare import ComparedQuantity
from vlm3r.training.plan.plan import HOUR, TERA, Plan, RunCosts

GIB = 2**30
LABELS = {
    "vision": "SigLIP",
    "geometry": "CUT3R, without heads",
    "fusion": "fusion",
    "projector": "projector",
    "language_forward": "language model, linear layers forward",
    "language_backward": "language model, linear layers backward",
    "adapters": "adapters, forward and backward",
    "attention": "attention, forward and backward",
    "output_layer": "logits at supervised places",
    "recomputed": "repeated by gradient checkpointing",
    "masked": "masked pairs, and scores that kernels repeat",
}
MEMORY_LABELS = {
    "frozen": "frozen weights",
    "trained": "trained weights, float32 and working copy",
    "gathered": "weights gathered by ZeRO-3",
    "gradients": "gradients and buckets",
    "optimiser": "the optimiser's averages",
    "activations": "kept activations",
    "working": "one block at work (estimate)",
    "logits": "logits",
    "video": "video tokens, fusion, projector",
    "context": "CUDA context and slack (assumed)",
}


def plan_text(plan: Plan, notes: Sequence[str] = ()) -> str:
    """The plan for people; `notes` say what it rests on, one a line."""
    lines = [*notes, *([""] if notes else [])]
    lines += _block("Parameters", _parameter_rows(plan), ("total", "trained"))
    lines += _block(*_flop_rows(plan))
    lines += _block(*_memory_rows(plan))
    lines += _block(
        "Questions a pack, at most",
        _pack_rows(plan),
        ("tokens", "TFLOP/question", "hours", "device-hours", "GiB", "saved"),
    )
    lines += _summary(plan)
    return "\n".join([*lines, *(f"warning: {text}" for text in plan.warnings)])


def comparison_text(quantities: Iterable[ComparedQuantity]) -> str:
    """Planned and measured side by side."""
    rows = [(q.name, (_short(q.planned), _short(q.measured), _times(q.ratio))) for q in quantities]
    return "\n".join(_block("Planned and measured", rows, ("planned", "measured", "ratio"))).rstrip()


def plan_record(plan: Plan) -> dict[str, Any]:
    """The plan as plain JSON values: FLOPs, bytes and seconds."""
    return {
        "parameters": {name: vars(part) for name, part in plan.parameters.items()},
        "data": vars(plan.counts) | {"frames": plan.frames, "passes": plan.passes, "steps": plan.steps},
        "device": {
            "name": plan.device.name,
            "count": plan.devices,
            "peak_tflops": plan.peak_tflops,
            "usable_bytes": plan.device.usable_bytes,
            "source": plan.device.source,
            "sharding": plan.sharding.name,
        },
        "assumed": vars(plan.utilisation) | {"mfu": plan.mfu},
        "run": _run_record(plan.run),
        "compared": [_run_record(run) for run in plan.compared],
        "store": {"bytes": plan.store_bytes, "seconds": plan.store_seconds, "used": sorted(plan.stored)},
        "warnings": list(plan.warnings),
    }


def _run_record(run: RunCosts) -> dict[str, Any]:
    return {
        "questions_per_pack": run.workload.questions_per_pack,
        "tokens_per_pack": run.workload.pack.tokens,
        "packs_per_pass": run.workload.packs,
        "questions": run.questions,
        "tokens": run.tokens,
        "flops": run.costs.parts() | {"total": run.costs.total, "useful": run.costs.useful},
        "flops_per_question": run.flops_per_question,
        "seconds": run.seconds,
        "memory": vars(run.memory) | {"total": run.memory.total},
    }


def _parameter_rows(plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    rows = [(name.replace("_", " "), (f"{p.total:,}", f"{p.trained:,}")) for name, p in plan.parameters.items()]
    sums = tuple(f"{sum(getattr(p, side) for p in plan.parameters.values()):,}" for side in ("total", "trained"))
    return [*rows, ("all", sums)]


def _flop_rows(plan: Plan) -> tuple[str, list[tuple[str, tuple[str, ...]]], tuple[str, ...]]:
    costs, questions = plan.run.costs, plan.run.questions
    rows = [
        (LABELS[name], (f"{value / questions / TERA:,.2f}", f"{value / 1e18:,.3f}"))
        for name, value in costs.parts().items()
        if value
    ]
    for label, value in (("all that is executed", costs.total), ("of which useful", costs.useful)):
        rows.append((label, (f"{value / questions / TERA:,.2f}", f"{value / 1e18:,.3f}")))
    return "FLOPs", rows, ("TFLOP/question", "EFLOP/run")


def _memory_rows(plan: Plan) -> tuple[str, list[tuple[str, tuple[str, ...]]], tuple[str, ...]]:
    memory = plan.run.memory
    rows = [(MEMORY_LABELS[name], (f"{value / GIB:.2f}",)) for name, value in vars(memory).items() if value]
    rows.append(("all", (f"{memory.total / GIB:.2f}",)))
    if plan.device.usable_bytes is not None:
        rows.append((f"usable on one {plan.device.name}", (f"{plan.device.usable_bytes / GIB:.2f}",)))
    return f"Memory of one device, {plan.sharding.name}", rows, ("GiB",)


def _pack_rows(plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    alone = next((run for run in plan.compared if run.workload.questions_per_pack == 1), None)
    rows = []
    for run in plan.compared:
        saved = _times(alone.seconds / run.seconds) if alone else ""
        hours = run.seconds / HOUR
        fits = plan.device.usable_bytes is None or run.memory.total <= plan.device.usable_bytes
        cells = (
            f"{run.workload.pack.tokens:,}",
            f"{run.flops_per_question / TERA:,.1f}",
            f"{hours:,.1f}",
            f"{hours * plan.devices:,.1f}",
            f"{run.memory.total / GIB:.1f}" + ("" if fits else "!"),
            saved,
        )
        rows.append((str(run.workload.questions_per_pack), cells))
    return rows


def _summary(plan: Plan) -> list[str]:
    use, run = plan.utilisation, plan.run
    hours = run.seconds / HOUR
    share = "one question" if run.workload.questions_per_pack == 1 else f"{run.workload.questions_per_pack} questions"
    lines = [
        f"{plan.counts.questions:,} questions about {plan.counts.videos:,} videos, passed over {plan.passes:.3g} times "
        f"in {plan.steps:,} steps, {share} a pack.",
        f"{hours:,.1f} hours on {plan.devices} x {plan.device.name} ({hours * plan.devices:,.1f} device-hours), start, "
        "saving and waiting for data left out.",
        f"Assumed: {use.dense:.0%} of the peak of {plan.peak_tflops:,.4g} TFLOP/s ({plan.device.source}), CUT3R "
        f"{use.recurrent:.0%}; that is an MFU of {plan.mfu:.1%}.",
    ]
    if plan.store_bytes:
        parts = " and ".join(sorted(plan.stored)) if plan.stored else "geometry; not used by this recipe"
        lines.append(
            f"Feature store ({parts}): {plan.store_bytes / 1e9:,.1f} GB, "
            f"{plan.store_seconds / HOUR:,.2f} hours to fill once."
        )
    return lines


def _block(title: str, rows: Sequence[tuple[str, Sequence[str]]], heads: Sequence[str]) -> list[str]:
    """A table: labels to the left, numbers to the right, and an empty line behind it."""
    first = max(len(title), *(len(label) for label, _ in rows))
    widths = [max(len(head), *(len(cells[i]) for _, cells in rows)) for i, head in enumerate(heads)]

    def line(label: str, cells: Sequence[str]) -> str:
        return label.ljust(first) + "".join("  " + cell.rjust(width) for cell, width in zip(cells, widths, strict=True))

    return [line(title, heads), *(line(label, cells) for label, cells in rows), ""]


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"
