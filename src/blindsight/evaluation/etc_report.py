"""Reports of the experiment and of the audit on scrambled images, and the same as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blindsight.evaluation.etc_attacks import Audit, Together
from blindsight.evaluation.etc_experiment import KERNELS, PAPER, Agreement, Experiment, Row
from blindsight.evaluation.etc_pictures import attempts, error_curves, pictures
from blindsight.evaluation.figures import Plot
from blindsight.evaluation.report import Cell, Report, Section, Table
from blindsight.learning.etc_model import Classifier

_STATEMENT = (
    "Scrambled (EtC) images are obfuscated, not encrypted: the claim is PERCEPTUAL, hidden from a viewer's "
    "eye and no more. `evaluate etc --attack` measures how they are broken."
)


def experiment_document(
    experiment: Experiment, rows: Sequence[Row], by_position: Mapping[str, Agreement]
) -> dict[str, Any]:
    """All figures of the experiment."""

    def one(row: Row) -> dict[str, Any]:
        agreement = Agreement.of(row.plain, row.common)
        return {
            "classifier": row.classifier.value,
            "ratio": row.ratio,
            "eer_plain": row.plain.eer,
            "eer_common": row.common.eer,
            "accuracy_plain": row.plain.accuracy,
            "accuracy_common": row.common.accuracy,
            "identical_decisions": agreement.changed == 0.0,
            "relative_difference": agreement.relative,
            "eer_each": row.each.eer if row.each else None,
            "eer_stolen": row.stolen.eer if row.stolen else None,
            "paper_plain": PAPER.get(row.classifier, {}).get(row.ratio, (None, None))[0],
            "paper_each": PAPER.get(row.classifier, {}).get(row.ratio, (None, None))[1],
            "jpeg": [
                {
                    "quality": quality,
                    "eer": judged.eer,
                    "changed_decisions": (apart := Agreement.of(row.plain, judged)).changed,
                    "relative_difference": apart.relative,
                    "median_difference": apart.median,
                    "same_pixels_median_difference": (
                        same := Agreement.of(row.plain, row.jpeg_same_pixels[quality])
                    ).median,
                    "same_pixels_changed_decisions": same.changed,
                }
                for quality, judged in row.jpeg.items()
            ],
        }

    return {
        "people": len(experiment.data.names),
        "trained": experiment.trained,
        "queries": experiment.queries,
        "params": experiment.params.params_id,
        "by_position": {
            kernel: {"changed_decisions": found.changed, "relative_difference": found.relative}
            for kernel, found in by_position.items()
        },
        "rows": [one(row) for row in rows],
    }


def experiment_report(
    experiment: Experiment, rows: Sequence[Row], by_position: Mapping[str, Agreement], seed: int
) -> Report:
    """The paper's figure 4 and tables 1 and 2, the row it does not print, and what JPEG changes."""
    height, width = experiment.data.pixels.shape[1:3]
    sections = [_condition_1(rows, by_position), _condition_2(rows), _lossy(rows)]
    return Report(
        "Learning on block-scrambled images",
        _STATEMENT,
        tuple(section for section in sections if section.tables),
        {
            "People": len(experiment.data.names),
            "Images to train": experiment.trained,
            "Queries": experiment.queries,
            "Size": f"{height} × {width} (height × width)",
            "Scrambling": experiment.params.params_id,
            "log2 of the key space": experiment.params.key_space_bits(height, width),
            "Seed of the halves": seed,
            "Files rejected": len(experiment.data.rejected.rejections),
        },
    )


