"""The `smmubench` command: its subcommands, and how anything wrong becomes one line."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from bench.errors import UsageError, sentence
from traces.errors import TraceError

#: Seconds after which an interrupt that nobody has heard is raised again.
AGAIN_S = 2.0

#: Subcommand -> (module, name in it, what it does): a module is imported when it is needed.
COMMANDS = {
    "compare": ("compare", "compare", "Every policy on every hardware: the headline table."),
    "replay": ("compare", "replay", "One policy on one hardware: every counter."),
    "sweep": ("sweep", "sweep", "The product of axes, in threads or on a cluster, taken up after a kill."),
    "regress": ("regress", "regress", "The golden results: is every simulated row what it was?"),
    "perf": ("perf", "perf", "How long the suite itself takes, and whether that has changed."),
    "history": ("history", "history", "Results by commit, and where they moved."),
    "sensitivity": ("sensitivity", "sensitivity", "Over which costs the headline orderings hold."),
    "window": ("window", "window", "What faults do that come between a read of FSR and its clear."),
    "faults": ("faults", "faults", "The faults of a kernel log, decoded, and a burst of them replayed."),
    "timeline": ("timeline", "timeline", "What happened when, as a file that Perfetto opens."),
    "explain": ("timeline", "explain", "One fault's story, step by step with times."),
    "answer": ("report", "answer", "One of the fifteen questions: its table and its figure."),
    "report": ("report", "report", "Every answer in one HTML file; or a page of saved runs."),
    "reach": ("reach", "reach", "TLB reach: hits of every TLB size, by page size."),
    "policies": ("policies", "policies", "The ways of handling a context fault."),
    "hardware": ("catalogues", "hardware", "The hardware presets."),
    "clients": ("catalogues", "clients", "What a GPU's driver does when told of a fault."),
    "costs": ("catalogues", "costs", "What things cost in simulated time."),
    "scenarios": ("catalogues", "scenarios", "How a trace is turned into faults."),
    "traces": ("traces", "traces", "The traces: bundled ones, and files."),
    "doctor": ("doctor", "doctor", "Versions, caches, and what makes timings unreliable here."),
    "completion": ("doctor", "completion", "What makes a shell complete the commands."),
    "capture": ("capture", "capture", "Record a trace on this machine."),
}


class Lazy(click.Group):
    """A group that knows its subcommands by name and imports them when they are used."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the subcommands in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Import one subcommand."""
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        found: click.Command = getattr(importlib.import_module(f"bench.commands.{module}"), attribute)
        return found

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, _, what) in COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        click.echo(f"smmubench {version('smmubench')}")
        ctx.exit()


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
              help="Show the version and exit.")  # fmt: skip
@click.option(
    "-q", "--quiet", is_flag=True, help="No progress and no notes on stderr; errors are told all the same."
)
def cli(quiet: bool) -> None:
    """Measure what an SMMU translation fault costs a GPU, and what each way of handling it costs.

    Start with `smmubench compare`. NO_COLOR is honoured; tables fit 80 columns, and COLUMNS widens them.
    """
    from bench import progress  # noqa: PLC0415

    progress.set_quiet(quiet)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status.

    Returns
    -------
    int
        0 done, 1 a failed check or a closed pipe, 2 bad usage or input, 130 interrupted.
    """
    try:
        status: Any = cli.main(args=None if arguments is None else list(arguments),
                               prog_name="smmubench", standalone_mode=False)  # fmt: skip
    except (TraceError, UsageError) as error:
        return _fail(sentence(error.what, error.where, error.expected, error.found))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.UsageError as error:
        help_at = error.ctx.command_path if error.ctx is not None else "smmubench"
        return _fail(f"{error.format_message().rstrip('.')} (see {help_at} --help)")
    except click.ClickException as error:
        return _fail(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Nobody reads on; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status if isinstance(status, int) else 0


def _fail(text: str) -> int:
    click.echo(f"smmubench: {' '.join(text.split())}", err=True)
    return 2


def _interrupt(*_: Any) -> None:
    """Raise KeyboardInterrupt, and again until it is heard: a library that is being loaded may swallow it."""
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    raise KeyboardInterrupt


def main() -> None:
    """Run the command and exit."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    status = run()
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.flush()
    sys.stderr.flush()
    if status == 130:
        # A kernel cannot be interrupted, and Python would wait for the threads that run one.
        os._exit(status)
    sys.exit(status)
