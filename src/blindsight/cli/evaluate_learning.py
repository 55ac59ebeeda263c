"""``evaluate learning``: accuracy by method, users and sparsity; and what reused permutations give away."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, table


def learning(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]", help="images/<class>/<file>, train.txt and test.txt; else generated features."
        ),
    ] = None,
    features: Annotated[
        str, typer.Option(help="gradients, onnx:PATH of a backbone, or faces.")
    ] = "gradients",
    cache: Annotated[
        Path | None, typer.Option(help="Where features are kept between runs; nowhere if not given.")
    ] = None,
    users: Annotated[
        list[int] | None, typer.Option(min=2, help="Number of users; several for several. 5, 10 and 100.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Federated rounds.")] = 10,
    protected_rounds: Annotated[
        int, typer.Option(min=1, help="Rounds that are really summed under each scheme.")
    ] = 1,
    scheme: Annotated[
        list[str] | None,
        typer.Option(help="dphe, paillier-2048, paillier-3072, masking or bfv; all four kinds."),
    ] = None,
    alpha: Annotated[
        list[float] | None, typer.Option(min=0, help="Regularisations of the table of sparsity.")
    ] = None,
    classes: Annotated[int, typer.Option(min=2, help="Classes of generated features.")] = 101,
    dimension: Annotated[int, typer.Option(min=2, help="Their dimension.")] = 2048,
    attack: Annotated[
        Path | None, typer.Option(help="A folder for the plot of DPHE's slots identified by rounds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Learn a classifier from several users, under every private sum, and compare.

    Every protected sum is compared with the plain one to the last bit.
    """
    from blindsight.evaluation.federated import PROTECTED, study
    from blindsight.evaluation.learning_data import generated, read_dataset
    from blindsight.vision.image_features import FeatureCache, open_features

    output = Output(as_json)

    def told(what: str) -> None:
        if output.interactive:
            output.note(what, "dim")

    if folder is None:
        dataset = generated(classes, dimension, noise=0.45)  # neither all classes are found nor none
    else:
        with output.progress("features") as bar:
            dataset = read_dataset(folder, FeatureCache(open_features(features), cache), bar)
    found = study(
        dataset,
        users=users or (5, 10, 100),
        rounds=rounds,
        protected_rounds=protected_rounds,
        schemes=scheme or PROTECTED,
        alphas=(0.0, 3e-5, 1e-4, 3e-4) if alpha is None else alpha,
        progress=told,
    )
    document = asdict(found)
    if attack is not None:
        from blindsight.evaluation.attacks.dphe_supports import attack_study, draw

        told("the attack on DPHE's permutation")
        results = attack_study(users=min(users or [5]))
        draw(results, folder=attack)
        document["attack"] = [asdict(result) for result in results]
    output.document(document)
    about = f"{clean(found.dataset)}: {found.train} training and {found.test} test images"
    output.show(f"{about}, {found.weights:,} weights")
    titles = ("users", "accuracy %", "points off", "protected rounds", "encrypt s", "B/weight")
    shown = table("method", *titles, right=titles)
    for row in found.methods:
        protected = row.protected_rounds > 0
        shown.add_row(
            row.method,
            f"{row.users}",
            f"{row.accuracy:.2f}",
            f"{row.difference:+.2f}",
            f"{row.protected_rounds}" if protected else "",
            f"{row.encrypt_s:.3f}" if protected else "",
            f"{row.bytes_per_weight:.2f}" if protected else "",
        )
    output.show(shown)
    titles = ("non-zero %", "accuracy %", "DPHE s", "DPHE MB", "dense s", "dense MB")
    shown = table("regularisation", *titles, right=titles)
    for line in found.sparsities:
        shown.add_row(
            f"{line.alpha:g}",
            f"{line.nonzero:.2f}",
            f"{line.accuracy:.2f}",
            f"{line.dphe_encrypt_s:.2f}",
            f"{line.dphe_bytes / 1e6:.2f}",
            f"{line.dense_encrypt_s:.2f}",
            f"{line.dense_bytes / 1e6:.2f}",
        )
    output.show(shown)
    for result in document.get("attack", ()):
        last = result["identified"][-1]
        output.show(f"{result['name']}: {last:.1%} of the slots identified in {result['rounds'][-1]} rounds")
