"""Add reduced arms and a network with a wider last block to a finished study, and run their tables."""

import csv
import io

import pyarrow.parquet as pq

WIDTH, DIAGNOSTICS = "results/width.csv", "results/diagnostics.csv"


def with_width(values: dict) -> None:
    """Add reduced arms of cat1 (8 features) and of cat3 (24 features) to a config."""
    values["width"] = {"dimensions": [4, 8, 16]}
    values["arms"].append(
        {"name": "fewer", "members": 3, "steps": 4, "reduce": {"method": "pca", "dimensions": 5}, "solver": "lbfgs"}
    )


def with_wide(values: dict) -> None:
    values["backbones"]["wide4"] = values["backbones"]["residual4"] | {"last_width": 24}
    wide = {"name": "wide", "members": 1, "steps": 4, "backbone": "wide4", "seeds": [2]}
    values["controls"] = {"arms": ["cat1", "cat3_pca8", wide]}


def lines(study, path: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(study.read(path).decode())))


def test_reduced_arms_run_only_probes_and_tables(study):
    kept = study.checkpoints()
    study.change_config(with_width)
    # cat1 by both methods to 4 and 8 dimensions, cat3 also to 16, and the reduced arm of table 2.
    assert study.run("--", WIDTH, "results/table2.csv") == {
        "probe": 4 + 6 + 1,
        "tabulate_width": 1,
        "tabulate": 1,
    }
    assert study.checkpoints() == kept and study.run("-n", "--", WIDTH, "results/table2.csv") == {}
    found = {line["method"]: line for line in lines(study, WIDTH)}
    assert len(found) == 12 and found["cat3_random16"]["dimensions"] == "16" and found["cat3"]["dimensions"] == "24"
    assert found["cat1"]["cues_tiny"] == lines(study, "results/table2.csv")[0]["cues_tiny"]
    text = study.read("results/width.md").decode()
    assert "a lower bound on what the features allow" in text and "reduced by" in text
    assert study.read("results/width.svg").startswith(b"<?xml") and rb"\label{tab:width}" in study.read(
        "results/width.tex"
    )
    kinds = {(line["arm"], line["baseline"]) for line in lines(study, "results/width.contrasts.csv")}
    assert ("cat3_pca4", "cat1_pca4") in kinds and not any(arm == "cat3_pca16" for arm, _ in kinds)

    # Diagnostics read the heads of the reduced arm on the unreduced features.
    study.run("--", DIAGNOSTICS)
    diagnosis = pq.read_table(study.path / "results/diagnostics/cues_tiny/cues_tiny/fewer.parquet").to_pylist()
    accuracies = {row["selection"]: row["value"] for row in diagnosis if row["quantity"] == "accuracy"}
    reported = next(line for line in lines(study, "results/table2.csv") if line["method"] == "fewer")
    assert float(reported["cues_tiny_holdout"]) == round(accuracies["holdout"], 2)

    study.change_config(with_wide)
    assert study.run("--", "results/controls.csv") == {
        "pretrain": 1,
        "extract_features": 1,
        "probe": 1,
        "tabulate_arms": 1,
    }
    text = study.read("results/controls.md").decode()
    assert "features reduced to 8 principal components, so the accuracy is a lower bound" in text
    assert "**wide**: " in text and "× those in **cat1**" in text
