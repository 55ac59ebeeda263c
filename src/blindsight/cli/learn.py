"""``blindsight learn``: a classifier from several users who show nobody their images or updates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from blindsight.cli.opening import Keys
from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, fields, plural, table

app = typer.Typer(
    help="Learn a classifier from several users' images; only sums of their updates are seen.",
    no_args_is_help=True,
)

Federation = Annotated[Path, typer.Argument(metavar="FEDERATION", help="The federation's folder.")]
PassphraseOfRoles = Annotated[
    Path | None, typer.Option("--passphrase-file", help="A file whose first line opens the roles' files.")
]
KeyFileOfRoles = Annotated[
    Path | None, typer.Option("--key-file", help="The key file that opens the roles' files.")
]


@app.command()
def new(
    federation: Federation,
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="One folder a user: <class>/<image>.")
    ],
    scheme: Annotated[str, typer.Option(help="masking, bfv, paillier or dphe.")] = "masking",
    features: Annotated[
        str, typer.Option(help="gradients, onnx:PATH of a backbone, or faces.")
    ] = "gradients",
    alpha: Annotated[float, typer.Option(min=0, help="Regularisation; more makes sparser updates.")] = 3e-5,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over a user's images in a round.")] = 5,
    minimum: Annotated[int, typer.Option(min=2, help="Fewest users whose sum is opened.")] = 2,
    modulus_bits: Annotated[int, typer.Option(help="Of a Paillier key, for paillier and dphe.")] = 3072,
    passphrase_file: PassphraseOfRoles = None,
    key_file: KeyFileOfRoles = None,
    as_json: Json = False,
) -> None:
    """Found a federation: keys and secrets for every role, each in a file of its own.

    The files of users and key holder are locked by a passphrase or a key file, if you give one (or
    BLINDSIGHT_PASSPHRASE); else only their mode protects them.
    """
    from blindsight.learning.descent import Descent
    from blindsight.trusted.learner import Learner

    output = Output(as_json)
    options: dict[str, Any] = {"minimum": minimum}
    if scheme in ("paillier", "dphe"):
        options["modulus_bits"] = modulus_bits
    keys = Keys(None, passphrase_file, key_file)
    unlock = keys.unlock(new=True) if keys.given else None
    descent = Descent(alpha=alpha, l1=0.9, rate=30.0, epochs=epochs)
    learner = Learner.create(
        federation, folders, scheme=scheme, features=features, descent=descent, unlock=unlock, **options
    )
    document = {
        "federation": str(federation),
        "scheme": scheme,
        "users": len(learner.folders),
        "classes": len(learner.task.classes),
        "weights": learner.task.weights,
        "locked": unlock is not None,
    }
    output.document(document)
    output.show(
        f"Founded: {plural(len(learner.folders), 'user')}, {len(learner.task.classes)} classes, "
        f"{learner.task.weights:,} weights. To learn: blindsight learn run {clean(str(federation))}"
    )


@app.command()
def run(
    federation: Federation,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds to carry out now.")] = 10,
    passphrase_file: PassphraseOfRoles = None,
    key_file: KeyFileOfRoles = None,
    as_json: Json = False,
) -> None:
    """Carry out rounds; after an interruption go on where the last finished one left off."""
    from blindsight.trusted.learner import Learner

    output = Output(as_json)
    learner = Learner(federation)
    keys = Keys(None, passphrase_file, key_file)
    unlock = keys.unlock() if learner.locked or passphrase_file or key_file else None
    with output.progress("users' images", len(learner.folders)) as bar:
        one = learner.rounds(lambda user: bar(user, len(learner.folders)), unlock=unlock)
    done = []
    with output.progress("rounds", rounds) as bar:
        for k in range(rounds):
            done.append(one())
            bar(k + 1, rounds)
    last, accuracy = done[-1], learner.accuracy()
    document = {
        "rounds": last.number,
        "attempts": last.attempt,
        "users": list(last.users),
        "missing": list(last.missing),
        "training_accuracy": accuracy,
    }
    output.document(document)
    gone = f", {plural(len(last.missing), 'user')} missing" if last.missing else ""
    output.show(
        f"{plural(last.number, 'round')} learned{gone}; {accuracy:.1f} % of the users' own images right"
    )


@app.command()
def status(federation: Federation, as_json: Json = False) -> None:
    """What was learned so far, under which scheme, and what each role learns about the others."""
    from blindsight.trusted.learner import Learner

    output = Output(as_json)
    learner = Learner(federation)
    aggregator = learner.aggregator()
    leakage = aggregator.leakage
    document = {
        "scheme": aggregator.scheme,
        "users": len(learner.folders),
        "classes": list(learner.task.classes),
        "weights": learner.task.weights,
        "rounds": learner.model.number,
        "attempts": aggregator.attempt,
        "learns": {role: list(sentences) for role, sentences in leakage.learns},
        "not_claimed": list(leakage.not_claimed),
    }
    output.document(document)
    shown = {k: document[k] for k in ("scheme", "users", "weights", "rounds", "attempts")}
    output.show(fields(**shown, classes=", ".join(learner.task.classes)))
    for role, sentences in (*leakage.learns, ("not claimed", leakage.not_claimed)):
        output.show(f"\n{role}" + ("" if role == "not claimed" else " learns"), "bold")
        for sentence in sentences:
            output.show(f"  {sentence}")


@app.command()
def predict(
    federation: Federation,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images to classify.")],
    as_json: Json = False,
) -> None:
    """The class of images, by the model learned so far."""
    from blindsight.trusted.learner import Learner

    output = Output(as_json)
    found = Learner(federation).predict(images)
    output.document(
        [
            {"image": str(p), "class": name, "lead": lead}
            for p, (name, lead) in zip(images, found, strict=True)
        ]
    )
    shown = table("image", "class", "lead", right=("lead",))
    for path, (name, lead) in zip(images, found, strict=True):
        shown.add_row(clean(str(path)), clean(name), f"{lead:.3f}")
    output.show(shown)
