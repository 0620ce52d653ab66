"""Params of the rules that make tables: descriptions of cells, rows and columns, as JSON.

Functions read the wildcard {table}. A rule that makes one table and lacks this wildcard uses them through ``of_table``.
"""

from typing import Any

from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.config.arms import Arm
from workflow_scripts.timecat.config.gap import GapTable
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.study.arms import Arms
from workflow_scripts.timecat.study.chains import Chains
from workflow_scripts.timecat.study.data_sets import DataSets
from workflow_scripts.timecat.study.tables import TABLE2, WIDTH, Tables
from workflow_scripts.timecat.study.wildcards import CellKey, HasTable


class TableParams:
    """Params of the stages that make tables, as JSON."""

    def __init__(self, config: Config, chains: Chains, arms: Arms, data_sets: DataSets, tables: Tables):
        self._config, self._chains, self._arms = config, chains, arms
        self._data_sets, self._tables = data_sets, tables

    # --- cells ---

    def cells(self, wildcards: HasTable) -> str:
        """Return the cells of a table, in the order of its inputs."""
        return _told(self._tables.cells(wildcards.table))

    def references(self, wildcards: HasTable) -> str:
        """Return the cells that a table's cells are compared with (Tables.references), in the order of its inputs."""
        return canonical_json(
            [
                {
                    "kind": key.kind,
                    "arm": key.arm,
                    "data_set": key.cell.data_set,
                    "members": self._arms[key.cell.arm].members,
                }
                for key in self._tables.references(wildcards.table)
            ]
        )

    def known_ceilings(self, wildcards: HasTable) -> str:
        """Return the known ceilings of a table's data sets, in percent by data set."""
        known = self._config.ceiling.known if self._config.ceiling else {}
        targets = self._tables.transfer_targets(wildcards.table)
        return canonical_json({name: known[name] for name in targets if name in known})

    def diagnosed_cells(self, wildcards: object) -> str:
        """Return the cells of the table of diagnostics."""
        return _told(self._tables.diagnosed_cells())

    # --- rows ---

    def rows(self, wildcards: HasTable) -> str:
        """Return the rows of a table."""
        return canonical_json([row for _, row in self._described(wildcards.table)])

    def compared_rows(self, wildcards: HasTable) -> str:
        """Return the rows of a table of accuracies, each with the arms that it is compared with (`against`)."""
        table = wildcards.table
        return canonical_json([row | self._against(arm, table) for arm, row in self._described(table)])

    def rows_with_networks(self, wildcards: HasTable) -> str:
        """Return the rows of a table as in compared_rows, each with its network, so that its parameters are counted."""
        table = wildcards.table
        return canonical_json(
            [row | self._network(arm) | self._against(arm, table) for arm, row in self._described(table)]
        )

    def grid_rows(self, wildcards: object) -> str:
        """Return the rows of the grid.

        `in_table`: whether a row is also a row of table 2, so that both share its costs.
        """
        own = {arm.name for arm in self._config.arms}
        rows = self._tables.rows("grid")
        return canonical_json(
            [
                self._row(arm, self._config.backbone) | self._solver(arm, rows) | {"in_table": arm.name in own}
                for arm in rows
            ]
        )

    def width_rows(self, wildcards: object) -> str:
        """Return the rows of the table `width`, each with its network.

        `of`: name of the arm whose features the row reduces (for a row that is not reduced, its own name).
        """
        whole = (arm.name for _, arm in self._tables.width_rows())
        return canonical_json(
            [row | self._network(arm) | {"of": name} for (arm, row), name in zip(self._described(WIDTH), whole)]
        )

    def calibrated_rows(self, wildcards: object) -> str:
        """Return the rows of all tables whose calibration is measured, beginning with the rows of table 2."""
        names = dict.fromkeys(cell.arm for cell in self._tables.calibrated_cells())
        return canonical_json([self._row(self._arms[name], self._config.backbone) for name in names])

    def _described(self, table: str) -> list[tuple[Arm, dict[str, Any]]]:
        """Return the rows of a table, each with its description."""
        usual, rows = self._tables.backbone(table), self._tables.rows(table)
        return [(arm, self._row(arm, usual) | self._solver(arm, rows)) for arm in rows]

    def _network(self, arm: Arm) -> dict[str, Any]:
        """Return the settings of an arm's network."""
        return {"settings": self._config.backbones[self._config.backbone_of(arm)].settings()}

    def calibrated_seeds(self, wildcards: object) -> str:
        """Return the seeds of each replicate of the rows whose calibration is measured, by the arm's name."""
        names = dict.fromkeys(cell.arm for cell in self._tables.calibrated_cells())
        return canonical_json({name: self._arms.replicates(self._arms[name]) for name in names})

    def _row(self, arm: Arm, usual: str) -> dict[str, Any]:
        """Return the description of an arm in a table.

        Keys beyond the first four are left out where they do not apply. usual: backbone of the table; the description
        of an arm with this backbone does not mention it.
        """
        described = arm.model_dump(include={"name", "members", "steps", "transfer"})
        if arm.one_seed:
            described["one_seed"] = True
        if (name := self._config.backbone_of(arm)) != usual:
            recipe = self._config.backbones[name].pretrain
            changes: dict[str, Any] = {} if recipe is None else recipe.model_dump(exclude_unset=True)
            described["backbone"] = {"name": name, "changes": changes}
        if other := self._pretrained_on(arm):
            described["pretrained_on"] = other
        if arm.pretrained_on == "target":
            described["on_target"] = True
        if arm.reduce is not None:
            described["reduce"] = arm.reduce.model_dump()
        if arm.training is not None and (training := arm.training.model_dump(exclude_unset=True)):
            described["training"] = training
        if arm.published:
            described["published"] = arm.published
        return described

    def _solver(self, arm: Arm, rows: list[Arm]) -> dict[str, Any]:
        """Return the description of the solver of an arm's probes in a table with these rows.

        With L-BFGS, the description has the key `solver`. With SGD, it has the key `converged`: the name of a row with
        the same features and L-BFGS, if there is one.
        """
        if arm.transfer != "probe":
            return {}
        if self._arms.solver(arm) == "lbfgs":
            return {"solver": "lbfgs"}
        alike = [
            other.name for other in rows if self._arms.solver(other) == "lbfgs" and self._arms.are_alike(arm, other)
        ]
        return {"converged": alike[0]} if alike else {}

    def _against(self, arm: Arm, table: str) -> dict[str, Any]:
        """Return the arms that an arm is compared with (`against`); none in a table that does not define the arm."""
        own = self._config.arms if table == TABLE2 else self._config.tables[table].own
        return {"against": arm.against} if arm.against and arm in own else {}

    def _pretrained_on(self, arm: Arm) -> str | None:
        """Return the name of the data that an arm's published weights were pretrained on; None if it is the source."""
        if not self._chains.is_published(arm):
            return None
        return self._config.publications[self._config.backbone_of(arm)].pretrained_on

    def baseline(self, wildcards: HasTable) -> str:
        """Return the name of a table's baseline."""
        return self._tables.baseline(wildcards.table)

    # --- columns ---

    def columns(self, wildcards: HasTable) -> str:
        """Return the columns of a table, one for each of its data sets."""
        table = wildcards.table
        return canonical_json([self._column(name, table) for name in self._tables.targets(table)])

    def calibrated_columns(self, wildcards: object) -> str:
        """Return the columns of all tables whose calibration is measured.

        A column of several tables is described as in the first of them.
        """
        return canonical_json([self._column(*found) for found in self._tables.calibrated_data_sets().items()])

    def _column(self, name: str, table: str) -> dict[str, Any]:
        """Return the description of a data set in a table."""
        rows = self._tables.rows(table if table in self._config.tables else TABLE2)
        described: dict[str, Any] = {
            "name": name,
            "title": self._data_sets.title(name),
            "in_distribution": name == self._tables.source(table) and not all(map(self._pretrained_on, rows)),
            "views": self._data_sets.number_of_views(name),
        }
        if self._data_sets.is_for_evaluation(name):
            described["probe_of"] = self._data_sets.title(self._data_sets.probed(name))
        if (draws := self._data_sets.number_of_draws(name)) > 1:
            described["draws"] = draws
        return described

    # --- other params ---

    def metric(self, wildcards: HasTable) -> str:
        """Return the metric of a table of gaps, as plain text."""
        self._tables.rows(wildcards.table)  # raises UserError if the study does not have the table
        block = self._config.tables[wildcards.table]
        assert isinstance(block, GapTable), wildcards.table
        return block.metric

    def image_size(self, wildcards: HasTable) -> int:
        """Return the width and height, in pixels, of the images of a table's source after the transform."""
        return self._data_sets.image_size(self._tables.source(wildcards.table))

    def groups(self, wildcards: object) -> str:
        """Return the columns of the index that form groups."""
        return canonical_json(self._config.reweight.groups)

    def calibration(self, wildcards: object) -> str:
        """Return the settings for measuring calibration."""
        return canonical_json(self._config.calibration.settings())

    def style(self, wildcards: object) -> str:
        """Return the size of figures."""
        return canonical_json(self._config.table.model_dump())


def _told(cells: list[CellKey]) -> str:
    """Return the arm and data set of each cell, as JSON."""
    return canonical_json([{"arm": cell.arm, "data_set": cell.data_set} for cell in cells])