def _condition_1(rows: Sequence[Row], by_position: Mapping[str, Agreement]) -> Section:
    header = ("classifier", "ratio", "EER plain", "EER scrambled", "right plain", "right scrambled",
              "decisions changed", "largest relative difference")  # fmt: skip
    body: list[tuple[Cell, ...]] = []
    for row in rows:
        apart = Agreement.of(row.plain, row.common)
        about = (row.classifier.value, f"1/{row.ratio}", row.plain.eer, row.common.eer)
        body.append((*about, row.plain.accuracy, row.common.accuracy, apart.changed, apart.relative))
    control = Table(
        "by-position",
        "Pixels at chance positions, the same in both (the paper's own claim), 1/20",
        ("kernel", "decisions changed", "largest relative difference"),
        tuple((kernel, found.changed, found.relative) for kernel, found in by_position.items()),
        "Only who has the key can name these pixels; here the summation's order is all that differs.",
    )
    svms = {row.classifier: row for row in rows if row.classifier in KERNELS and row.ratio == rows[0].ratio}
    plots: tuple[Plot, ...] = ()
    if svms:
        panels = {
            f"{classifier.value}, 1/{row.ratio}": {"plain": row.plain, "scrambled": row.common}
            for classifier, row in svms.items()
        }
        plots = (error_curves(panels, name="figure-4", title="Key condition 1: FAR and FRR (figure 4)"),)
    return Section(
        "Key condition 1: one key for all clients",
        (
            "Plain and scrambled images take the same way: columns by variance, z-scores, classifier. The "
            "server's "
            "choice of columns depends on their values up to the negative alone, so that both give the same "
            "features to the last bit.",
        ),
        (
            Table("condition-1", "Plain beside scrambled", header, tuple(body),
                  "Right: share of queries whose best score is their own person's."),
            control,
        ),
        plots,
    )  # fmt: skip


def _condition_2(rows: Sequence[Row]) -> Section:
    tables = []
    for number, classifier in enumerate(KERNELS, start=1):
        body: list[tuple[Cell, ...]] = []
        for row in rows:
            if row.classifier is not classifier or row.each is None or row.stolen is None:
                continue
            plain, each = PAPER[classifier].get(row.ratio, (None, None))
            body.append((f"1/{row.ratio}", plain, row.plain.eer, each, row.each.eer, row.stolen.eer))
        if body:
            kernel = "linear" if classifier is Classifier.SVM_LINEAR else "RBF"
            header = (
                "ratio",
                "plain, paper",
                "plain, here",
                "own keys, paper",
                "own keys, here",
                "stolen key, here",
            )
            tables.append(
                Table(
                    f"table-{number}", f"EER, SVM with {kernel} kernel (table {number})", header, tuple(body)
                )
            )
    return Section(
        "Key condition 2: a key for each client",
        (
            "Every person is a client with a key of their own; an impostor brings their own face under "
            "their own "
            "key. The error rate is that small because the classifier learns keys: any image under "
            "another key "
            "is far from everything it knows.",
            "The last column, which the paper does not print, is the same with an impostor who has stolen "
            "the key "
            "of the person they claim to be. Then the key no longer separates anybody, and since the "
            "classifier "
            "has learned keys and hardly any faces, it does worse than with one key for all.",
        ),
        tuple(tables),
    )


def _lossy(rows: Sequence[Row]) -> Section:
    body: list[tuple[Cell, ...]] = []
    for row in rows:
        for quality, judged in row.jpeg.items():
            apart = Agreement.of(row.plain, judged)
            same = Agreement.of(row.plain, row.jpeg_same_pixels[quality])
            about = (row.classifier.value, f"1/{row.ratio}", quality, row.plain.eer, judged.eer)
            body.append((*about, apart.changed, apart.median, apart.relative, same.changed, same.median))
    header = ("classifier", "ratio", "quality", "EER plain", "EER scrambled and JPEG", "decisions changed",
              "median difference", "largest difference", "changed, same pixels",
              "median difference, same pixels")  # fmt: skip
    note = "Differences of decision values: the median over the median, the largest over the largest value."
    table = Table("jpeg", "Scrambled, then JPEG, under one key", header, tuple(body), note)
    return Section(
        "With JPEG in between",
        (
            "JPEG changes pixels a little, and thereby which of them the server chooses. The last two "
            "columns are with the pixels that it chooses without JPEG: what the loss alone does.",
        ),
        (table,) if body else (),
    )


# -- audit -----------------------------------------------------------------------------------------------


def audit_document(found: Audit) -> dict[str, Any]:
    """All figures of the audit."""
    from dataclasses import asdict

    return {
        "blocks": found.blocks,
        "ambiguous_blocks": found.ambiguous,
        "distances_kept": found.distances_kept,
        "known_image": [asdict(one) for one in found.known],
        "many_images": [asdict(one) for one in found.together],
        "puzzles": [asdict(one) for one in found.puzzles],
        "linking": [asdict(one) for one in found.linking],
        "mitigations": [asdict(one) for one in found.mitigations],
    }


def audit_report(found: Audit, parameters: Mapping[str, object]) -> Report:
    """Each attack with its success and with pictures of what came back."""
    return Report(
        "What block scrambling is worth",
        "Attacks on block-scrambled (EtC) images by somebody who has no key. The claim of the scheme is "
        "PERCEPTUAL; these are the reasons why it is no more.",
        (_known(found), _together(found), _puzzles(found), _linking(found), _mitigations(found)),
        parameters,
    )


