"""Decisions in words, as tables and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from blindsight.cli.output import Output, clean, size, table

if TYPE_CHECKING:
    from blindsight.core.types import Decision
    from blindsight.trusted.gallery import Gallery
    from blindsight.vision import FaceBox


class Wording:
    """How one gallery's decisions are told: what its scores are called, what a probe costs."""

    def __init__(self, gallery: Gallery) -> None:
        from blindsight.blind.engines import ENGINES

        identity = gallery.session.identity
        self.closer_is_larger = identity.encoding.larger_is_closer
        self.score = "similarity" if self.closer_is_larger else "distance"
        self._params = ENGINES[identity.scheme].params(identity.params)
        self._gallery = gallery

    @property
    def traffic(self) -> dict[str, int]:
        """Bytes of one probe, and of the answer to it."""
        blocks = len(self._gallery.session.states)
        return {"up": self._params.probe_bytes, "down": blocks * self._params.answer_bytes}

    def sent(self, probes: int) -> str:
        """Bytes of so many probes, and of the answers to them."""
        messages = -(-probes // self._params.batch)
        return f"{size(self.traffic['up'] * messages)} up, {size(self.traffic['down'] * messages)} down"

    def fields(self, decision: Decision) -> dict[str, Any]:
        """A decision for JSON; ``timings_ms`` are of the request that its probe travelled in."""
        return {
            "match": decision.match,
            "subject": decision.subject,
            "score": _rounded(decision.score),
            "threshold": decision.threshold,
            "metric": self.score,
            "candidates": [
                {"rank": one.rank, "subject": one.subject, "score": _rounded(one.score)}
                for one in decision.candidates
            ],
            "scheme": decision.scheme,
            "timings_ms": {stage: round(value, 3) for stage, value in decision.timings.items()},
            "bytes": self.traffic,
            "at": decision.at.isoformat(),
        }

    def verdict(self, decision: Decision) -> Text:
        """``MATCH  Ada`` or ``UNKNOWN``."""
        if decision.match:
            return Text.assemble(("MATCH", "bold green"), "  ", (clean(decision.subject or ""), "bold"))
        return Text("UNKNOWN  nobody who is enrolled", "bold yellow")

    def reason(self, score: float | None, threshold: float) -> str:
        """The score beside the threshold; nothing where the policy hides scores."""
        if score is None:
            return ""
        bound = "at least" if self.closer_is_larger else "at most"
        return f"{self.score} {score:.3f}, a match is {bound} {threshold:g}"

    def candidates(self, output: Output, decision: Decision) -> None:
        """The ranked candidates."""
        if not decision.candidates:
            output.show("The gallery is empty.", "yellow")
            return
        scores = decision.score is not None
        columns = ("rank", "subject", self.score) if scores else ("rank", "subject")
        shown = table(*columns, right=("rank", self.score))
        for one in decision.candidates:
            style = "green" if decision.match and one.rank == 1 else ""
            row = [str(one.rank), clean(one.subject)]
            shown.add_row(*row, *([f"{one.score:.3f}"] if one.score is not None else []), style=style)
        output.show(shown)

    def cost(self, output: Output, decision: Decision, probes: int = 1) -> None:
        """Bytes and milliseconds of a request."""
        timings = decision.timings
        output.show(
            f"{self.sent(probes)}; the matcher computed "
            f"{timings.get('server', 0):.1f} ms, all of it took {timings.get('total', 0):.1f} ms.",
            "dim",
        )


def box_fields(box: FaceBox) -> dict[str, int]:
    """Where a face is, in pixels of the upright photo."""
    return {"left": box.left, "top": box.top, "right": box.right, "bottom": box.bottom}


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 6)
