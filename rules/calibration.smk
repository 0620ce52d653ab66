"""
Calibration: are the probabilities of richer features better ones? Of all arms on all of their targets: table 2's, which the
figure shows, and those of the tables beside it (`calibration.tables`; without the grid).

Input   the predictions that probes, evaluations and transfers have written, and the indices of their data sets (groups of
        the evaluation rows; training rows of each class). No image and no feature is read.
Output  results/calibration.csv             arm, data set, selection: accuracy, expected calibration error, accuracy of the
                                            worst group, multicalibration error; mean and deviation over replicates
        results/calibration_replicates.csv  the same of each replicate, with the name of its worst group and segment
        results/calibration.svg             the figure

No part of the table: it is made when results/calibration.csv is asked for.
"""


rule calibration:
    """All arms on all targets, seconds of work: one job."""
    input:
        code=code_of("calibration"),
        predictions=ancient(study.predictions),
        predictions_sidecars=study.predictions_sidecars,
        evaluation_indices=ancient(study.evaluation_indices),
        evaluation_sidecars=study.evaluation_sidecars,
        train_indices=ancient(study.train_indices),
        train_sidecars=study.train_sidecars,
    output:
        csv="results/calibration.csv",
        replicates="results/calibration_replicates.csv",
        svg="results/calibration.svg",
    log:
        "results/logs/calibration/calibration.log",
    benchmark:
        "results/benchmarks/calibration/calibration.tsv"
    resources:
        mem_mb=growing(study.config.limits.memory_mb),
        runtime=study.runtime,
    params:
        cells=study.calibration_cells,
        arms=study.calibration_arms,
        drawn=len(study.config.arms),
        data_sets=study.calibration_data_sets,
        settings=study.calibration_settings,
        style=study.table_style,
    shell:
        "python -m workflow_scripts.calibration"
        " --predictions {input.predictions:q}"
        " --evaluation-indices {input.evaluation_indices:q}"
        " --train-indices {input.train_indices:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --drawn {params.drawn}"
        " --data-sets {params.data_sets:q}"
        " --settings {params.settings:q}"
        " --style {params.style:q}"
        " --csv {output.csv:q}"
        " --replicates {output.replicates:q}"
        " --svg {output.svg:q}"
        " 2> {log:q}"
