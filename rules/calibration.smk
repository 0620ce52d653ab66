"""
Measures calibration: do richer features give better probabilities? The table has all arms on all of their targets: those
of table 2, which the figure shows, and those of the other tables in `calibration.tables` (without the grid).

Input   the predictions that probes, evaluations and transfers have written, and the indices of their data sets (groups of
        the evaluation rows; number of training rows of each class). No image and no feature is read.
Output  results/calibration.csv             arm, data set, selection: accuracy, expected calibration error, accuracy of the
                                            worst group, multicalibration error; mean and deviation over replicates
        results/calibration_replicates.csv  these columns for each replicate, with its worst group and worst segment
        results/calibration.contrasts.csv   each arm minus the baseline, where both have a data set, with an interval over
                                            seeds: kinds accuracy, ece, ece_calibrated and worst_group_accuracy, each one
                                            family of p_holm within a selection. In points; a lower ece is better
        results/calibration.svg             the figure

These files are made only when requested, for example with the target results/calibration.csv.
"""

calibration = paths.table.at(table="calibration")

FURTHER_TABLES.append(calibration.csv)


rule calibration:
    """Measure all arms on all targets in one job, which takes seconds."""
    input:
        code=code_of("calibration"),
        predictions=ancient(of_table(study.inputs.predictions, "calibration")),
        predictions_sidecars=of_table(study.inputs.predictions_sidecars, "calibration"),
        evaluation_indices=ancient(
            of_table(study.inputs.evaluation_indices, "calibration")
        ),
        evaluation_sidecars=of_table(study.inputs.evaluation_sidecars, "calibration"),
        train_indices=ancient(of_table(study.inputs.train_indices, "calibration")),
        train_sidecars=of_table(study.inputs.train_sidecars, "calibration"),
    output:
        csv=calibration.csv,
        replicates=paths.calibration_replicates,
        contrasts=calibration.contrasts,
        svg=calibration.svg,
    log:
        paths.log("calibration"),
    benchmark:
        paths.benchmark("calibration")
    resources:
        mem_mb=growing(study.config.limits.memory_mb),
        runtime=study.resources.runtime,
    params:
        cells=of_table(study.table_params.cells, "calibration"),
        arms=study.table_params.calibrated_rows,
        seeds=study.table_params.calibrated_seeds,
        baseline=of_table(study.table_params.baseline, "table2"),
        drawn=len(study.config.arms),
        data_sets=study.table_params.calibrated_columns,
        settings=study.table_params.calibration,
        style=study.table_params.style,
    shell:
        "python -m workflow_scripts.calibration"
        " --predictions {input.predictions:q}"
        " --evaluation-indices {input.evaluation_indices:q}"
        " --train-indices {input.train_indices:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --seeds {params.seeds:q}"
        " --baseline {params.baseline}"
        " --drawn {params.drawn}"
        " --data-sets {params.data_sets:q}"
        " --settings {params.settings:q}"
        " --style {params.style:q}"
        " --csv {output.csv:q}"
        " --replicates {output.replicates:q}"
        " --contrasts {output.contrasts:q}"
        " --svg {output.svg:q}"
        " 2> {log:q}"
