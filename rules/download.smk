"""
Downloads of published weights, one per URL: an archive serves all checkpoints that it holds.

Input   nothing; the config names the URL.
Output  results/downloads/{download}       the file as the server has it; eight digits before its name are of its URL
        results/downloads/{download}.json  its sidecar: SHA-256, size and URL

What has come of an interrupted download is kept in a file that Snakemake does not know of, and the next one goes on there.
"""


rule download:
    """One URL."""
    input:
        # The bytes at a URL do not depend on how they are fetched: an edit here does not fetch gigabytes again.
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
    localrule: True  # a cluster's nodes often have no way out
    resources:
        # Checked and, not being part of what the file is, no param: to write it in the config later fetches nothing.
        sha256=study.resources.download_sha256,
    params:
        url=study.params.download_url,
    shell:
        "python -m workflow_scripts.download"
        " --url {params.url:q}"
        " --sha256 {resources.sha256:q}"
        " --file {output.file:q}"
        " 2> {log:q}"
