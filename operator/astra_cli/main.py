"""``astra``: the local cluster's command line. Its words are kubectl's where kubectl has them.

Exit code: 0 done (``run``: every run has succeeded), 1 something failed, 78 bad input (one line each).
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from astra_cli import commands
from astra_cli.guard import guarded
from astra_cli.manifests import BadManifests
from astra_cli.settings import plain_output, pod_environment
from astra_jobs.api.errors import EXIT_BAD_INPUT
from astra_operator.clusters.local_files import Busy

STATE = Path(".astra")
ABOUT = """Make tool-using language models: five kinds of runs, carried out on this machine by the reconcile that runs in a cluster.

exit code: 0 done (run: every run has succeeded), 1 something failed, 78 bad input (one line each)"""
EPILOG = """
examples:
  astra run manifests/quickstart/          the whole pipeline on this machine; the same command goes on after a stop
  astra get                                the table of all runs, as `kubectl get astra` prints it
  astra describe SFTRun base               everything that is known of one run
  astra logs rlrun/astra --follow          what its pods print
  astra rerun SFTRun base                  a new attempt, with the next `astra run`
  astra retry SFTRun base                  a failed one goes on from its last checkpoint, as with the same `astra run`
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser; each command sets ``command`` to the function that carries it out."""
    main = argparse.ArgumentParser(prog="astra", description=ABOUT, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    main.add_argument("--state", type=Path, default=STATE, metavar="FOLDER", help="folder of the local cluster's state (default: .astra)")
    main.add_argument("-n", "--namespace", default="default", help="namespace of the runs that are named (default: default)")
    group = main.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, work: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = group.add_parser(name, help=about, description=about)
        found.set_defaults(command=work)
        return found

    run = command("run", _run, "apply manifests and carry them out on this machine until every run has ended")
    run.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="manifest files, or folders of them")
    run.add_argument("--plain", action="store_true", help="print lines instead of moving bars, also on a terminal")
    run.add_argument("--no-report", action="store_true", help="do not write the report when all runs have succeeded")
    get = command("get", commands.get, "print the table of runs")
    get.add_argument("run", nargs="*", metavar="KIND [NAME]", help="only this kind, or this run")
    get.add_argument("-o", "--output", choices=["wide", "json", "yaml", "name"], help="more columns, or the objects themselves")
    get.add_argument("-A", "--all-namespaces", action="store_true", help="runs of every namespace")
    describe = command("describe", commands.describe, "print everything that is known of one run")
    _add_run(describe)
    render = command("render", commands.render, "print the Kubernetes objects that the operator will create")
    render.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="manifest files, or folders of them")
    report = command("report", _report, "write the report of all finished runs")
    report.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: report.html in the state folder)")
    _add_run(command("rerun", commands.rerun, "ask for a new attempt of a run"))
    _add_run(command("retry", commands.retry, "let a failed run go on from its last checkpoint, in the same attempt"))
    _add_run(command("suspend", commands.suspend, "stop a run's pods; its progress is kept"))
    _add_run(command("resume", commands.resume, "let a suspended run go on"))
    logs = command("logs", commands.logs, "print what a run's pods have printed")
    _add_run(logs)
    logs.add_argument("--attempt", type=int, metavar="N", help="only this attempt (default: the newest)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    return main


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", nargs="+", metavar="KIND NAME", help="kind and name, KIND/NAME, or a NAME that only one run has")


def _run(options: argparse.Namespace) -> int:
    from astra_cli.run import run
    from astra_cli.screen import screen_for

    screen = screen_for(options.plain or plain_output())
    report = None if options.no_report else options.state / "report.html"
    try:
        return run(options.paths, options.state, screen, pod_environment(), report)
    finally:
        screen.close()


def _report(options: argparse.Namespace) -> int:
    return commands.report(options.state, options.out or options.state / "report.html", pod_environment())


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; return the exit code."""
    options = parser().parse_args(arguments)
    return guarded("astra", lambda: _carry_out(options))


def _carry_out(options: argparse.Namespace) -> int:
    try:
        code: int = options.command(options)
        return code
    except BadManifests as error:
        for line in error.problems:
            print(line, file=sys.stderr)
        return EXIT_BAD_INPUT
    except Busy as error:
        print(f"astra: {error}; wait for it or stop it", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
