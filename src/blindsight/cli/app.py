"""The command line: its verbs, its exit codes, and one sentence for every error.

0  done, or a match            3  the server, or the way to it, failed
1  no match                    4  no face was found
2  usage, vault, files         130  interrupted
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn, get_args, get_type_hints

import click
import typer
from typer.core import TyperArgument
from typer.models import ArgumentInfo

from blindsight.cli import (
    bench,
    calibrate,
    demo,
    doctor,
    enroll,
    evaluate,
    footage,
    gallery,
    identify,
    image,
    init,
    keys,
    learn,
    lookup,
    people,
    plan_obfuscation,
    preprocess,
    probe,
    serve,
    subject,
    verify,
    watchlist,
)
from blindsight.cli.output import BUG, INTERRUPTED, NO_FACE, OK, PROTOCOL, USAGE, fail
from blindsight.core.errors import BlindsightError, MismatchError, NoFaceError, ProtocolError

app = typer.Typer(
    name="blindsight",
    help="Recognise people on computers that never see them.",
    epilog="Exit codes: 0 done or match, 1 no match, 2 usage, vault or files, 3 server or protocol, "
    "4 no face.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(demo.app, name="demo")
app.command("init")(init.init)
app.add_typer(serve.app, name="serve")
app.add_typer(gallery.app, name="gallery")
app.command("enroll")(enroll.enroll)
app.command("verify")(verify.verify)
app.command("identify")(identify.identify)
app.command("lookup")(lookup.lookup)
app.add_typer(subject.app, name="subject")
app.add_typer(people.app, name="people")
app.command("calibrate")(calibrate.calibrate)
app.add_typer(keys.app, name="keys")
app.add_typer(watchlist.app, name="watchlist")
app.add_typer(footage.app, name="footage")
app.command("preprocess")(preprocess.preprocess)
app.command("probe")(probe.probe)
app.command("plan-obfuscation")(plan_obfuscation.plan_obfuscation)
app.command("doctor")(doctor.doctor)
app.add_typer(image.app, name="image")
app.add_typer(bench.app, name="bench")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(learn.app, name="learn")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"blindsight {version('blindsight')}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit


def _finished(command: click.Command) -> click.Command:
    """Make help whole: lines of a paragraph joined, and what arguments are for.

    Click 8.5 has a help text of its own for arguments, and thereby drops typer's.
    """
    command.help = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    hints = get_type_hints(command.callback, include_extras=True) if command.callback else {}
    for parameter in command.params:
        if isinstance(parameter, TyperArgument) and not parameter.help:
            infos = [
                info for info in get_args(hints.get(parameter.name or "")) if isinstance(info, ArgumentInfo)
            ]
            parameter.help = infos[0].help if infos else None
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _finished(inner)
    return command


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        command = _finished(typer.main.get_command(app))
        with command.make_context("blindsight", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
        return OK
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        shown = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "blindsight"
        fail("usage", f"{error.format_message()} See `{shown} --help`.", as_json)
        return USAGE
    except BlindsightError as error:
        fail(error.code, error.message, as_json)
        return exit_code(error)
    except (KeyboardInterrupt, click.Abort, EOFError):
        fail("interrupted", "Interrupted.", as_json)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        fail("usage", f"{about}{error.strerror or type(error).__name__}.", as_json)
        return USAGE
    except Exception as error:
        if os.environ.get("BLINDSIGHT_TRACEBACK"):
            raise
        sentence = f"This is a bug ({type(error).__name__}); BLINDSIGHT_TRACEBACK=1 shows where."
        fail("bug", sentence, as_json)
        return BUG


def exit_code(error: BlindsightError) -> int:
    """The exit code of an error."""
    if isinstance(error, (ProtocolError, MismatchError)):
        return PROTOCOL
    return NO_FACE if isinstance(error, NoFaceError) else USAGE
