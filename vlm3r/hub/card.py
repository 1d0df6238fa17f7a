"""The model card: what a checkpoint is, where it comes from, how good it is, and how to load it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from vlm3r.hub.listing import HISTORY, RECIPE
from vlm3r.hub.records import DataRecord, Records, Report, Score
from vlm3r.hub.terms import Geometry, licence_notes

LIBRARY = "vlm3r"
TASK = "video-text-to-text"
TAGS = ("vlm-3r", "video", "spatial-reasoning", "3d", "vision-language-model")
FACTS = {"git": "commit of the code", "steps": "steps", "device": "device", "precision": "arithmetic"}
MEASURED = {"questions": "questions seen", "final_loss": "last loss", "skipped": "clips or rows skipped"}
"""Fields of the run's record, and of what it measured, with their names on the card."""

NO_MEASURE = "None measured: no report came with this checkpoint, so nothing is known of its quality."


@dataclass(frozen=True)
class CardFacts:
    """Everything that the card states."""

    repo: str
    """Repository, `owner/name`."""
    base: str | None
    """Base model; None where nobody said."""
    base_on_hub: bool
    """Whether `base` is a hub id."""
    licence: str
    """Licence identifier of the hub."""
    datasets: tuple[str, ...]
    """Hub ids of training data."""
    records: Records
    """What the run says about itself, cleared of local paths."""
    whole: bool
    """Whether the complete model is uploaded."""
    adapted: bool
    """Whether there is an adapter apart."""
    weights: int
    """Number of uploaded weights: of the complete model, or of adapter, fusion and projector."""
    geometry: Geometry
    """Kind of geometry encoder."""
    untrained: bool
    """Whether the weights are a filling without meaning."""


def model_card(facts: CardFacts) -> str:
    """The text of `README.md`; the same facts give the same bytes."""
    sections = [
        f"# {facts.repo.rpartition('/')[2]}",
        *_purpose(facts),
        "## How to load it",
        *_loading(facts),
        "## Base model and training data",
        *_origin(facts),
        "## Training recipe",
        *_recipe(facts.records),
        "## Scores",
        *_scores(facts.records.report()),
        "## Licence",
        f"`{facts.licence}`.",
        "\n".join(f"- {note}" for note in licence_notes(facts.geometry, facts.whole)),
    ]
    data = ModelCardData(
        license=facts.licence,
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=[*TAGS, *(["lora"] if facts.adapted else [])],
        base_model=facts.base if facts.base_on_hub else None,
        datasets=list(facts.datasets) or None,
    )
    text = f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"
    return ModelCard(text).content.rstrip("\n") + "\n"


def _purpose(facts: CardFacts) -> Iterator[str]:
    held = "the complete model" if facts.whole else "a LoRA adapter with fusion block and projector"
    yield (
        f"A VLM-3R checkpoint, {held} ({_count(facts.weights)} weights): it answers questions about the space seen in "
        "a plain video, such as directions, distances, sizes, counts and routes."
    )
    if facts.geometry == "none":
        yield "It has no geometry encoder: it sees the frames only."
    else:
        yield "Geometry tokens of a CUT3R encoder are fused with the visual tokens, so that no depth sensor is needed."
    if facts.untrained:
        yield "**It is untrained: its weights are a filling, and its answers mean nothing.**"
    yield (
        "It is no measuring instrument: distances and sizes are estimates, and it answers in the same tone when it is "
        "wrong. It was not examined for navigation, safety or any use in which a wrong answer does harm, nor on videos "
        "unlike those named below."
    )


