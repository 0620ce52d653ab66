"""
Deep feature reweighting: trains the last layer on frozen, concatenated features again, on balanced groups.

Input   the features of an arm's members on a data set, for every replicate, and the data set's indices, which have the
        columns that `reweight.groups` names.
Output  results/reweightings/{source}/{data_set}/{arm}.parquet              metrics in the format of the probe's, a row per
                                                                            replicate and selection
        results/reweightings/{source}/{data_set}/{arm}.predictions.parquet  predictions per evaluation row
        and a sidecar beside the predictions.
"""


rule reweight:
    """Reweight one arm on one data set: all replicates."""
    input:
        **MEMBERS_FEATURES,
        **TRAIN_LABELS,
        **EVALUATION_LABELS,
        code=code_of("reweight"),
    output:
        metrics=paths.reweighting.metrics,
        predictions=paths.reweighting.predictions,
        predictions_sidecar=paths.reweighting.predictions_sidecar,
    log:
        paths.log("reweight"),
    benchmark:
        paths.benchmark("reweight")
    wildcard_constraints:
        arm=study.patterns["reweighted_arm"],
        data_set=study.patterns["probed"],
    resources:
        mem_mb=growing(study.resources.probe_memory_mb),
        runtime=study.resources.runtime,
    params:
        replicates=study.params.replicates,
        views=study.params.views,
        settings=study.params.reweight,
    shell:
        "python -m workflow_scripts.reweight"
        " --features {input.features:q}"
        " --replicates {params.replicates:q}"
        " --train-index {input.train_index:q}"
        " --evaluation-index {input.evaluation_index:q}"
        " --views {params.views:q}"
        " --settings {params.settings:q}"
        " --metrics {output.metrics:q}"
        " --predictions {output.predictions:q}"
        " 2> {log:q}"
