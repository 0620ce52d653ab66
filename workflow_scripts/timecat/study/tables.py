"""Tables of a study: the rows, data sets and cells of each."""

from collections.abc import Iterable

from workflow_scripts.timecat.config.arms import OTHER_TABLES, Arm
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.arms import Arms
from workflow_scripts.timecat.study.data_sets import DataSets
from workflow_scripts.timecat.study.wildcards import CellKey, ReferenceKey

TABLE2, WIDTH = "table2", "width"


class Tables:
    """Tables of a config by name: "table2", one for each further block of tables, "calibration", "counterexample"."""

    def __init__(self, config: Config, arms: Arms, data_sets: DataSets):
        self._config, self._arms, self._data_sets = config, arms, data_sets

    @property
    def names(self) -> list[str]:
        """Names of the tables that have a block in the config.

        Tables without a block are added to all_arms by their rules (FURTHER_TABLES). The table of diagnostics is not
        added, because it does not exist in a study in which every arm has a single member.
        """
        others = [name for name in (WIDTH, "grid") if getattr(self._config, name) is not None]
        return [TABLE2, *self._config.tables, *others]

    def rows(self, table: str) -> list[Arm]:
        """Return the arms of a table, in order. Raise UserError if the study does not have the table."""
        if table == TABLE2:
            return self._config.arms
        if table in (WIDTH, "grid"):
            if getattr(self._config, table) is None:
                raise UserError(
                    f"the study has no block `{table}`; add it to the config (`{table}: {{}}` will do), or do not "
                    "request this table"
                )
            return [arm for arm, _ in self.width_rows()] if table == WIDTH else list(self._arms.grid.values())
        block = self._config.tables.get(table)
        if block is None:
            raise UserError(
                f"the study has no block `{table}`; add it to the config (docs/reference/configuration.md), or do not "
                "request this table"
            )
        return [self._arms[name] for name in block.names]

    def width_rows(self) -> list[tuple[Arm, Arm]]:
        """Return the rows of the table `width` as pairs (arm, arm whose features it reduces).

        Each arm that is not reduced is paired with itself and followed by the arms that reduce its features.
        """
        made = self._config.reduced_arms(self._arms)
        return [(arm, self._arms[name]) for name, reduced in made.items() for arm in (self._arms[name], *reduced)]

    def targets(self, table: str) -> list[str]:
        """Return the data sets of a table, in the order of its columns."""
        block = getattr(self._config, table) if table in (WIDTH, "grid") else self._config.tables.get(table)
        return (block.targets if block is not None else None) or self._config.targets

    def data_sets(self, table: str) -> list[str]:
        """Return the data sets of a table's cells: its targets, or for "calibration" the targets of all its tables."""
        return list(self.calibrated_data_sets()) if table == "calibration" else self.targets(table)

    def source(self, table: str) -> str:
        """Return the data set that the arms defined in a table are pretrained on."""
        block = self._config.tables.get(table)
        return (block.source if block is not None else None) or self._config.source

    def backbone(self, table: str) -> str:
        """Return the backbone of the arms defined in a table."""
        block = self._config.tables.get(table)
        return (block.backbone if block is not None else None) or self._config.backbone

    def baseline(self, table: str) -> str:
        """Return the name of a table's baseline: the arm that the config names, else the arm of the first row.

        The table `width` has the baseline of table 2, if that arm is one of its rows.
        """
        block, rows = self._config.tables.get(table), [arm.name for arm in self.rows(table)]
        named = self._config.baseline if table in (TABLE2, WIDTH) else getattr(block, "baseline", None)
        return named if named in rows else rows[0]

    def cells(self, table: str) -> list[CellKey]:
        """Return the cells of a table, arm by arm."""
        if table == "counterexample":
            return []
        if table == "calibration":
            return self.calibrated_cells()
        targets = self.targets(table)
        return [self._arms.cell(arm.name, data_set) for arm in self.rows(table) for data_set in targets]

    # --- floors and ceilings ---

    def transfer_targets(self, table: str) -> list[str]:
        """Return the data sets of a table that arms are transferred to.

        The source and data sets for evaluation only are left out. The table `spurious` keeps the source, because it
        examines the features that the source's training rows teach.
        """
        source = "" if table == "spurious" else self.source(table)
        return [name for name in self.targets(table) if name != source and not self._data_sets.is_for_evaluation(name)]

    def references(self, table: str) -> list[ReferenceKey]:
        """Return the cells with which a table's cells are compared, on its transfer targets.

        The cells are the floor of each arm, the projection of the pixels and the ceiling. The grid has floors only; the
        table `width` has floors of arms that are not reduced or are reduced by PCA; tables with metrics other than
        accuracy have no ceiling.
        """
        rows, targets = self.rows(table), self.transfer_targets(table)
        found = [
            ReferenceKey("floor", arm.name, self._arms.cell(floor.name, target))
            for arm in rows
            if (floor := self._arms.floor_of(arm)) is not None
            if table != WIDTH or arm.reduce is None or arm.reduce.method == "pca"
            for target in targets
        ]
        if table == "grid":
            return found
        if (projection := self._arms.projection) is not None:
            images = [target for target in targets if not self._config.has_sequences(target)]
            found += [ReferenceKey("projection", "", self._arms.cell(projection.name, target)) for target in images]
        ceiling = self._config.ceiling
        if table not in OTHER_TABLES and ceiling is not None and ceiling.arm_name is not None:
            measured = [target for target in targets if target in self._config.ceiling_targets]
            found += [ReferenceKey("ceiling", "", self._arms.cell(ceiling.arm_name, target)) for target in measured]
        return found

    # --- calibration and diagnostics ---

    def calibrated(self) -> list[str]:
        """Return the tables whose arms' calibration is measured, beginning with table 2."""
        wanted = self._config.calibration.tables
        return [TABLE2, *(self._config.tables if wanted is None else wanted)]

    def calibrated_cells(self) -> list[CellKey]:
        """Return the cells whose calibration is measured, without duplicates."""
        return _each_once(cell for table in self.calibrated() for cell in self.cells(table))

    def calibrated_data_sets(self) -> dict[str, str]:
        """Return the data sets on which calibration is measured, each with the first table that has it."""
        found = dict[str, str]()
        for table in self.calibrated():
            found |= {name: table for name in self.targets(table) if name not in found}
        return found

    def diagnosed_cells(self) -> list[CellKey]:
        """Return the cells of the table of diagnostics: probes of table 2 with more than one member."""
        return [
            cell
            for cell in self.cells(TABLE2)
            if self._arms[cell.arm].transfer == "probe"
            and self._arms[cell.arm].members > 1
            and not self._data_sets.is_for_evaluation(cell.data_set)
        ]


def _each_once(cells: Iterable[CellKey]) -> list[CellKey]:
    return list(dict.fromkeys(cells))
