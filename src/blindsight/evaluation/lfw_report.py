"""What `evaluate lfw` shows: the paper's figures 4 and 5 and its tables 1 and 2, beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blindsight.evaluation.agreement import ScoredPairs, error_of_each_pair, error_rates
from blindsight.evaluation.figures import Plot
from blindsight.evaluation.identification import Identification
from blindsight.evaluation.lfw import Found
from blindsight.evaluation.plots import roc
from blindsight.evaluation.protected import Run
from blindsight.evaluation.report import (
    Cell,
    Report,
    Section,
    Table,
    beside_paper,
    identification_table,
    verification_table,
)
from blindsight.evaluation.verification import Verification

PAPER = "Yang et al. 2021"
PAPER_ERROR = 0.02
"""Percent: below it lie most of the error rates in the paper's Fig. 4."""

_FARS = (1e-1, 1e-2)
_RANKS = (1, 5)


def as_fields(found: Found) -> dict[str, Any]:
    """All figures, plain: for ``--json``."""
    return {
        "pairs": len(found.pairs),
        "listed_pairs": found.listed,
        "genuine_pairs": sum(pair.genuine for pair in found.pairs),
        "photos": found.failures.attempts,
        "rejected": [
            {"photo": str(rejection.photo.path), "reason": rejection.reason}
            for rejection in found.embeddings.rejections
        ],
        "model_id": found.embeddings.model_id,
        "metric": found.metric,
        "plain_auc": Verification(found.comparisons(found.plain, _all(found))).auc(),
        "runs": [_run_fields(found, run) for run in found.runs],
        "paper_loop_ms": found.paper_loop_ms,
        "python_object_bytes": found.wrapper.python_bytes if found.wrapper else None,
        "tenseal_ciphertext_bytes": found.wrapper.serialised_bytes if found.wrapper else None,
    }


def report_of(found: Found, *, names: Sequence[str]) -> Report:
    """The report; ``names`` are those of the list and of the folder of photos."""
    genuine = sum(pair.genuine for pair in found.pairs)
    largest = max(found.auc_difference(run) for run in found.runs)
    score = "Euclidean distance" if found.metric == "euclidean" else f"{found.metric} similarity"
    return Report(
        "Encrypted face verification on pairs of photos",
        f"{len(found.pairs):,} pairs under {len(found.runs_of('1:N'))} schemes, one to many and one to one: "
        f"the area under no ROC is farther from that of the plaintext scheme than {largest:.2g}, rounded.",
        (
            _summary(found),
            _figure_4(found, score),
            _figure_5(found),
            _table_1(found),
            _table_2(found),
        ),
        {
            "list": names[0],
            "photos": f"{names[1]}: {found.failures.attempts:,}, of which {found.failures.failed:,} without "
            "a usable face",
            "pairs": f"{len(found.pairs):,} of {found.listed:,}: {genuine:,} genuine, "
            f"{len(found.pairs) - genuine:,} impostor",
            "embedder": found.embeddings.model_id,
            "score": score,
        },
    )


def _label(run: Run) -> str:
    return f"{run.contender.name} {run.mode}"


def _all(found: Found) -> Any:
    return found.runs_of("1:N")["clear"].pairs


def _groups(found: Found) -> list[tuple[str, str, dict[str, Verification]]]:
    """File name, words, and verifications of scores of the same pairs: the plain ones first."""
    one = found.runs_of("1:1")
    groups = [
        ("pairs", "one to one by a protocol for pairs", {n: r for n, r in one.items() if n == "ckks"}),
        ("singles", "one to one, galleries of one", {n: r for n, r in one.items() if n != "ckks"}),
        ("gallery", "one to many", found.runs_of("1:N")),
    ]
    made = []
    for file, words, runs in groups:
        if runs:
            pairs = next(iter(runs.values())).pairs
            scores = {"plain": found.plain[pairs]} | {name: run.scores for name, run in runs.items()}
            verified = {name: Verification(found.comparisons(one, pairs)) for name, one in scores.items()}
            made.append((file, words, verified))
    return made


