"""Paths of a study's files. Rules, input functions and the planner share one template for each path.

Rules use a template with its wildcards: ``paths.checkpoint.weights``. All other code fills in all of the wildcards,
``paths.checkpoint.at(key).weights``, or only some of them, ``paths.data_set.at(split="train").index``.
"""

import re
from dataclasses import dataclass, fields, replace
from typing import Self

WILDCARD = re.compile(r"\{(\w+)\}")

SPLIT = "{data_set}/{split}"
RUN = "{source}/{backbone}/seed{seed}"
CHECKPOINT = RUN + "/step{step}"
FEATURES = CHECKPOINT + "/{data_set}"
CELL = "{source}/{data_set}/{arm}"

# Templates that name a rule's jobs in logs and benchmarks. Rules that are not listed make one table (see Paths.log).
JOBS = {
    "build_image": "timecat",
    "write_dataset": SPLIT,
    "pretrain": CHECKPOINT,
    "download": "{download}",
    "initialise": RUN + "/step0",
    "import_checkpoint": CHECKPOINT,
    "extract_features": FEATURES,
    **dict.fromkeys(("probe", "evaluate_probe", "transfer", "reweight", "diagnose"), CELL),
    "tabulate": "table2",
    **dict.fromkeys(("tabulate_arms", "tabulate_gap"), "{table}"),
}


def filled(template: str, key: object = None, **values: str) -> str:
    """Return a template filled with the values of a key (or of Snakemake's wildcards) and ``values``.

    Wildcards without a value remain; ``values`` take precedence over the key.
    """

    def value(wildcard: re.Match[str]) -> str:
        name = wildcard[1]
        return values[name] if name in values else str(getattr(key, name, wildcard[0]))

    return WILDCARD.sub(value, template)


@dataclass(frozen=True)
class Files:
    """Paths of files that belong together, as templates or filled with the values of one key."""

    def at(self, key: object = None, **values: str) -> Self:
        """Return the files with their wildcards filled in (see filled)."""
        return replace(self, **{name: filled(template, key, **values) for name, template in self._by_name().items()})

    @property
    def all(self) -> tuple[str, ...]:
        """Paths of all files."""
        return tuple(self._by_name().values())

    def _by_name(self) -> dict[str, str]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class DataSetFiles(Files):
    """Paths of the files of one split of a data set."""

    beton: str
    sidecar: str
    index: str
    skipped: str


@dataclass(frozen=True)
class WeightsFiles(Files):
    """Paths of the weights of a checkpoint. An imported checkpoint has no other files."""

    weights: str
    weights_sidecar: str


@dataclass(frozen=True)
class CheckpointFiles(WeightsFiles):
    """Paths of the files of a checkpoint that was pretrained: weights, training state and log."""

    state: str
    state_sidecar: str
    training_log: str


@dataclass(frozen=True)
class OneFile(Files):
    """Path of a single file."""

    path: str


@dataclass(frozen=True)
class SidecarFiles(OneFile):
    """Paths of a file or folder and its sidecar."""

    sidecar: str


@dataclass(frozen=True)
class CellFiles(Files):
    """Paths of the files of a cell (an arm on a data set) that exist for any kind of transfer."""

    metrics: str
    predictions: str
    predictions_sidecar: str


@dataclass(frozen=True)
class ProbeFiles(CellFiles):
    """Paths of the files of a probe, including the selected heads."""

    heads: str
    heads_sidecar: str


@dataclass(frozen=True)
class NetworksFiles(Files):
    """Paths of the two result files of the counterexample: single networks, and probes on concatenated features."""

    runs: str
    together: str


@dataclass(frozen=True)
class TableFiles(Files):
    """Paths of a table in each file format, its figure and its contrasts."""

    csv: str
    markdown: str
    tex: str
    svg: str
    contrasts: str


class Paths:
    """Path templates of all files in a study's folder of results."""

    def __init__(self, root: str = "results"):
        self.root = root
        self.data_sets = f"{root}/data_sets"
        self.data_set = _data_set(f"{self.data_sets}/{SPLIT}")
        self.checkpoints = f"{root}/checkpoints"
        self.checkpoint = _checkpoint(f"{self.checkpoints}/{CHECKPOINT}")
        # SHA-256 of published weights that are local files.
        self.published_digests = f"{self.checkpoints}/published.json"
        self.downloads = f"{root}/downloads"
        self.download = _with_sidecar(f"{self.downloads}/{{download}}")
        self.features = _with_sidecar(f"{root}/features/{FEATURES}")
        self.probe = _probe(f"{root}/probes/{CELL}")
        self.evaluation = _cell(f"{root}/evaluations/{CELL}")
        self.transfer = _cell(f"{root}/transfers/{CELL}")
        self.reweighting = _cell(f"{root}/reweightings/{CELL}")
        self.diagnosis = OneFile(f"{root}/diagnostics/{CELL}.parquet")
        self.table = TableFiles(
            *(f"{root}/{{table}}.{ending}" for ending in ("csv", "md", "tex", "svg", "contrasts.csv"))
        )
        self.metrics = f"{root}/metrics.parquet"
        self.calibration_replicates = f"{root}/calibration_replicates.csv"
        self.counterexample = NetworksFiles(f"{root}/counterexample.parquet", f"{root}/counterexample_together.parquet")

    def log(self, rule: str) -> str:
        """Return the template of a rule's log.

        A rule that is not in JOBS makes one table; the table's name is the name of the rule without `tabulate_`.
        """
        return f"{self.root}/logs/{rule}/{_job(rule)}.log"

    def benchmark(self, rule: str) -> str:
        """Return the template of a rule's benchmark."""
        return f"{self.root}/benchmarks/{rule}/{_job(rule)}.tsv"


def _job(rule: str) -> str:
    return JOBS.get(rule, rule.removeprefix("tabulate_"))


def _data_set(stem: str) -> DataSetFiles:
    return DataSetFiles(f"{stem}.beton", f"{stem}.beton.json", f"{stem}.index.parquet", f"{stem}.skipped.tsv")


def _checkpoint(stem: str) -> CheckpointFiles:
    weights, state = f"{stem}.safetensors", f"{stem}.state.pt"
    return CheckpointFiles(weights, f"{weights}.json", state, f"{state}.json", f"{stem}.jsonl")


def _with_sidecar(path: str) -> SidecarFiles:
    return SidecarFiles(path, f"{path}.json")


def _cell(stem: str) -> CellFiles:
    predictions = f"{stem}.predictions.parquet"
    return CellFiles(f"{stem}.parquet", predictions, f"{predictions}.json")


def _probe(stem: str) -> ProbeFiles:
    heads = f"{stem}.heads.safetensors"
    return ProbeFiles(**vars(_cell(stem)), heads=heads, heads_sidecar=f"{heads}.json")
