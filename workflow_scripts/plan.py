"""What a study takes, before it is paid for: jobs, images, GPU time and disk, in total and left."""

import argparse
import tempfile
from pathlib import Path

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime import command

TABLE = Path("config/throughputs.yaml")


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--configfile", default="config/config.yaml", help="the study")
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        help="another table than table2, as in --table table1; may be repeated; `all`: every one that has no sequences",
    )
    parser.add_argument(
        "--gpus", type=positive_numbers, default=[], help="simulate on so many GPUs (of a CPU: cores), as in 8,64,512"
    )
    parser.add_argument(
        "--pretrain-gpus",
        type=positive_numbers,
        default=[],
        help="with these limits.pretrain_gpus instead of the config's",
    )
    parser.add_argument("--device", help="a key of the table's devices (default: the first that has the backbone)")
    parser.add_argument("--throughputs", type=Path, default=TABLE, help="another table than config/throughputs.yaml")
    parser.add_argument(
        "--rows",
        action="append",
        type=stated_rows,
        default=[],
        metavar="DATA_SET=TRAIN,EVALUATION[,CLASSES]",
        help="rows of a data set that is not there (of one for evaluation only: DATA_SET=EVALUATION); may be repeated",
    )
    parser.add_argument("--page", type=Path, help="write a page and its figure there, instead of printing")
    arguments = parser.parse_args()
    if not arguments.page:
        print(printed(arguments))
        return
    if arguments.table:
        raise UserError("--page: it is of table 2; leave --table out")
    from workflow_scripts.timecat.planning.page import write_page

    with tempfile.TemporaryDirectory() as nothing:  # a page is of a study of which nothing is made
        plan = plan_of(arguments, nothing)
    write_page(arguments.page, arguments.configfile, plan, arguments.gpus, arguments.pretrain_gpus)


def printed(arguments) -> str:
    """What is printed."""
    from workflow_scripts.timecat.planning.devices import OnDevices, saturation, wall_clock_table
    from workflow_scripts.timecat.planning.report import text

    plan = plan_of(arguments)
    parts = [text(plan, arguments.configfile)]
    if not plan.left:
        parts.append("Nothing is left to run.")
    elif arguments.gpus:
        cases = [OnDevices(plan.left, plan.costs, number) for number in arguments.pretrain_gpus or [None]]
        parts.append(wall_clock_table(cases, arguments.gpus))
        parts += [saturation(case, plan.planned.study) for case in cases]
    return "\n\n".join(parts)


def plan_of(arguments, root="."):
    """The plan that the command line asks for; root: where results and data are."""
    from workflow_scripts.timecat.config.reading import load_unique, read_config
    from workflow_scripts.timecat.planning.report import make_plan
    from workflow_scripts.timecat.planning.tables import sequences_in
    from workflow_scripts.timecat.planning.throughputs import read_throughputs
    from workflow_scripts.timecat.study.study import Study

    file = arguments.configfile
    try:
        values = load_unique(file)
    except OSError as error:
        raise UserError(f"--configfile: {file} cannot be read ({error.strerror}); correct it") from None
    study = Study(read_config(values, [file]), [file])
    tables = arguments.table or ["table2"]
    if tables == ["all"]:
        tables = [name for name in study.tables.names if sequences_in(study, name) is None]
    throughputs = read_throughputs(arguments.throughputs)
    plan = make_plan(study, throughputs, arguments.device, dict(arguments.rows), root, tuple(tables))
    if arguments.pretrain_gpus and plan.costs.is_cpu:
        raise UserError(f"--pretrain-gpus: {plan.costs.name} is no GPU; leave it out, or choose another --device")
    return plan


def positive_numbers(text: str) -> list[int]:
    """argparse type: whole numbers greater than 0, with commas between them."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers greater than 0, such as 8,64,512")
    return [int(part) for part in parts]


def stated_rows(text: str) -> tuple[str, tuple[int, ...]]:
    """argparse type: NAME=numbers."""
    name, _, numbers = text.partition("=")
    try:
        return name, tuple(positive_numbers(numbers))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like imagenet=1281167,50000") from None


if __name__ == "__main__":
    command.run(main)