def _summary(found: Found) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for run in found.runs:
        errors = found.agreement(run)
        rows.append(
            (
                run.contender.name,
                run.mode,
                run.way,
                len(run.pairs),
                found.auc(run),
                found.auc_difference(run),
                errors.median,
                100 * errors.within(PAPER_ERROR),
                errors.largest,
                f"{run.equal:,} of {run.compared:,}" if run.compared else "nothing quantised",
            )
        )
    table = Table(
        "summary",
        "Every scheme against the plaintext",
        (
            "scheme",
            "mode",
            "way",
            "pairs",
            "AUC",
            "from clear's AUC",
            "median error, %",
            f"within {PAPER_ERROR} %, %",
            "largest error, %",
            "equal to the bit",
        ),
        tuple(rows),
        "Errors are against scores of float embeddings (eq. 3); those of clear are the quantisation's alone. "
        "Equal to the bit: integer scores that came out of the scheme and are the ones that NumPy computes "
        "from the same integers; exact schemes (lattice-exact, bfv) must have all of them.",
    )
    return Section("In short", tables=(table,))


def _figure_4(found: Found, score: str) -> Section:
    text = (
        "Error rate = |plain − encrypted| / |plain| · 100 % (eq. 3), of the score that the embedder is made "
        f"for, here the {score} of two embeddings"
        + (", as in the paper" if found.metric == "euclidean" else "; the paper's is the Euclidean distance")
        + f". The paper finds most of its {6000:,} pairs below {PAPER_ERROR} %, under CKKS, one to one.",
    )
    plots: list[Plot] = []
    for mode, word in (("1:1", "one to one"), ("1:N", "one to many")):
        runs = found.runs_of(mode)
        scored = {
            name: ScoredPairs(run.pairs + 1, found.plain[run.pairs], run.scores) for name, run in runs.items()
        }
        file = mode.replace(":", "-").lower()
        title = f"Figure 4, {word}: error rate of each pair"
        plots.append(error_of_each_pair(scored, mark=PAPER_ERROR, name=f"figure-4-{file}", title=title))
    shares = {_label(run): found.agreement(run) for run in found.runs if run.mode == "1:N"}
    ckks = found.runs_of("1:1").get("ckks")
    if ckks is not None:
        shares[_label(ckks)] = found.agreement(ckks)
    plots.append(error_rates(shares, name="error-rates", title="How many pairs err by how much"))
    return Section("Figure 4: error rates", text, plots=tuple(plots))


def _figure_5(found: Found) -> Section:
    tables, plots = [], []
    for file, words, made in _groups(found):
        count = len(made["plain"].comparisons.genuine) + len(made["plain"].comparisons.impostor)
        title = f"{words}, {count:,} pairs"
        plots.append(roc(made, nested=True, name=f"figure-5-{file}", title=f"Figure 5, {title}"))
        summaries = {name: one.summary(_FARS, replicates=300) for name, one in made.items()}
        tables.append(
            verification_table(summaries, name=f"verification-{file}", title=f"Verification, {title}")
        )
    searched = {
        name: Identification(found.searches(run), rank=None).summary(_RANKS)
        for name, run in found.runs_of("1:N").items()
    }
    tables.append(
        identification_table(searched, title="Is the right person first? (1:N, probes of people enrolled)")
    )
    text = (
        "The paper's two curves, of the original and of the encrypted scores, lie on each other; so do "
        "these, as many as there are schemes, each drawn narrower than the one before. One to one, schemes "
        "without a protocol for pairs were run on some of the pairs, and plain is there over the same ones.",
    )
    return Section("Figure 5: ROC curves", text, tuple(tables), tuple(plots))


