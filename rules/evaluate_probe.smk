"""
Evaluates the probe of one data set on another, which is for evaluation only. Nothing is trained or selected.

Input   the features of an arm's members on that data set, its index (labels of the probe's classes), and the selected heads
        of the probe of its `probe_of`.
Output  results/evaluations/{source}/{data_set}/{arm}.parquet              metrics in the format of the probe's, of the
                                                                           selected heads (column selection) per replicate
        results/evaluations/{source}/{data_set}/{arm}.predictions.parquet  predictions per evaluation row

Predictions are masked to the classes that occur in the data set: arg max, softmax and loss run over those only.
"""


rule evaluate_probe:
    """Evaluate one arm on one data set for evaluation only: all replicates, both selections."""
    input:
        **MEMBERS_FEATURES,
        **EVALUATION_LABELS,
        code=code_of("evaluate_probe"),
        heads=ancient(study.inputs.heads),
        heads_sidecar=study.inputs.heads_sidecar,
    output:
        metrics=paths.evaluation.metrics,
        predictions=paths.evaluation.predictions,
        predictions_sidecar=paths.evaluation.predictions_sidecar,
    log:
        paths.log("evaluate_probe"),
    benchmark:
        paths.benchmark("evaluate_probe")
    wildcard_constraints:
        data_set=study.patterns["evaluated"],
        arm=study.patterns["probed_arm"],
    threads: study.config.torch_threads
    resources:
        **ONE_GPU,
    params:
        replicates=study.params.replicates,
        torch_threads=study.config.torch_threads,
    shell:
        "python -m workflow_scripts.evaluate_probe"
        " --features {input.features:q}"
        " --replicates {params.replicates:q}"
        " --heads {input.heads:q}"
        " --evaluation-index {input.evaluation_index:q}"
        " --torch-threads {params.torch_threads} --gpus {resources.gpu}"
        " --metrics {output.metrics:q}"
        " --predictions {output.predictions:q}"
        " 2> {log:q}"
