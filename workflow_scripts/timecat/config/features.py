"""The typed config of feature extraction: the block `features`."""

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, PositiveInt, Seed, Views, settings_of
from workflow_scripts.timecat.features.extraction_settings import Dtype, Extraction


class Features(Block):
    """Settings of feature extraction, the forward pass of each checkpoint over each data set."""

    views: Views = Field(
        1,
        description="number of views: augmented passes over the training rows, with different crops and flips (the "
        "original protocol has 28, one per epoch of a probe). [center]: only the evaluation crop, without augmentation",
    )
    dtype: Dtype = Field("float16", description="number format of feature files: `float16` or `float32`")
    batch_size: PositiveInt = Field(500, description="number of images per forward pass")
    augmentation_seed: Seed = Field(0, description="seed of the random crops and flips of all views")

    def extraction(self, views: list[str]) -> Extraction:
        """Return the settings that the stage `extract_features` gets.

        views: names of the data set's views.
        """
        return settings_of(Extraction, self, views=views)
