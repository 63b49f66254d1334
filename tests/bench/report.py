"""What was measured, as a table and as JSON. A ratio is the median over the rounds of ours to theirs in the
same round, since what else runs on the machine changes from round to round; the numbers are medians too."""

import dataclasses
import json
import pathlib
import statistics

from scenarios import ROWS, Row


@dataclasses.dataclass
class Result:
    """The numbers of one row: by column, one a round; None where that round failed."""

    row: Row
    values: dict[str, list[float | None]]
    errors: list[str] = dataclasses.field(default_factory=list)

    def median(self, column: str) -> float | None:
        there = [value for value in self.values.get(column, []) if value is not None]
        return statistics.median(there) if there else None

    def ratio(self, ours: str, theirs: str) -> float | None:
        pairs = zip(self.values.get(ours, []), self.values.get(theirs, []))
        ratios = [a / b for a, b in pairs if a is not None and b]
        return statistics.median(ratios) if ratios else None

    def rival(self) -> str | None:
        """The peer that the row's bar is about."""
        if self.row.against != "best":
            return self.row.against
        measured = {peer: self.median(peer) for peer in self.row.peers()}
        known = [peer for peer, value in measured.items() if value is not None]
        return min(known, key=lambda peer: measured[peer], default=None)

    def verdict(self) -> str:
        rival = self.rival()
        ratio = self.ratio("sallyport", rival) if rival else None
        if ratio is None:
            return "failed"
        return f"{ratio:.2f} of {rival}, {'met' if ratio <= self.row.bar else 'MISSED'}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(results: list[Result], columns: list[str]) -> str:
    """Aligned text: medians, then Sallyport's ratio to every other column."""
    others = [column for column in columns if column != "sallyport"]
    lines = [["scenario", "unit", *columns, *(f"/{name}" for name in others), "bar", "verdict"]]
    for result in results:
        lines.append(
            [result.row.title, result.row.unit]
            + [_number(result.median(column)) for column in columns]
            + [_number(result.ratio("sallyport", other)) for other in others]
            + [f"{result.row.bar:.2f}", result.verdict()]
        )
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    left = {0, 1, len(widths) - 1}
    shown = [
        "  ".join(cell.ljust(width) if at in left else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths)))
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in shown)


def write_json(file: pathlib.Path, results: list[Result], columns: list[str], about: dict) -> None:
    rows = [
        {
            "row": result.row.name,
            "title": result.row.title,
            "unit": result.row.unit,
            "bar": result.row.bar,
            "rival": result.rival(),
            "values": result.values,
            "medians": {column: result.median(column) for column in columns},
            "ratios": {column: result.ratio("sallyport", column) for column in columns if column != "sallyport"},
            "errors": result.errors,
        }
        for result in results
    ]
    file.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


def names() -> str:
    return "\n".join(f"  {row.name:<14} {row.title}" for row in ROWS)