def _loading(facts: CardFacts) -> Iterator[str]:
    base = facts.base if facts.base_on_hub else "BASE_FOLDER"
    python = f'vlm3r.load("{facts.repo}")' if facts.whole else f'vlm3r.load("{facts.repo}", base="{base}")'
    option = "" if facts.whole else f" --base {base}"
    yield f"```python\nimport vlm3r\n\nmodel, processor = {python}\n```"
    yield (
        f"```bash\nvlm3r ask --model {facts.repo}{option} --video room.mp4 "
        '--question "How many chairs are in this room?"\n```'
    )
    if not facts.whole and not facts.base_on_hub:
        yield f"`BASE_FOLDER` is the base model, {_code(facts.base)}, which is not named by an address on the hub."
    if not facts.whole and facts.geometry != "none":
        yield "CUT3R's weights are looked for where the published code keeps them, or where `--geometry` says."
    if facts.whole and facts.adapted:
        yield (
            "`lora/` holds adapter, fusion and projector once more, in the layout of published VLM-3R repositories. "
            "Where there is an `adapter/`, loading adds it to the weights; `merge_lora=False` keeps it apart."
        )


def _origin(facts: CardFacts) -> Iterator[str]:
    run = facts.records.run
    lines = [f"- Base model: {_code(facts.base)}"]
    lines += [f"- SHA-256 of the base's weights, {_cell(k)}: {_code(str(v))}" for k, v in _fields(run, "base")]
    if facts.datasets:
        lines.append(f"- Data sets: {', '.join(map(_code, facts.datasets))}")
    yield "\n".join(lines)
    data = facts.records.data()
    if data:
        yield _table(("training data", "questions", "SHA-256"), [_data_cells(entry) for entry in data])
    else:
        yield "The run recorded no training data."


def _fields(values: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """The entries of the mapping that a record holds under a name, if it is one."""
    held = values.get(name)
    if isinstance(held, Mapping):
        yield from held.items()


def _data_cells(entry: DataRecord) -> tuple[str, str, str]:
    questions = "not recorded" if entry.questions is None else f"{entry.questions:,}"
    return _cell(entry.name), questions, _code(entry.sha256)


def _recipe(records: Records) -> Iterator[str]:
    run = records.run
    lines = [f"- {title}: {_cell(run[key])}" for key, title in FACTS.items() if run.get(key) is not None]
    measured = dict(_fields(run, "measured"))
    lines += [f"- {title}: {_cell(measured[key])}" for key, title in MEASURED.items() if measured.get(key) is not None]
    if versions := ", ".join(f"{_cell(name)} {_cell(number)}" for name, number in _fields(run, "versions")):
        lines.append(f"- versions: {versions}")
    if lines:
        yield "\n".join(lines)
    if not records.recipe:
        yield "No recipe came with this checkpoint."
        return
    yield _table(("setting", "value"), [(_code(key), _cell(value)) for key, value in _flat(records.recipe)])
    history = f"; the course of the run is in `{HISTORY}`" if HISTORY in records.files else ""
    yield f"The file itself is `{RECIPE}`{history}."


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield from _flat({str(index): item for index, item in enumerate(value)}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _scores(report: Report | None) -> Iterator[str]:
    if report is None:
        yield NO_MEASURE
        return
    yield f"Benchmark: {_cell(report.benchmark)}. Protocol: {_cell(report.protocol)}."
    yield _table(("task", "score", "95 % interval", "chance"), [_score_cells(row) for row in report.rows])


def _score_cells(row: Score) -> tuple[str, str, str, str]:
    whole = row.low is not None and row.high is not None
    interval = f"{row.low:.4g} to {row.high:.4g}" if whole else "not given"
    return _cell(row.task), f"{row.score:.4g}", interval, "not given" if row.chance is None else f"{row.chance:.4g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(value: Any) -> str:
    """A value as text that cannot break out of a table or become a link, a picture or HTML."""
    if isinstance(value, float):
        value = f"{value:.4g}"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = "not set" if value is None else " ".join(text.split())
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark])
    return text


def _code(value: str | None) -> str:
    return "not recorded" if not value else f"`{' '.join(value.replace('`', '').replace('|', '').split())}`"


def _count(number: int) -> str:
    return f"{number / 1e6:.3g} million" if number < 1e9 else f"{number / 1e9:.3g} billion"
