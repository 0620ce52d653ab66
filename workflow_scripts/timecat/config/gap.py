"""The typed config of tables of gaps: what training on a component gains over transfer from the mixture (section 2)."""

from typing import Literal

from pydantic import Field

from workflow_scripts.timecat.config.arms import ArmTable


class GapTable(ArmTable):
    """Arms pretrained on a mixture (`source`), and arms with `transfer: direct`, on its components (`targets`)."""

    metric: Literal["accuracy", "mcc"] = Field(
        "accuracy", description="top-1 accuracy, or Matthews' correlation coefficient, both in percent"
    )
