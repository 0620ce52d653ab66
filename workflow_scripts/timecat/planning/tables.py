"""The jobs that make the tables, for `make plan`: what each reads and writes. They take no time to speak of."""

from workflow_scripts.timecat.config.arms import GAP_TABLES, TABLES
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import TableKey

READABLE = ("csv", "markdown", "tex", "svg")


def sequences_in(study: Study, table: str) -> str | None:
    """A data set of a table that has sequences, which a plan does not count; None where there is none."""
    names = [cell.data_set for cell in study.tables.cells(table)]
    return next((name for name in names if study.config.has_sequences(name)), None)


def table_jobs(study: Study) -> list[dict]:
    """Of each of them: rule, name, needs and makes of the job (planning.jobs.Job)."""
    inputs, paths = study.inputs, study.paths

    def job(rule: str, name: str, needs: list[str], forms: tuple[str, ...], *more: str) -> dict:
        files = paths.table.at(table=name)
        makes = (*(getattr(files, form) for form in forms), *more)
        return {"rule": rule, "name": name, "needs": tuple(needs), "makes": makes}

    jobs = [job("tabulate", "table2", inputs.metrics(TableKey("table2")), READABLE, paths.metrics)]
    for name in study.config.tables:
        w = TableKey(name)
        predictions = [*inputs.predictions(w), *inputs.predictions_sidecars(w)]
        if name in TABLES:
            jobs.append(job("tabulate_arms", name, inputs.metrics(w), READABLE))
        elif name in GAP_TABLES:
            jobs.append(job("tabulate_gap", name, predictions, ("csv", "markdown", "svg")))
        else:
            needs = [*predictions, *inputs.evaluation_indices(w)]
            jobs.append(job("tabulate_spurious", name, needs, ("csv", "markdown", "svg")))
    if study.config.grid is not None:
        jobs.append(job("tabulate_grid", "grid", inputs.metrics(TableKey("grid")), ("csv", "svg")))
    w = TableKey("calibration")
    needs = [*inputs.predictions(w), *inputs.predictions_sidecars(w)]
    needs += [*inputs.evaluation_indices(w), *inputs.evaluation_sidecars(w)]
    needs += [*inputs.train_indices(w), *inputs.train_sidecars(w)]
    jobs.append(job("calibration", "calibration", needs, ("csv", "svg"), paths.calibration_replicates))
    networks = paths.counterexample.all
    jobs.append(job("counterexample", "counterexample", [], (), *networks))
    jobs.append(job("tabulate_counterexample", "counterexample", list(networks), ("csv", "svg")))
    return jobs
