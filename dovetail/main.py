"""The command `dovetail`: subcommands, and how errors end.

Whatever is wrong with the input ends as one line on standard error and exit status 2. Subcommands import the rest of
the project when they run, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys

import click

from dovetail.calibrate import calibrate
from dovetail.compare import compare
from dovetail.demo import demo
from dovetail.lockstep import lockstep
from dovetail.measure import measure
from dovetail.policies_command import policies
from dovetail.predict import predict
from dovetail.profiles import profile, profiles
from dovetail.report import report
from dovetail.reproduce import reproduce
from dovetail.simulate import simulate
from dovetail.suite import suite
from dovetail.sweep import sweep
from dovetail.trace import trace
from dovetail.validate import validate
from dovetail.workload import workload


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(package_name="dovetail", prog_name="dovetail")
def cli() -> None:
    """Schedule LLM applications on simulated vLLM engines.

    Bad input ends as one line and exit status 2; DOVETAIL_TRACEBACK=1 in the environment shows where it was found.
    """


for command in (
    simulate,
    measure,
    suite,
    sweep,
    calibrate,
    compare,
    report,
    predict,
    workload,
    policies,
    profiles,
    profile,
    reproduce,
    lockstep,
    demo,
    trace,
    validate,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line of this process and exit.

    Notes
    -----
    Exit status: 0 done, 2 bad input, 130 interrupted. `DOVETAIL_TRACEBACK=1` shows where an error was raised.
    """
    try:
        status = cli.main(standalone_mode=False)
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except click.ClickException as error:
        fail(_usage(error))
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("DOVETAIL_TRACEBACK"):
            raise
        fail(_message(error))
    sys.exit(status if isinstance(status, int) else 0)


def fail(message: str) -> None:
    """End with one line on standard error and status 2."""
    print(f"dovetail: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _usage(error: click.ClickException) -> str:
    """Click's message, and where the options are listed."""
    context = getattr(error, "ctx", None)
    where = f" (see {context.command_path} --help)" if context is not None else ""
    return f"{error.format_message().rstrip('.')}{where}"


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
