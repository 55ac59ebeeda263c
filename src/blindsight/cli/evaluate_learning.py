"""``evaluate learning``: accuracy by method, users and sparsity; and what reused permutations give away."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, table

if TYPE_CHECKING:
    from blindsight.evaluation.federated import Study


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
    rounds: Annotated[int | None, typer.Option(min=1, help="Federated rounds; 10.")] = None,
    scheme: Annotated[
        list[str] | None,
        typer.Option(help="dphe, paillier-2048, paillier-3072, masking or bfv; all four kinds."),
    ] = None,
    alpha: Annotated[
        list[float] | None, typer.Option(min=0, help="Regularisations of the table of sparsity.")
    ] = None,
    strength: Annotated[float, typer.Option(min=0, help="Regularisation of the table of methods.")] = 3e-5,
    ciphertexts: Annotated[
        int | None,
        typer.Option(min=0, help="Most that a row makes under Paillier and DPHE, some ms each; 50,000."),
    ] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="Classes of generated features; 101.")] = None,
    dimension: Annotated[int | None, typer.Option(min=2, help="Their dimension; 2048.")] = None,
    quick: Annotated[
        bool, typer.Option(help="A small run in seconds: 5 users, 3 rounds, 20 classes by 100.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Where finished rows are kept, to go on after an interruption.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="A folder for plots of both tables.")] = None,
    attack: Annotated[
        Path | None, typer.Option(help="A folder for the plot of DPHE's slots identified by rounds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Learn a classifier from several users, under every private sum, and compare.

    Every protected sum is compared with the plain one to the last bit. Rounds and users that are not summed
    under a scheme, for the time that takes, are added in the open as the same integers; the table says so.
    """
    from blindsight.evaluation.federated import PROTECTED, Plan, study
    from blindsight.evaluation.kept_rows import KeptRows
    from blindsight.evaluation.learning_data import generated, read_dataset
    from blindsight.learning.descent import Descent
    from blindsight.vision.image_features import FeatureCache, open_features

    output = Output(as_json)
    small = (20, 100) if quick else (101, 2048)
    if folder is None:  # noise by which neither all classes are found nor none
        dataset = generated(classes or small[0], dimension or small[1], noise=0.6)
    else:
        with output.progress("features") as bar:
            dataset = read_dataset(folder, FeatureCache(open_features(features), cache), bar)
    plan = Plan(
        users=tuple(dict.fromkeys(users or ((5,) if quick else (5, 10, 100)))),
        rounds=rounds or (3 if quick else 10),
        schemes=tuple(dict.fromkeys(scheme or PROTECTED)),
        alphas=tuple(dict.fromkeys(alpha or ((0.0, 3e-3) if quick else (0.0, 3e-5, 1e-4, 3e-4, 1e-3)))),
        descent=Descent(alpha=strength, l1=0.9, rate=30.0, epochs=5, batch=16),
        ciphertexts=(10_000 if quick else 50_000) if ciphertexts is None else ciphertexts,
    )
    with output.progress("rows", plan.rows) as bar:

        def told(done: int, what: str) -> None:
            bar(done, plan.rows)
            if output.interactive:
                output.note(what, "dim")

        found = study(dataset, plan, kept=KeptRows(keep), progress=told)
    document = asdict(found)
    if plots is not None:
        from blindsight.evaluation.federated_plots import draw_methods, draw_sparsities

        draw_methods(found, folder=plots)
        draw_sparsities(found, folder=plots)
    if attack is not None:
        from blindsight.evaluation.attacks.dphe_supports import attack_study, draw

        if output.interactive:
            output.note("the attack on DPHE's permutation", "dim")
        results = attack_study(users=min(plan.users))
        draw(results, folder=attack)
        document["attack"] = [asdict(result) for result in results]
    output.document(document)
    _show(output, found)
    for result in document.get("attack", ()):
        last = result["identified"][-1]
        output.show(f"{result['name']}: {last:.1%} of the slots identified in {result['rounds'][-1]} rounds")


def _show(output: Output, found: Study) -> None:
    about = f"{clean(found.dataset)}: {found.train} training and {found.test} test images"
    output.show(f"{about}, {found.weights:,} weights")
    right = ("users", "%", "off", "rounds", "of users", "s", "B/weight")
    shown = table("method", *right, right=right)
    for row in found.methods:
        protected = row.protected_rounds > 0
        shown.add_row(
            row.method,
            f"{row.users}",
            f"{row.accuracy:.2f}",
            f"{row.difference:+.2f}",
            f"{row.protected_rounds}/{row.rounds}" if protected else "-",
            f"{row.protected_users}/{row.users}" if protected else "-",
            _number(row.encrypt_s, ".3f"),
            _number(row.bytes_per_weight, ".2f"),
        )
    output.show(shown)
    output.show(
        "%: of the test images right; rounds, of users: really summed under the scheme, in s seconds a user\n"
        "other integers were added in the open; where there are dashes, all of them",
        "dim",
    )
    costs = ("non-zero %", "right %", "DPHE s", "DPHE MB", "dense s", "dense MB")
    shown = table("alpha", *costs, right=costs)
    for line in found.sparsities:
        shown.add_row(
            f"{line.alpha:g}",
            f"{line.nonzero:.2f}",
            f"{line.accuracy:.2f}",
            _number(line.dphe_encrypt_s, ".2f"),
            _number(line.dphe_bytes and line.dphe_bytes / 1e6, ".2f"),
            f"{line.dense_encrypt_s:.2f}",
            f"{line.dense_bytes / 1e6:.2f}",
        )
    output.show()
    output.show(shown)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
