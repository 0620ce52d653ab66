"""The typed config of the table of worst-group accuracies (section 4.2): the block `spurious`."""

from workflow_scripts.timecat.config.arms import AccuracyTable


class SpuriousTable(AccuracyTable):
    """A table of average and worst-group accuracies, on data sets whose index has the columns `reweight.groups`."""
