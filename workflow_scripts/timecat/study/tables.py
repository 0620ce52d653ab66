"""A study's tables: the rows, data sets and cells of each."""

from collections.abc import Iterable

from workflow_scripts.timecat.config.arms import OTHER_TABLES, Arm
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.arms import Arms
from workflow_scripts.timecat.study.data_sets import DataSets
from workflow_scripts.timecat.study.wildcards import CellKey, ReferenceKey

TABLE2, WIDTH = "table2", "width"


class Tables:
    """The tables of a config by name: "table2", the blocks beside it, "grid", "calibration" and "counterexample"."""

    def __init__(self, config: Config, arms: Arms, data_sets: DataSets):
        self._config, self._arms, self._data_sets = config, arms, data_sets

    @property
    def names(self) -> list[str]:
        """All that the study has a block for. The rules of others, which need none, add them to all_arms (FURTHER_TABLES).

        Diagnostics are none of them: they take arms apart, and a study without an arm of several members has none."""
        others = [name for name in (WIDTH, "grid") if getattr(self._config, name) is not None]
        return [TABLE2, *self._config.tables, *others]

    def rows(self, table: str) -> list[Arm]:
        """Return the arms of a table, in order. UserError where the study has no such table."""
        if table == TABLE2:
            return self._config.arms
        if table in (WIDTH, "grid"):
            if getattr(self._config, table) is None:
                raise UserError(
                    f"the study has no block `{table}`; add it to the config (`{table}: {{}}` will do), or ask for less"
                )
            return [arm for arm, _ in self.width_rows()] if table == WIDTH else list(self._arms.grid.values())
        block = self._config.tables.get(table)
        if block is None:
            raise UserError(
                f"the study has no block `{table}`; add it to the config (config/README.md), or ask for less"
            )
        return [self._arms[name] for name in block.names]

    def width_rows(self) -> list[tuple[Arm, Arm]]:
        """Return the rows of accuracy against dimensions: whole arms, each followed by what is made of it; and of which whole
        arm each is."""
        made = self._config.reduced_arms(self._arms)
        return [(arm, self._arms[name]) for name, reduced in made.items() for arm in (self._arms[name], *reduced)]

    def targets(self, table: str) -> list[str]:
        """Return the data sets of a table, in the order of its columns."""
        block = getattr(self._config, table) if table in (WIDTH, "grid") else self._config.tables.get(table)
        return (block.targets if block is not None else None) or self._config.targets

    def data_sets(self, table: str) -> list[str]:
        """Return the data sets of a table's cells: its targets, or of "calibration" those of all its tables."""
        return list(self.calibrated_data_sets()) if table == "calibration" else self.targets(table)

    def source(self, table: str) -> str:
        """Return the data set that a table's arms are pretrained on."""
        block = self._config.tables.get(table)
        return (block.source if block is not None else None) or self._config.source

    def backbone(self, table: str) -> str:
        """Return the backbone of a table's own arms."""
        block = self._config.tables.get(table)
        return (block.backbone if block is not None else None) or self._config.backbone

    def baseline(self, table: str) -> str:
        """Return the name of the arm that the others of a table are compared with: as the config says, else its first. Of
        accuracy against dimensions it is table 2's, as far as it is there."""
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
        """Return the data sets of a table that arms are transferred to: all but the source, which counts where features of it
        are spurious. One for evaluation only is no target itself; it is read with a probe."""
        source = "" if table == "spurious" else self.source(table)
        return [name for name in self.targets(table) if name != source and not self._data_sets.is_for_evaluation(name)]

    def references(self, table: str) -> list[ReferenceKey]:
        """Return what the cells of a table are measured against, on its transfer targets: the floor of each arm, the
        projection of the pixels, the ceiling. The grid shows floors alone; accuracy against dimensions those of whole arms and
        of principal components; tables with other metrics have no such ceiling."""
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
        """Return the tables whose arms are calibrated, table 2 first."""
        wanted = self._config.calibration.tables
        return [TABLE2, *(self._config.tables if wanted is None else wanted)]

    def calibrated_cells(self) -> list[CellKey]:
        """Return the cells of those tables, each once."""
        return _each_once(cell for table in self.calibrated() for cell in self.cells(table))

    def calibrated_data_sets(self) -> dict[str, str]:
        """Return the data sets of those cells, each with the table that has it first."""
        found = dict[str, str]()
        for table in self.calibrated():
            found |= {name: table for name in self.targets(table) if name not in found}
        return found

    def diagnosed_cells(self) -> list[CellKey]:
        """Return the cells of table 2 that are probes with more than one member, arm by arm."""
        return [
            cell
            for cell in self.cells(TABLE2)
            if self._arms[cell.arm].transfer == "probe"
            and self._arms[cell.arm].members > 1
            and not self._data_sets.is_for_evaluation(cell.data_set)
        ]


def _each_once(cells: Iterable[CellKey]) -> list[CellKey]:
    return list(dict.fromkeys(cells))
