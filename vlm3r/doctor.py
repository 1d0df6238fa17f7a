"""What this machine has of what VLM-3R needs, and for each thing missing or broken the command that mends it.

`python -m vlm3r.doctor` works even where the command line's own dependencies are missing.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from vlm3r.doctor_checks import GROUPS, Check, Machine, Status

MARKS: dict[Status, str] = {"ok": "ok", "absent": "-", "warning": "!", "error": "XX"}


@dataclass(frozen=True)
class DoctorReport:
    """All findings, in the order in which they are shown."""

    checks: tuple[Check, ...]

    @property
    def exit_status(self) -> int:
        """0 if everything that is required works, else 1."""
        return int(any(check.status == "error" for check in self.checks))

    def to_json(self) -> str:
        """The findings as a JSON object."""
        record = {"exit_status": self.exit_status, "checks": [asdict(check) for check in self.checks]}
        return json.dumps(record, indent=2)

    def named(self, name: str) -> Check:
        """The finding with this name."""
        return next(check for check in self.checks if check.name == name)


def collect(machine: Machine | None = None) -> DoctorReport:
    """All findings on this machine; a check that fails itself becomes a finding."""
    machine = machine or Machine()

    def guarded(group: tuple[str, Callable[[Machine], list[Check]]]) -> list[Check]:
        section, checks = group
        try:
            return checks(machine)
        except Exception as error:  # one broken package must not hide the findings on the others
            remedy = shlex.join([sys.executable, "-m", "pip", "install", "-e", str(machine.root)])
            return [Check(section, section, "error", f"could not be checked: {type(error).__name__}: {error}", remedy)]

    with ThreadPoolExecutor(3) as pool:
        found = [check for checks in pool.map(guarded, GROUPS) for check in checks]
    order = list(dict.fromkeys(section for section, _ in GROUPS))
    return DoctorReport(tuple(sorted(found, key=lambda check: order.index(check.section))))


def render(report: DoctorReport) -> str:
    """The findings as text, the remedies last."""
    lines: list[str] = []
    section = ""
    for check in report.checks:
        if check.section != section:
            section = check.section
            lines += ["", section] if lines else [section]
        lines.append(f"  {MARKS[check.status]:>2}  {check.name:<18} {check.value}")
    remedies = [check for check in report.checks if check.remedy and check.status in ("warning", "error")]
    if remedies:
        lines += ["", "To mend"]
    for check in remedies:
        lines += [f"  {MARKS[check.status]:>2}  {check.name}: {check.value}", f"        {check.remedy}"]
    optional = [check for check in report.checks if check.remedy and check.status == "absent"]
    if optional:
        lines += ["", "Optional"]
    lines += [f"   -  {check.name:<18} {check.remedy}" for check in optional]
    verdict = "Something required is broken; see above." if report.exit_status else "Everything required works."
    return "\n".join([*lines, "", verdict])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; the exit status says whether everything required works."""
    parser = argparse.ArgumentParser(prog="vlm3r doctor", description="Check this machine for what VLM-3R needs.")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options = parser.parse_args(arguments)
    report = collect()
    print(report.to_json() if options.json else render(report))
    return report.exit_status


if __name__ == "__main__":
    sys.exit(main())
