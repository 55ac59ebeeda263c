"""Cost of encrypted search against gallery size: the table and the plot of docs/performance.md.

    python benchmarks/lattice.py [--largest 1000000] [--plot docs/performance-lattice.svg]

Prints Markdown. Runs both sides in one process tree; see `blindsight.evaluation.bench_lattice`.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from blindsight.evaluation.bench_lattice import Row, bench_lattice, machine

COLUMNS = {
    "templates × d": lambda r: f"{r.templates:,} × {r.dim}",
    "server ms": lambda r: f"{r.server_ms:.2f}",
    "NumPy ms": lambda r: f"{r.plaintext_ms:.2f}",
    "ratio": lambda r: f"{r.server_ratio:.2f}",
    "protect + reveal ms": lambda r: f"{r.client_ms:.2f}",
    "end to end ms": lambda r: f"{r.end_to_end_ms:.1f}",
    "batch of 64 ÷ 64 single": lambda r: f"{r.batch_ratio:.2f}",
    "stored B/template": lambda r: f"{r.stored_bytes_per_template:.1f}",
    "up KiB": lambda r: f"{r.up_bytes / 1024:.1f}",
    "down B/template": lambda r: f"{r.down_bytes_per_template:.3f}",
    "error std": lambda r: f"{r.score_error_std:.2e}",
    "error max": lambda r: f"{r.score_error_max:.2e}",
    "top-1": lambda r: f"{round(r.top1_agreement * r.agreement_probes)}/{r.agreement_probes}",
    "enrol s": lambda r: f"{r.enroll_s:.1f}",
    "client peak ÷ gallery": lambda r: _share(r.client_peak_bytes, r),
    "server peak ÷ gallery": lambda r: _share(r.server_peak_bytes, r),
}


def _share(peak: int, row: Row) -> str:
    """Of a small gallery the interpreter is the larger part, and the ratio says nothing."""
    return f"{peak / row.gallery_bytes:.2f}" if row.gallery_bytes > 3e8 else "–"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--largest", type=int, default=1_000_000, help="largest gallery")
    parser.add_argument("--plot", type=Path, help="write the plot to this file")
    arguments = parser.parse_args()
    sizes = [n for n in (1_000, 10_000, 100_000, 1_000_000) if n <= arguments.largest]
    jobs = [(n, 128) for n in sizes] + [(sizes[-1], 512)]
    rows = [bench_lattice(n, d, probes=1000 if n >= 100_000 else 200) for n, d in jobs]
    about = machine()
    where = f"{about['processor']}, {about['cores']} cores"
    print(f"{where}, Python {about['python']}, NumPy {about['numpy']}, {datetime.now(UTC):%Y-%m-%d}\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for row in rows:
        print("| " + " | ".join(show(row) for show in COLUMNS.values()) + " |")
    if arguments.plot:
        plot(rows[: len(sizes)], arguments.plot, where)


def plot(rows: list[Row], path: Path, where: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.4))
    sizes = [row.templates for row in rows]
    for label, values, style in (
        ("end to end, over HTTP", [row.end_to_end_ms for row in rows], "o-"),
        ("matcher, encrypted", [row.server_ms for row in rows], "s-"),
        ("NumPy float32, in the clear", [row.plaintext_ms for row in rows], "^--"),
        ("client: protect and reveal", [row.client_ms for row in rows], "d:"),
    ):
        axes.plot(sizes, values, style, label=label, markersize=5)
    axes.set(xscale="log", yscale="log", xlabel="templates of 128 coordinates", ylabel="milliseconds a probe")
    axes.set_title(f"One probe against the whole gallery\n{where}", fontsize=10)
    axes.grid(True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
