"""The typed config of tables that compare transfer from a mixture with direct training on its components."""

from typing import Literal

from pydantic import Field

from workflow_scripts.timecat.config.arms import ArmTable


class GapTable(ArmTable):
    """A table of the gap between transfer from a mixture and direct training on its components.
    It compares arms pretrained on the mixture (`source`) with arms trained on each component only (`transfer: direct`);
    the components are its `targets`."""

    metric: Literal["accuracy", "mcc"] = Field(
        "accuracy",
        description="metric of the table: `accuracy` (top-1) or `mcc` (Matthews correlation coefficient), both in "
        "percent",
    )
