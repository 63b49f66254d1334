"""Prometheus text, to be asked by name and labels."""

import re

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: \d+)?$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:\\.|[^"\\])*)"')
_ESCAPE = re.compile(r"\\(.)")


class Metrics:
    def __init__(self, text: str):
        self.text = text
        self.all: dict[str, list[tuple[dict, float]]] = {}
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            match = _SAMPLE.match(line)
            assert match, f"not a metric: {line}"
            name, labels, value = match.groups()
            pairs = {
                key: _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], text)
                for key, text in _LABEL.findall(labels or "")
            }
            self.all.setdefault(name, []).append((pairs, float(value)))

    def samples(self, name: str, **labels) -> list[tuple[dict, float]]:
        wanted = labels.items()
        return [(have, value) for have, value in self.all.get(name, []) if wanted <= have.items()]

    def value(self, name: str, **labels) -> float:
        """The sum over all samples that have these labels; 0 if there is none."""
        return sum(value for _, value in self.samples(name, **labels))
