"""The jobs that make the tables, for `make plan`: what each reads and writes. They take no time to speak of."""

from types import SimpleNamespace

from workflow_scripts.timecat.config.arms import GAP_TABLES, TABLES
from workflow_scripts.timecat.study.study import Study

TABLE2 = "results/table2.csv"
READABLE = ("csv", "md", "tex", "svg")


def tables_of(study: Study) -> list[str]:
    """The names of all tables that a study has."""
    return [path.removeprefix("results/").removesuffix(".csv") for path in study.all_tables()]


def cells_of(study: Study, table: str) -> list[dict[str, str]]:
    """Arms on data sets that a table shows: {"arm", "data_set"}."""
    if table == "counterexample":
        return []
    if table == "table2":
        return study.cells()
    if table == "calibration":
        return study.calibrated_cells()
    arms = study.grid_arms.values() if table == "grid" else study.rows_of(table)
    return study.cells(arms, study.targets_of(table))


def sequences_in(study: Study, table: str) -> str | None:
    """A data set of a table that has sequences, which a plan does not count; None where there is none."""
    names = [cell["data_set"] for cell in cells_of(study, table)]
    return next((name for name in names if study.config.has_sequences(name)), None)


def table_jobs(study: Study) -> list[dict]:
    """Of each of them: rule, name, needs and makes of the job (planning.jobs.Job)."""
    jobs = [_job("tabulate", "table2", study.probes(), READABLE, "results/metrics.parquet")]
    for name in study.config.tables:
        w = SimpleNamespace(table=name)
        predictions = [*study.arm_table_predictions(w), *study.arm_table_predictions_sidecars(w)]
        if name in TABLES:
            jobs.append(_job("tabulate_arms", name, study.arm_table_probes(w), READABLE))
        elif name in GAP_TABLES:
            jobs.append(_job("tabulate_gap", name, predictions, ("csv", "md", "svg")))
        else:
            needs = [*predictions, *study.spurious_indices()]
            jobs.append(_job("tabulate_spurious", name, needs, ("csv", "md", "svg")))
    if study.config.grid is not None:
        jobs.append(_job("tabulate_grid", "grid", study.grid_probes(), ("csv", "svg")))
    needs = [*study.predictions(), *study.predictions_sidecars()]
    needs += [*study.evaluation_indices(), *study.evaluation_sidecars()]
    needs += [*study.train_indices(), *study.train_sidecars()]
    jobs.append(_job("calibration", "calibration", needs, ("csv", "svg"), "results/calibration_replicates.csv"))
    networks = ("results/counterexample.parquet", "results/counterexample_together.parquet")
    jobs.append(_job("counterexample", "counterexample", [], (), *networks))
    jobs.append(_job("tabulate_counterexample", "counterexample", networks, ("csv", "svg")))
    return jobs


def _job(rule: str, name: str, needs: list[str], ends: tuple[str, ...], *more: str) -> dict:
    makes = (*(f"results/{name}.{end}" for end in ends), *more)
    return {"rule": rule, "name": name, "needs": tuple(needs), "makes": makes}
