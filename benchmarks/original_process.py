"""Run the original procedure as a separate process; write its seconds, and the accuracy and loss of each epoch.

    python -m benchmarks.original_process JOB.json

The file JOB.json, which table_cell.py writes, contains weights, the folder of the .beton files, transform,
augmentation_seed, protocol, and the path of the result.
"""

import json
import sys
import time
from pathlib import Path

from tests.references.original_procedure import Images, original_procedure
from workflow_scripts.timecat.checkpoints import files
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.probing.protocol import Protocol
from workflow_scripts.timecat.runtime import torch_settings


def main() -> None:
    """Read the job, run it and write the result."""
    job = json.loads(Path(sys.argv[1]).read_text())
    torch_settings.configure(1)
    backbone, _ = files.read_backbone(job["weights"])
    images = Images(
        name="cues",
        train=Path(job["folder"]) / "train.beton",
        evaluation=Path(job["folder"]) / "evaluation.beton",
        transform=Transform(**job["transform"]),
        augmentation_seed=job["augmentation_seed"],
    )
    begin = time.perf_counter(), time.process_time()
    result = original_procedure([backbone], images, Protocol(**job["protocol"]))
    seconds = {"seconds": time.perf_counter() - begin[0], "processor_seconds": time.process_time() - begin[1]}
    evaluated = [row for row in result.rows if row["split"] == "evaluation"]
    figures = {"top1": [row["top1"] for row in evaluated], "losses": [row["loss"] for row in evaluated]}
    Path(job["result"]).write_text(json.dumps(seconds | figures))


if __name__ == "__main__":
    main()