def _table_1(found: Found) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for run in found.runs:
        t = run.times
        rows.append(
            (_label(run), run.way, t.encode, t.enroll, t.encrypt, t.match, t.decrypt, t.decode, t.round_trip)
        )
    header = ("scheme", "way", "encode", "enroll", "encrypt", "match", "decrypt", "decode", "round trip")
    ours = Table(
        "table-1",
        "Time of each step, ms",
        header,
        tuple(rows),
        "Medians. Encode: a vector to integers. Enroll: protect a template, send it, have it stored; 1:N, "
        "where templates share ciphertexts, the mean of one. Encrypt: a probe. Match: what the matcher "
        "computes for a probe, against the whole gallery. Decrypt, decode: its answer to integers, and these "
        "to scores. 1:N, several probes were searched at a time. ckks 1:1: encode and decode are SEAL's, to "
        "and from slots; they are timed by themselves and are in encrypt and decrypt as well.",
    )
    ckks = found.runs_of("1:1").get("ckks")
    if ckks is None:
        return Section("Table 1: time", tables=(ours,))
    t = ckks.times
    beside = beside_paper(
        "table-1-paper",
        "Table 1 beside ours: CKKS, one to one, ms",
        (
            ("Encoding", 10, t.encode, "of 128 numbers into 2,048 slots"),
            ("Decoding", 13, t.decode, "of 2,048 slots"),
            ("Encryption", 436, t.encrypt, "ours symmetric; encoding included"),
            ("Decryption", 3, t.decrypt, "ours with decoding and the square root"),
            ("Matching", 2112, t.match, "ours sums by 7 rotations for 128 coordinates, after rescaling"),
            ("Matching, single rotations", 2112, found.paper_loop_ms, "the paper's loop (Fig. 3) here"),
        ),
        paper=PAPER,
        note="The paper's machine is another one; its parameters are not stated.",
    )
    return Section("Table 1: time", tables=(beside, ours))


def _table_2(found: Found) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for run in found.runs:
        s = run.sizes
        rows.append(
            (
                _label(run),
                round(s.template),
                s.probe,
                s.answer,
                s.keys,
                _mib(s.client_peak),
                _mib(s.server_peak),
            )
        )
    ours = Table(
        "table-2",
        "Sizes and memory",
        (
            "scheme",
            "template stored, bytes",
            "probe, bytes",
            "answer, bytes",
            "evaluation keys, bytes",
            "client peak, MiB",
            "matcher peak, MiB",
        ),
        tuple(rows),
        "Serialised sizes: what is sent, and what the matcher stores, sealed records and spare room "
        "included; 1:N, a template's share of its block, and an answer for the whole gallery. Peaks are "
        "resident memory of a whole process during the run; the client's has Python, the libraries and all "
        "embeddings in it, and ckks 1:1 runs both sides there.",
    )
    ckks, wrapper = found.runs_of("1:1").get("ckks"), found.wrapper
    if ckks is None or wrapper is None:
        return Section("Table 2: space", tables=(ours,))
    beside = beside_paper(
        "table-2-paper",
        "Table 2 beside ours: CKKS, one to one, bytes",
        (
            ("Encrypted embedding", 56, ckks.sizes.probe, "serialised"),
            ("Matching result", 56, ckks.sizes.answer, "serialised"),
            ("Evaluation keys", "over 70 MB", ckks.sizes.keys, "sent once; one square, seven rotations"),
            ("Python object of a ciphertext", 56, wrapper.python_bytes, "sys.getsizeof, measured here"),
            ("The ciphertext behind it", None, wrapper.serialised_bytes, f"TenSEAL, {wrapper.parameters}"),
        ),
        paper=PAPER,
    )
    text = (
        "The 56 bytes of the paper's Table 2 are the size of the Python object that points to a ciphertext, "
        "whatever is behind it. Measured here in the same way, such an object has "
        f"{wrapper.python_bytes} bytes; serialised, the ciphertext has {wrapper.serialised_bytes:,} "
        f"({wrapper.parameters}). Every size of ours is serialised.",
    )
    return Section("Table 2: space", text, (beside, ours))


def _mib(count: int) -> Cell:
    return round(count / 2**20) if count else None


def _run_fields(found: Found, run: Run) -> Mapping[str, Any]:
    errors = found.agreement(run)
    times = {name: getattr(run.times, name) for name in run.times.__slots__}
    sizes = {name: getattr(run.sizes, name) for name in run.sizes.__slots__}
    return {
        "scheme": run.contender.name,
        "mode": run.mode,
        "way": run.way,
        "pairs": len(run.pairs),
        "auc": found.auc(run),
        "auc_difference": found.auc_difference(run),
        "error_median_percent": errors.median,
        "error_largest_percent": errors.largest,
        "share_within_paper_error": errors.within(PAPER_ERROR),
        "compared_integers": run.compared,
        "equal_integers": run.equal,
        "ms": times,
        "bytes": sizes,
    }
