"""Extract the features of one data set with one checkpoint: all splits and views in one job."""

import os
import shutil
from pathlib import Path

from workflow_scripts.timecat import command, devices
from workflow_scripts.timecat.artifacts import array_digest, digest, read_sidecar, write_sidecar


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--data-set", required=True)
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--train", required=True, type=Path, help=".beton")
    parser.add_argument("--evaluation", required=True, type=Path, help=".beton")
    parser.add_argument("--extraction", required=True, type=command.json_value, help="features block, views by name")
    parser.add_argument("--heldout", required=True, type=command.json_value)
    parser.add_argument("--transform", required=True, type=command.json_value)
    parser.add_argument("--torch-threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int)
    parser.add_argument("--features", required=True, type=Path, help="folder")
    arguments = parser.parse_args()
    device = devices.acquire(arguments.gpus)

    import numpy as np

    from workflow_scripts.timecat import torch_settings
    from workflow_scripts.timecat.checkpoints import read_backbone
    from workflow_scripts.timecat.extraction import Extraction, write_features
    from workflow_scripts.timecat.ffcv_reader import describe
    from workflow_scripts.timecat.heldout import heldout_rows
    from workflow_scripts.timecat.progress import Progress
    from workflow_scripts.timecat.views import CENTER, Transform, view_key

    torch_settings.configure(arguments.torch_threads)
    settings, transform = Extraction(**arguments.extraction), Transform(**arguments.transform)
    backbone, _ = read_backbone(arguments.weights)
    backbone = backbone.to(device)

    labels = describe(arguments.train).labels
    everything = np.arange(len(labels))
    passes = [
        ("evaluation", CENTER, arguments.evaluation, np.arange(read_sidecar(arguments.evaluation)["rows"])),
        ("heldout", CENTER, arguments.train, heldout_rows(labels, **arguments.heldout)),
        *(("train", view, arguments.train, everything) for view in settings.views),
    ]
    # Written beside the folder and moved there when all are whole: half of a folder never has its name.
    temporary = arguments.features.with_name(f".{arguments.features.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    progress = Progress(sum(len(rows) for *_, rows in passes), f"features of {arguments.data_set}", "images")
    digests = {}
    command.log_start_up()
    for split, view, beton, rows in passes:
        number = view if view == CENTER else int(view.removeprefix("view"))
        key = view_key(settings.augmentation_seed, arguments.data_set, number)
        path = temporary / f"{split}.{view}.npy"
        dimension = write_features(path, backbone, beton, rows, key, transform, settings, device, arguments.workers)
        digests[path.name] = array_digest(np.load(path, mmap_mode="r"))
        progress.advance(len(rows))
    progress.close()
    shutil.rmtree(arguments.features, ignore_errors=True)
    os.replace(temporary, arguments.features)
    write_sidecar(
        arguments.features,
        content=digest(digests),
        params={
            name: getattr(arguments, name)
            for name in ("data_set", "extraction", "heldout", "transform", "torch_threads")
        },
        inputs={name: read_sidecar(getattr(arguments, name))["content"] for name in ("weights", "train", "evaluation")},
        facts={"dimension": dimension, "files": digests},
        device=torch_settings.device_name(device),
    )


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
