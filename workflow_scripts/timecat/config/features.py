"""The typed config of feature extraction: the block `features`."""

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, PositiveInt, Seed, Views, settings_of
from workflow_scripts.timecat.features.extraction_settings import Dtype, Extraction


class Features(Block):
    """What is extracted from each checkpoint."""

    views: Views = Field(
        1,
        description="augmented passes over the training rows (28, one for each epoch of a probe, is the original), or [center] for none",
    )
    dtype: Dtype = Field("float16", description="number format of the files")
    batch_size: PositiveInt = Field(500, description="images per forward pass")
    augmentation_seed: Seed = Field(0, description="draws the crops and flips of all views")

    def extraction(self, views: list[str]) -> Extraction:
        """What the stage is told. views: the names of a data set's own."""
        return settings_of(Extraction, self, views=views)
