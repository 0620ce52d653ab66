"""The kinds of data sets: each module beside this one turns a block of the config into one split, in data set order.

A split is a ``Split``: the images (uint8 [rows, height, width, 3] or anything with ``__len__`` and ``__getitem__`` that
gives one such image), the labels, the class names and what the index says of each row.
"""

from workflow_scripts.timecat.images.datasets.split import Split


def read_split(settings: dict, split: str, probed_classes: list | None = None) -> Split:
    """The split ("train" or "evaluation") of the data set that ``settings`` (its block of the config) describes.

    probed_classes: class names, by label, of the data set whose probe is evaluated, for folders for evaluation only; for a
    part's rows for evaluation, of its training rows.
    """
    # Imported here: scikit-learn and torchvision take seconds to import, and only digits and CIFAR need them.
    kind = settings["kind"]
    if kind == "evaluation_folder":
        from workflow_scripts.timecat.images.datasets.evaluation_folders import evaluation_folder_split

        return evaluation_folder_split(settings, split, probed_classes)
    if kind == "part":
        from workflow_scripts.timecat.images.datasets.parts import part_split

        return part_split(settings, split, probed_classes)
    if kind == "cues":
        from workflow_scripts.timecat.images.datasets.cues import cues_split as reader
    elif kind == "shortcut":
        from workflow_scripts.timecat.images.datasets.shortcut import shortcut_split as reader
    elif kind == "waterbirds":
        from workflow_scripts.timecat.images.datasets.spurious_photos import waterbirds_split as reader
    elif kind == "celeba":
        from workflow_scripts.timecat.images.datasets.spurious_photos import celeba_split as reader
    elif kind == "motifs":
        from workflow_scripts.timecat.images.datasets.motifs import motifs_split as reader
    elif kind == "sequences":
        from workflow_scripts.timecat.images.datasets.sequences import sequences_split as reader
    elif kind == "digits":
        from workflow_scripts.timecat.images.datasets.digits import digits_split as reader
    elif kind == "inaturalist18":
        from workflow_scripts.timecat.images.datasets.inaturalist import inaturalist_split as reader
    elif kind in ("cifar10", "cifar100"):
        from workflow_scripts.timecat.images.datasets.cifar import cifar_split as reader
    elif kind == "camelyon17":
        from workflow_scripts.timecat.images.datasets.camelyon import camelyon_split as reader
    else:
        from workflow_scripts.timecat.images.datasets.folders import image_folder_split as reader
    return reader(settings, split)
