"""`dovetail policies`: what there is to choose from, and a start for one's own."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from policies.interface import Policy


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def policies(context: click.Context, as_json: bool) -> None:
    """List the policies: what each decides, what it sees and its parameters.

    A policy that sees the oracle may look at what no deployed gateway knows, such as the length of an output that is
    still to come. docs/policies.md has their papers.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json is for the list alone", context)
        return
    from dovetail.output import console
    from policies.load import policy_names

    described = [describe(name) for name in policy_names()]
    if as_json:
        print(json.dumps(described, indent=2))
    else:
        console().print(_table(described))


@policies.command()
@click.argument("name")
def show(name: str) -> None:
    """Print what the policy NAME says of itself: its parameters, its source and what it leaves out."""
    from policies.load import find_policy_class

    print(inspect.cleandoc(find_policy_class(name).__doc__ or ""))


@policies.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder to write to; the current one.")
def new(name: str, out: Path) -> None:
    """Write a policy NAME, ready to edit, and its test.

    The test passes as it is: run it after every change.
    """
    from dovetail.new_policy import write_policy

    policy, test = write_policy(name, out)
    class_path = f"{policy.stem}:{''.join(part.capitalize() for part in policy.stem.split('_'))}"
    print(f"wrote {policy} and {test}; in {out}:")
    print(f"  pytest {test.name}")
    print(f"  dovetail simulate WORKLOAD --policy {class_path} --window 8 --out DIR")


def describe(name: str) -> dict[str, Any]:
    """What a policy decides, sees and takes.

    Returns
    -------
    dict
        `name`, `class`, `summary`, `decides` (of "order", "routing" and "learning"), `sees` ("oracle" or "observable")
        and `parameters`, each with its type and its default.
    """
    from policies.load import find_policy_class

    policy = find_policy_class(name)
    parameters = inspect.signature(policy).parameters.values()
    return {
        "name": name,
        "class": f"{policy.__module__}:{policy.__qualname__}",
        "summary": inspect.cleandoc(policy.__doc__ or "").partition("\n")[0],
        "decides": _decides(policy),
        "sees": "oracle" if policy.uses_oracle else "observable",
        "parameters": {each.name: {"type": _type(each), "default": each.default} for each in parameters},
    }


def _decides(policy: type[Policy]) -> list[str]:
    from policies.interface import Policy

    methods = {"order": "rank", "routing": "route", "learning": "observe"}
    return [word for word, method in methods.items() if getattr(policy, method) is not getattr(Policy, method)]


def _type(parameter: inspect.Parameter) -> str:
    return str(parameter.annotation)


def _table(described: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    shown = Table(box=None)
    shown.add_column("policy", no_wrap=True)
    for title in ("decides", "sees"):
        shown.add_column(title)
    for title in ("parameters", "what it does"):
        shown.add_column(title, overflow="fold")
    for each in described:
        defaults = [f"{name}={_shown(value['default'])}" for name, value in each["parameters"].items()]
        decides = ", ".join(word for word in each["decides"] if word != "learning") or "nothing"
        shown.add_row(each["name"], decides, each["sees"], " ".join(defaults) or "-", each["summary"])
    return shown


def _shown(value: object) -> str:
    """A default as it is written on the command line."""
    if value is None or value == ():
        return "none"
    return str(value)
