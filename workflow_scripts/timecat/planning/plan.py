"""Plan a study: list all of its jobs, the jobs that are left to run, and their costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.timecat.config.reading import load_unique, read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.planning.costs import Costs
from workflow_scripts.timecat.planning.dag import Dag, DagJob, read_dag
from workflow_scripts.timecat.planning.jobs import Job, cells_of, left, planned_jobs
from workflow_scripts.timecat.planning.original import Original, original_procedure
from workflow_scripts.timecat.planning.rows import RowsOf
from workflow_scripts.timecat.planning.throughputs import Throughputs
from workflow_scripts.timecat.planning.work import PlannedStudy
from workflow_scripts.timecat.study.study import Study

TABLE2 = "table2"
ALL = "all"  # every table whose data sets have no sequences
EVERY_TABLE = "all_arms"  # the rule that makes every table


def after_pretraining(jobs: list[Job]) -> list[Job]:
    """Return the jobs that do not pretrain."""
    return [job for job in jobs if job.rule != "pretrain"]


@dataclass(frozen=True)
class Plan:
    """A planned study.

    config: path of the study's config file. tables: names of the planned tables. order: names of all rules, in the
    Snakefile's order. jobs: all jobs, in an order in which they can run. left: jobs that have not run yet. fresh: the
    jobs of the same study with a fresh view of each training image in every epoch of a probe, as in the original
    procedure, or None if this study already has them.
    """

    config: str
    tables: tuple[str, ...]
    order: tuple[str, ...]
    planned: PlannedStudy
    jobs: list[Job]
    left: list[Job]
    costs: Costs
    original: Original
    fresh: list[Job] | None

    @property
    def rules(self) -> list[str]:
        """Names of the rules that have jobs in the plan, in the Snakefile's order."""
        present = {job.rule for job in self.jobs}
        return [rule for rule in self.order if rule in present]

    @property
    def after_pretraining(self) -> list[Job]:
        """Jobs that do not pretrain, to compare with the original procedure.

        They include the writing of data sets, which the original procedure does not do, but which needs no GPU.
        """
        return after_pretraining(self.jobs)

    def left_with(self, *rules: str) -> list[Job]:
        """Return the jobs that are left to run if only the jobs of these rules have run."""
        there = {path for job in self.jobs if job.rule in rules for path in job.dag.outputs}
        return left(self.jobs, there.__contains__, targets_of(self.planned.study, self.tables))


def make_plan(
    config: str | Path,
    throughputs: Throughputs,
    device: str | None = None,
    given: Mapping[str, tuple[int, ...]] | None = None,
    root: str | Path = ".",
    tables: Sequence[str] = (TABLE2,),
) -> Plan:
    """Return the plan of the study that a config file describes.

    device: key of the throughputs' devices (None: the study's default). given: the user's numbers of rows (see RowsOf).
    root: folder that the study's paths start from. tables: names of tables, or ALL. Raise UserError if an argument or
    the config is wrong.
    """
    study = read_study(config)
    planned = PlannedStudy(study, RowsOf(study, given, root))
    graph, names = _graph_of(study, config, tables)
    names = _countable(study, graph, names, leave_out=list(tables) == [ALL])
    targets = targets_of(study, names)
    jobs = planned_jobs(graph.needed_for(targets), planned)
    costs = Costs(planned, throughputs, device)
    waiting = left(jobs, lambda path: (Path(root) / path).exists(), targets)
    return Plan(
        config=str(config),
        tables=names,
        order=graph.rules,
        planned=planned,
        jobs=jobs,
        left=waiting,
        costs=costs,
        original=original_procedure(planned, jobs, costs),
        fresh=_with_fresh_views(planned, graph.needed_for(targets)),
    )


def _with_fresh_views(planned: PlannedStudy, needed: list[DagJob]) -> list[Job] | None:
    """Return the jobs of a study with as many views as probes have epochs.

    Return None if no data set of the study has fewer random views than that.
    """
    config, data_sets = planned.study.config, planned.study.data_sets
    epochs = config.probe.epochs
    counts = {name: data_sets.number_of_views(name) for name in dict.fromkeys(name for _, name in cells_of(needed))}
    fewer = {name for name, count in counts.items() if isinstance(count, int) and count < epochs}
    if not fewer:
        return None
    blocks = {
        name: block.model_copy(update={"views": epochs}) if name in fewer else block
        for name, block in config.data_sets.items()
    }
    study = Study(config.model_copy(update={"data_sets": blocks}))
    return planned_jobs(needed, PlannedStudy(study, planned.rows))


def read_study(config: str | Path) -> Study:
    """Read and check a study's config file. Raise UserError if it cannot be read or has a mistake."""
    file = str(config)
    try:
        values = load_unique(file)
    except OSError as error:
        raise UserError(f"--configfile: {file} cannot be read ({error.strerror}); correct it") from None
    return Study(read_config(values, [file]), [file])


def targets_of(study: Study, tables: Sequence[str]) -> list[str]:
    """Return the CSV files of tables, given the tables' names."""
    return [study.paths.table.at(table=name).csv for name in tables]


def _graph_of(study: Study, config: str | Path, tables: Sequence[str]) -> tuple[Dag, tuple[str, ...]]:
    """Return a graph with the jobs of the tables, and the names of the tables, with ALL expanded.

    Raise UserError for an unknown table.
    """
    if set(tables) <= set(study.tables.names):  # the graph of these alone is smaller
        return read_dag(config, targets_of(study, tables), study.paths.root), tuple(tables)
    graph = read_dag(config, [EVERY_TABLE], study.paths.root)
    known = tuple(Path(path).stem for path in graph.jobs[-1].inputs)
    if list(tables) == [ALL]:
        return graph, known
    for name in tables:
        if name not in known:
            raise UserError(f"--table: {name!r} is not one of the study's tables ({', '.join(known)}); correct it")
    return graph, tuple(tables)


def _countable(study: Study, graph: Dag, tables: tuple[str, ...], leave_out: bool) -> tuple[str, ...]:
    """Return the names of the tables whose data sets have no sequences.

    Leave out the remaining tables if ``leave_out``, else raise UserError for the first of them.
    """
    countable = []
    for name, target in zip(tables, targets_of(study, tables)):
        data_sets = _data_sets_of(graph.needed_for([target]))
        data_set = next(filter(study.config.has_sequences, data_sets), None)
        if data_set is None:
            countable.append(name)
        elif not leave_out:
            more = ", or list only the other tables in calibration.tables" if name == "calibration" else ""
            raise UserError(
                f"--table {name}: its data set {data_set!r} has sequences, but a plan can count only images; leave "
                f"that table out{more}"
            )
    return tuple(countable)


def _data_sets_of(jobs: list[DagJob]) -> list[str]:
    """Return the data sets that jobs read or write, beginning with the columns of the table."""
    written = [job.wildcards["data_set"] for job in jobs if "split" in job.wildcards]
    return [data_set for _, data_set in cells_of(jobs)] + written