def _known(found: Audit) -> Section:
    lines: dict[str, list[tuple[float, float]]] = {}
    for one in found.known:
        lines.setdefault(_format(one.quality), []).append((one.pairs, one.positions))
    first = found.known[0]
    return Section(
        "One known image",
        (
            f"From {first.pairs} known original and its scrambled image the attack finds "
            f"{round(first.positions * found.blocks)} of {found.blocks} block positions, and opens other "
            "images "
            f"with a root mean square error of {first.error:.2f} grey levels.",
        ),
        (
            Table(
                "known-image",
                "Known pairs under one key",
                ("format", "pairs", "positions found", "whole blocks found", "error of others (grey levels)"),
                tuple(
                    (_format(k.quality), k.pairs, k.positions, k.whole, k.error) for k in found.known
                ),
                "Whole: position, turn and negative. Means of three tries.",
            ),
        ),
        (
            attempts(lines, across="Known pairs", up="Positions found (share)", name="known-image-curve",
                     title="Known images: positions found"),
            pictures(found.known_pictures, name="known-image-pictures",
                     title="One known pair opens the others"),
        ),
    )  # fmt: skip


def _format(quality: int | None) -> str:
    return "PNG" if quality is None else f"JPEG {quality}"


def _rows(results: Sequence[Together]) -> tuple[tuple[Cell, ...], ...]:
    return tuple((one.what, one.block, one.images, one.neighbours, one.pieces) for one in results)


_HEADER = ("images", "block (pixels)", "under one key", "neighbours together", "blocks in place")


def _together(found: Audit) -> Section:
    lines = {
        "neighbours together": [(one.images, one.neighbours) for one in found.together],
        "blocks in place": [(one.images, one.pieces) for one in found.together],
    }
    return Section(
        "Scrambled images alone, many under one key",
        (
            "Nothing is known but scrambled images. Blocks that were neighbours continue each other in every "
            "image, and the key is the same in all of them.",
        ),
        (
            Table("many-images", "Scrambled images only", _HEADER, _rows(found.together),
                  "Means of three tries."),
        ),
        (
            attempts(lines, across="Images under one key", up="Share", name="many-images-curve",
                     title="Scrambled images alone: the key found"),
            pictures(found.together_pictures, name="many-images-pictures",
                     title="An image that was not used, opened with the key so found"),
        ),
    )  # fmt: skip


def _puzzles(found: Audit) -> Section:
    return Section(
        "One scrambled image alone",
        (
            "The same solver on a single image: a jigsaw puzzle whose pieces may be turned, mirrored and "
            "negative.",
        ),
        (Table("puzzles", "Single images", _HEADER, _rows(found.puzzles)),),
        tuple(
            pictures(
                [row[:4], row[4:]] if len(row) > 4 else [row],
                name=f"puzzle-pictures-{at}",
                title="Scrambled, and put together",
            )
            for at, row in enumerate(found.puzzle_pictures, start=1)
        ),
    )


def _linking(found: Audit) -> Section:
    kept = "All pairwise distances are" if found.distances_kept else "Not all pairwise distances are"
    return Section(
        "Linkability",
        (
            f"{kept} the same for plain and scrambled images under one key, to the bit. Under different "
            "keys the "
            "variances of blocks remain, and give an image away.",
        ),
        (
            Table("linking", "The nearest is the right one", ("what is linked", "rate", "chance"),
                  tuple((one.what, one.rate, one.chance) for one in found.linking)),
        ),
    )  # fmt: skip


def _mitigations(found: Audit) -> Section:
    return Section(
        "Mitigations: what they cost and what they buy",
        (
            "A key for each image ends the attacks that need several images under one key, and ends "
            "learning with "
            "them. Smaller blocks make single images harder puzzles, and JPEG files larger.",
        ),
        (
            Table(
                "mitigations",
                "Mitigations",
                ("change", "EER (linear SVM, 1/20)", "JPEG bytes, of plain", "known image", "16 images alone",
                 "one image alone", "found again"),
                tuple(
                    (m.what, m.eer, m.bytes, m.known, m.together, m.alone, m.linked)
                    for m in found.mitigations
                ),
                "Known image: positions of another image found. Alone: neighbours together. Found again: "
                "the same "
                "image under a second key.",
            ),
        ),
    )  # fmt: skip
