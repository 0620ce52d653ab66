"""Run the calibration of the finished tiny study, and check which changes rerun it."""

import csv
import io


def lines(study, file: str) -> list[dict]:
    """Return the rows of a CSV file of results, as dicts."""
    return list(csv.DictReader(io.StringIO(study.read(f"results/{file}").decode())))


def test_calibration_agrees_with_table_2(study):
    """Calibration is one job. It does not rerun the jobs of table 2, and only its own code and settings rerun it."""
    study.change_config(lambda values: values.update(calibration={"minimum_rows": 10}))
    assert study.run("--", "results/calibration.csv") == {"calibration": 1}
    table = {line["method"]: line for line in lines(study, "table2.csv")}
    found = lines(study, "calibration.csv")
    assert [(line["method"], line["selection"]) for line in found] == [
        (arm, selection) for arm in ("cat1", "cat3") for selection in ("paper", "holdout")
    ]
    for line in found:
        column = "cues_tiny" if line["selection"] == "paper" else "cues_tiny_holdout"
        assert float(line["accuracy"]) == float(f"{float(table[line['method']][column]):.2f}")
        assert 0 < float(line["ece"]) < 100 and float(line["mce_sigma"]) > 0 and line["rows"] == "200"
        assert 0 <= float(line["worst_group_accuracy"]) <= float(line["accuracy"]) and int(line["groups"]) > 30
    worst = {line["worst_group"].split("=")[0] for line in lines(study, "calibration_replicates.csv")}
    assert worst <= {"cue0", "cue1", "cue2", "cue3"}
    contrasts = lines(study, "calibration.contrasts.csv")
    assert [(line["arm"], line["baseline"], line["selection"], line["kind"]) for line in contrasts] == [
        ("cat3", "cat1", selection, quantity)
        for selection in ("paper", "holdout")
        for quantity in ("accuracy", "ece", "ece_calibrated", "worst_group_accuracy")
    ]
    gains = {line["selection"]: line for line in lines(study, "table2.contrasts.csv") if line["kind"] == "gain"}
    for line in contrasts:
        if line["kind"] == "accuracy":  # table 2 computes it from the metrics of the same replicates
            gain = gains[line["selection"]]
            names = ("seeds", "replicates", "interval", "no_interval_because")
            assert [line[name] for name in names] == [gain[name] for name in names]
            assert float(line["mean"]) == float(gain["mean"])
    files = (".csv", ".svg", "_replicates.csv", ".contrasts.csv")
    before = {name: study.read(f"results/calibration{name}") for name in files}
    assert before[".svg"].startswith(b"<?xml")

    study.append("workflow_scripts/timecat/measures/groups.py", "\n# edited\n")
    assert study.run() == {}  # table 2 does not depend on this module
    assert study.run("--", "results/calibration.csv") == {"calibration": 1}
    assert {name: study.read(f"results/calibration{name}") for name in before} == before
    assert study.run("--", "results/calibration.csv") == {}
    study.change_config(lambda values: values["calibration"].update(bins=3))
    assert study.run("-n", "--", "results/calibration.csv") == {"calibration": 1} and study.run() == {}
