"""Keep results after an upgrade of timecat: check them, list what is kept and what runs again, and tell Snakemake."""

from pathlib import Path

from workflow_scripts.timecat.artifacts.project import path_of
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.planning.keep import listing, report, take_over, to_force, verdicts
from workflow_scripts.timecat.planning.plan import EVERY_TABLE
from workflow_scripts.timecat.runtime import command


def main() -> None:
    """Read the command line, print which jobs are kept, and with --apply tell Snakemake."""
    parser = command.parser(__doc__)
    parser.add_argument("--configfile", default=path_of("config/config.yaml"), help="config of the study")
    parser.add_argument(
        "--except",
        dest="again",
        action="append",
        default=[],
        metavar="RULE",
        help="rule that must run again; may be repeated",
    )
    parser.add_argument("--apply", action="store_true", help="take the results over; without it they are only listed")
    parser.add_argument("--list", type=Path, metavar="FILE", help="write the decision about every file to FILE (TSV)")
    parser.add_argument("targets", nargs="*", default=[EVERY_TABLE], help="files or rules (default: every table)")
    arguments = parser.parse_args()
    if arguments.list and not arguments.list.parent.is_dir():
        raise UserError(f"--list: there is no folder {arguments.list.parent}; make it, or name another file")
    found = verdicts(arguments.configfile, arguments.targets, arguments.again)
    print(report(found))
    if arguments.list:
        arguments.list.write_text(listing(found))
    kept = [each.job for each in found if each.reason is None]
    if not arguments.apply:
        print(
            f"\n{len(kept)} of {len(found)} jobs can be kept. Nothing was changed: add --apply (make keep APPLY=yes)."
        )
        return
    take_over(arguments.configfile, kept)
    print(f"\n{len(kept)} of {len(found)} jobs are kept; `snakemake -n` lists the others.")
    if forced := to_force(found):
        print("Snakemake does not see all reasons by itself. Run it with your usual options and with:\n")
        study = f"--configfile {arguments.configfile} --forcerun {' '.join(forced)}"
        print(f"{study} -- {' '.join(arguments.targets)}")


if __name__ == "__main__":
    command.run(main)
