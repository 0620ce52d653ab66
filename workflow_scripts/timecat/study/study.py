"""A study: its config and everything that is derived from it, in parts with one responsibility each."""

from collections.abc import Sequence

from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.arms import Arms
from workflow_scripts.timecat.study.chains import Chains
from workflow_scripts.timecat.study.data_sets import DataSets
from workflow_scripts.timecat.study.inputs import Inputs
from workflow_scripts.timecat.study.params import Params
from workflow_scripts.timecat.study.paths import Paths
from workflow_scripts.timecat.study.patterns import patterns_of
from workflow_scripts.timecat.study.publications import Publications
from workflow_scripts.timecat.study.resources import Resources
from workflow_scripts.timecat.study.table_params import TableParams
from workflow_scripts.timecat.study.tables import Tables


class Study:
    """A study, as rules and the planner use it.

    paths: templates of its files. data_sets, chains, publications, arms, tables: its contents. patterns: regular
    expressions of wildcards. inputs, params, table_params, resources: functions for the directives of rules.
    """

    def __init__(self, config: Config, files: Sequence[object] = ()):
        """Derive a study from its config. files: the config's files, for messages.

        Raise UserError if an arm needs more published weights than exist, or if an arm and a different arm of the grid
        have the same name.
        """
        self.config, self.paths = config, Paths(config.results_dir)
        self.data_sets, self.chains = DataSets(config), Chains(config)
        try:
            self.publications = Publications(config, self.chains, self.paths)
            self.arms = Arms(config, self.chains, self.publications)
        except UserError as error:
            where = f"{', '.join(map(str, files))}: " if files else ""
            raise UserError(f"{where}{error}") from None
        self.tables = Tables(config, self.arms, self.data_sets)
        self.patterns = patterns_of(config, self.arms, self.data_sets, self.publications)
        self.inputs = Inputs(self.paths, self.chains, self.publications, self.arms, self.data_sets, self.tables)
        self.params = Params(config, self.publications, self.arms, self.data_sets)
        self.table_params = TableParams(config, self.chains, self.arms, self.data_sets, self.tables)
        self.resources = Resources(config, self.publications)
