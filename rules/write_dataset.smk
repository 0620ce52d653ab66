"""
Writes data sets in FFCV's format.

Input   a data set's block of the config: generated images, images of a library, or files below `root`; for a folder that is
        evaluated with another data set's probe, that data set's class names (its evaluation index).
Output  results/data_sets/{data_set}/{split}.beton          the images, in data set order
        results/data_sets/{data_set}/{split}.beton.json     its sidecar: digest of the decoded content, rows, classes
        results/data_sets/{data_set}/{split}.index.parquet  row, label, class name, group columns, source of each row
        results/data_sets/{data_set}/{split}.skipped.tsv    images that cannot be read and were left out, and why

The bytes of a .beton depend on the order in which its workers finish; the sidecar's digest does not. Snakemake does not
watch the image files, which may be millions: after a change of images, use --forcerun with the data set's two .beton files.
"""


rule write_dataset:
    """Write one split of one data set."""
    input:
        code=code_of("write_dataset"),
        probed_sidecar=study.inputs.probed_sidecar,
        probed_index=ancient(study.inputs.probed_index),
    output:
        beton=paths.data_set.beton,
        sidecar=paths.data_set.sidecar,
        index=paths.data_set.index,
        skipped=paths.data_set.skipped,
    log:
        paths.log("write_dataset"),
    benchmark:
        paths.benchmark("write_dataset")
    threads: study.config.limits.workers
    resources:
        mem_mb=growing(study.config.limits.memory_mb),
        runtime=study.resources.runtime,
        may_download=study.resources.may_download,
    params:
        settings=study.params.data_set,
    shell:
        "python -m workflow_scripts.write_dataset"
        " --name {wildcards.data_set}"
        " --split {wildcards.split}"
        " --settings {params.settings:q}"
        " --download {resources.may_download}"
        " --probed-sidecar {input.probed_sidecar:q}"
        " --probed-index {input.probed_index:q}"
        " --workers {threads}"
        " --beton {output.beton:q}"
        " --index {output.index:q}"
        " --skipped {output.skipped:q}"
        " 2> {log:q}"
