"""Results of the counterexample's networks, by setting, and the Parquet files that hold them."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.counterexample.exact import QUARTERS, optimum, untied
from workflow_scripts.timecat.counterexample.settings import Settings
from workflow_scripts.timecat.errors import UserError

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Setting:
    """Results of one kind of network, trained with one weight decay and learning rate, on M mixtures from S seeds.

    dimensions: number of dimensions of the remaining features, [M, S]. feature: the feature, 1 or 2, to which the
    hidden layer responds most, [M, S]; 0 if none remains. solved: whether a probe solves each of the four
    distributions, [4, M, S]. solved_together: whether a probe on the concatenated features of a group of seeds solves
    them, [4, M, groups]. error: 0-1 loss on the mixture, [M, S]. diverged: whether an output is not finite, [M, S].
    """

    network: str
    weight_decay: float
    lr: float
    dimensions: np.ndarray
    feature: np.ndarray
    solved: np.ndarray
    solved_together: np.ndarray
    error: np.ndarray
    diverged: np.ndarray


def runs_table(settings_found: Iterable[Setting], grid: int) -> "pyarrow.Table":
    """Return a pyarrow table with one row per network: setting, mixture (in units of 1 / grid), seed and results."""
    mixtures = untied(grid)
    best = optimum(mixtures)
    parts = []
    for setting in settings_found:
        shape = setting.dimensions.shape
        of_mixtures = {"optimal_feature": best.feature, "optimal_error": best.error / (len(QUARTERS) * grid)}
        columns = _setting_and_mixture(setting, mixtures, shape)
        columns |= {name: np.broadcast_to(column[:, None], shape) for name, column in of_mixtures.items()}
        columns["seed"] = np.broadcast_to(np.arange(shape[1]), shape)
        columns |= {name: getattr(setting, name) for name in ("dimensions", "feature", "error", "diverged")}
        parts.append(_table(columns | _solved(setting.solved)))
    return _concatenated(parts)


def together_table(settings_found: Iterable[Setting], grid: int) -> "pyarrow.Table":
    """Return a pyarrow table with one row per probe on the concatenated features of a group of seeds."""
    mixtures = untied(grid)
    parts = []
    for setting in settings_found:
        shape = setting.solved_together.shape[1:]
        columns = _setting_and_mixture(setting, mixtures, shape)
        columns["group"] = np.broadcast_to(np.arange(shape[1]), shape)
        parts.append(_table(columns | _solved(setting.solved_together)))
    return _concatenated(parts)


def read_settings_found(runs: PathLike, together: PathLike, settings: Settings) -> list[Setting]:
    """Return the results in both files, by setting, in the order in which they were written.

    runs, together: paths of the two Parquet files. settings: the block `counterexample` of the config. Raise UserError
    if a file was written with different settings.
    """
    kinds = list(itertools.product(settings.networks, settings.weight_decays, settings.lrs))
    mixtures = len(untied(settings.grid))
    of_runs = _read(runs, len(kinds), (mixtures, settings.seeds))
    of_groups = _read(together, len(kinds), (mixtures, settings.seeds // settings.members))
    found = []
    for number, (network, weight_decay, lr) in enumerate(kinds):
        own = {name: column[number] for name, column in of_runs.items()}
        if (own["network"] != network).any() or (own["weight_decay"] != weight_decay).any() or (own["lr"] != lr).any():
            raise UserError(f"{runs} was written with different settings of `counterexample`: delete it and run again")
        found.append(
            Setting(
                network,
                weight_decay,
                lr,
                own["dimensions"],
                own["feature"],
                np.stack([own[name] for name in _SOLVED]),
                np.stack([of_groups[name][number] for name in _SOLVED]),
                own["error"],
                own["diverged"],
            )
        )
    return found


_SOLVED = tuple(f"solved{number + 1}" for number in range(len(QUARTERS)))


def _setting_and_mixture(setting: Setting, mixtures: np.ndarray, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    columns = {name: np.full(shape, getattr(setting, name)) for name in ("network", "weight_decay", "lr")}
    parts = {f"l{number + 1}": mixtures[:, number] for number in range(len(QUARTERS))}
    return columns | {name: np.broadcast_to(column[:, None], shape) for name, column in parts.items()}


def _solved(values: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    return dict(zip(_SOLVED, values, strict=True))


def _table(columns: dict[str, np.ndarray]) -> "pyarrow.Table":
    import pyarrow as pa

    return pa.table({name: pa.array(column.ravel()) for name, column in columns.items()})


def _concatenated(tables: "list[pyarrow.Table]") -> "pyarrow.Table":
    import pyarrow as pa

    return pa.concat_tables(tables)


def _read(path: PathLike, settings: int, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return the columns of a file as arrays [settings, *shape]."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read as Parquet ({error}): delete it and run again") from None
    if table.num_rows != settings * shape[0] * shape[1]:
        raise UserError(f"{path} was written with different settings of `counterexample`: delete it and run again")
    return {name: table[name].to_numpy().reshape(settings, *shape) for name in table.column_names}
