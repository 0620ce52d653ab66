"""The typed config of tables of gaps between direct training on a component and transfer from the mixture (section 2)."""

from typing import Literal

from pydantic import Field

from workflow_scripts.timecat.config.arms import ArmTable


class GapTable(ArmTable):
    """A table that compares, on the components of a mixture (`targets`), arms pretrained on the mixture (`source`) with arms
    trained on the component only (`transfer: direct`)."""

    metric: Literal["accuracy", "mcc"] = Field(
        "accuracy",
        description="metric of the table: `accuracy` (top-1) or `mcc` (Matthews correlation coefficient), both in percent",
    )
