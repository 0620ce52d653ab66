"""Print what a study costs before it runs: jobs, images, GPU time and disk, in total and left."""

import tempfile
from pathlib import Path

from workflow_scripts.timecat.artifacts.project import path_of
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.planning.pilot import pilot_text, read_pilot
from workflow_scripts.timecat.planning.plan import TABLE2, make_plan
from workflow_scripts.timecat.planning.report import printed
from workflow_scripts.timecat.planning.rows import positive_numbers, stated_rows
from workflow_scripts.timecat.planning.throughputs import TABLE, read_throughputs
from workflow_scripts.timecat.runtime import command


def main() -> None:
    """Read the command line and print the plan or write its page."""
    parser = command.parser(__doc__)
    parser.add_argument("--configfile", default=path_of("config/config.yaml"), help="config of the study")
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        help="plan this table instead of table2; may be repeated; `all`: every table without sequences",
    )
    parser.add_argument(
        "--gpus",
        type=positive_numbers,
        default=[],
        help="simulate these numbers of GPUs (on a CPU: cores), as in 8,64,512",
    )
    parser.add_argument(
        "--pretrain-gpus",
        type=positive_numbers,
        default=[],
        help="simulate these values of limits.pretrain_gpus instead of the config's",
    )
    parser.add_argument(
        "--device",
        help="key of `devices` in the table of throughputs (default: the first device with a rate for the backbone)",
    )
    parser.add_argument("--throughputs", type=Path, default=TABLE, help="table of throughputs")
    parser.add_argument(
        "--rows",
        action="append",
        type=stated_rows,
        default=[],
        metavar="DATA_SET=TRAIN,EVALUATION[,CLASSES]",
        help="rows of a data set that is missing (for evaluation only: DATA_SET=EVALUATION); may be repeated",
    )
    parser.add_argument("--page", type=Path, help="write a page and its figure to this path instead of printing")
    arguments = parser.parse_args()
    if arguments.page and arguments.table:
        raise UserError("--page: the page is about table 2; leave out --table")
    with tempfile.TemporaryDirectory() as nothing:  # a page describes a study of which no file exists yet
        plan = make_plan(
            arguments.configfile,
            read_throughputs(arguments.throughputs),
            device=arguments.device,
            given=dict(arguments.rows),
            root=nothing if arguments.page else ".",
            tables=arguments.table or [TABLE2],
        )
    if arguments.pretrain_gpus and plan.costs.is_cpu:
        raise UserError(f"--pretrain-gpus: {plan.costs.name} is not a GPU; leave it out, or choose another --device")
    if not arguments.page:
        print(printed(plan, arguments.gpus, arguments.pretrain_gpus))
        if found := pilot_text(read_pilot(plan)):
            print(f"\n{found}")
        return
    from workflow_scripts.timecat.planning.page import write_page

    write_page(arguments.page, plan, arguments.gpus, arguments.pretrain_gpus)


if __name__ == "__main__":
    command.run(main)
