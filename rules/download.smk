"""
Downloads published weights, once per URL: all checkpoints in an archive share its download.

Input   none; the config names the URL.
Output  results/downloads/{download}       the unchanged file; its name begins with eight digits of its URL's digest
        results/downloads/{download}.json  its sidecar: SHA-256, size and URL

The data of an interrupted download is kept in a file that is not declared to Snakemake, and the next attempt resumes there.
"""


rule download:
    """Download one URL."""
    input:
        # The bytes at a URL do not depend on this code, so an edit of it does not download gigabytes again.
        code=ancient(code_of("download")),
    output:
        file=paths.download.path,
        sidecar=paths.download.sidecar,
    log:
        paths.log("download"),
    benchmark:
        paths.benchmark("download")
    wildcard_constraints:
        download=study.patterns["download"],
    localrule: True  # nodes of a cluster often have no internet access
    resources:
        # Only a check, so it is not a param: adding it to the config later downloads nothing again.
        sha256=study.resources.download_sha256,
    params:
        url=study.params.download_url,
    shell:
        "python -m workflow_scripts.download"
        " --url {params.url:q}"
        " --sha256 {resources.sha256:q}"
        " --file {output.file:q}"
        " 2> {log:q}"
