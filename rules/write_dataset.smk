"""
Data sets to FFCV.

Input   a data set's block of the config (made or shipped images, so far).
Output  results/data_sets/{data_set}/{split}.beton          the images, in data set order
        results/data_sets/{data_set}/{split}.beton.json     its sidecar: digest of the decoded content, rows, classes
        results/data_sets/{data_set}/{split}.index.parquet  row, label, class name, group columns, source of each row

The bytes of a .beton depend on how its writers raced; the sidecar's digest does not.
"""


rule write_dataset:
    """One data set, both splits."""
    input:
        code=code_of("write_dataset"),
    output:
        train="results/data_sets/{data_set}/train.beton",
        train_sidecar="results/data_sets/{data_set}/train.beton.json",
        train_index="results/data_sets/{data_set}/train.index.parquet",
        evaluation="results/data_sets/{data_set}/evaluation.beton",
        evaluation_sidecar="results/data_sets/{data_set}/evaluation.beton.json",
        evaluation_index="results/data_sets/{data_set}/evaluation.index.parquet",
    log:
        "results/logs/write_dataset/{data_set}.log",
    benchmark:
        "results/benchmarks/write_dataset/{data_set}.tsv"
    threads: study.config.limits.workers
    resources:
        mem_mb=study.config.limits.memory_mb,
        runtime=study.config.limits.runtime_minutes,
    params:
        settings=study.data_set_settings,
    shell:
        "python -m workflow_scripts.write_dataset"
        " --name {wildcards.data_set}"
        " --settings {params.settings:q}"
        " --workers {threads}"
        " --train {output.train:q}"
        " --train-index {output.train_index:q}"
        " --evaluation {output.evaluation:q}"
        " --evaluation-index {output.evaluation_index:q}"
        " 2> {log:q}"
