"""Verdicts on targets by floors, ceilings and gains, their notes for readers, and inputs that are refused."""

import csv
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.tables import arms_of, data_sets_of
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import contrast
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_rows, accuracy_table
from workflow_scripts.timecat.tables.contrasts import NOTHING, contrast_records
from workflow_scripts.timecat.tables.model import Reference
from workflow_scripts.timecat.tables.reading import read_cell, selected_accuracies, selected_replicates
from workflow_scripts.timecat.tables.worth import (
    SHOWN,
    References,
    Target,
    read_references,
    target_notes,
    targets_of,
    with_floors,
    worth_of,
)
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text

ARMS = arms_of(
    [
        {"name": "cat1", "members": 1, "steps": 8, "transfer": "probe"},
        {"name": "cat2", "members": 2, "steps": 4, "transfer": "probe"},
    ]
)
DATA_SETS = data_sets_of([{"name": "far", "title": "Far_off", "in_distribution": False, "views": 1}])
SEEDS = {1: [[seed] for seed in range(8)], 2: [[0, 1], [2, 3], [4, 5], [6, 7]]}
PAIRED = {1: 8, 2: 4}


def write_cell(path, members: int, mean: float, spread: float = 0.4, seed: int = 0):
    """Write the cell of a probe with one weight decay and one epoch, with accuracies drawn around the mean."""
    random = np.random.default_rng([seed, members, int(10 * mean)])
    lines = []
    for replicate, seeds in enumerate(SEEDS[members]):
        top1 = mean + spread * random.normal()
        for fit, split in (("full", "evaluation"), ("nine_tenths", "heldout")):
            lines.append(
                {
                    "replicate": replicate,
                    "members": seeds,
                    "weight_decay": 0.1,
                    "fit": fit,
                    "epoch": 1,
                    "split": split,
                    "top1": top1,
                    "top5": 100.0,
                    "loss": 1.0,
                }
            )
    pq.write_table(pa.Table.from_pylist(lines), path)
    return path


def worth(tmp_path, trained=(60.0, 70.0), floors=(10.0, 11.0), ceiling=95.0, projection=9.0, spread=0.4):
    """Return the rows and the targets of a table with one target."""
    files = {
        ("trained", arm.name): write_cell(tmp_path / f"trained-{arm.name}.parquet", arm.members, mean, spread)
        for arm, mean in zip(ARMS, trained)
    }
    cells = [Reference("floor", arm.name, "far", arm.members) for arm in ARMS if floors]
    paths = [
        write_cell(tmp_path / f"floor-{arm.name}.parquet", arm.members, mean, spread, 1)
        for arm, mean in zip(ARMS, floors)
    ]
    if projection is not None:
        cells.append(Reference("projection", "", "far", 1))
        paths.append(write_cell(tmp_path / "projection.parquet", 1, projection, 0))
    references = read_references(paths, cells, {} if ceiling is None else {"far": ceiling})
    probes = {(arm.name, "far"): read_cell(files["trained", arm.name], arm.members, arm.name) for arm in ARMS}
    rows = with_floors(accuracy_rows(probes, ARMS, DATA_SETS), references)
    return rows, targets_of(selected_accuracies(probes), ARMS, DATA_SETS, references, "cat1")


def shown(*args, **options) -> Target:
    """Return the target of the table under the selection that notes use."""
    found = worth_of(worth(*args, **options)[1], DATA_SETS[0])
    assert found is not None
    return found


def test_a_target_between_floor_and_ceiling_is_informative(tmp_path):
    target = shown(tmp_path)
    assert (target.by_level, target.by_gain, target.verdict) == ("informative",) * 3
    assert target_notes([target]) == ()
    gain, floor_gain = target.comparisons[1].gain, target.comparisons[1].floor_gain
    assert gain.mean == pytest.approx(10, abs=1) and floor_gain.mean == pytest.approx(1, abs=1)
    assert target.comparisons[1].excess.mean == pytest.approx(gain.mean - floor_gain.mean)


def test_a_target_with_random_labels_is_uninformative_by_its_level(tmp_path):
    """Labels are random, so trained and untrained networks are at chance."""
    target = shown(tmp_path, trained=(10.1, 10.0), floors=(10.0, 10.1))
    assert target.by_level == target.verdict == "uninformative"
    (note,) = target_notes([target])
    text = "".join(getattr(piece, "word", piece) for piece in note)
    assert text.startswith("Far_off is uninformative: the largest advantage of trained over untrained")
    assert "the ceiling is 95.0 %" in text


def test_a_target_like_digits_is_uninformative_by_its_gain(tmp_path):
    """Trained networks are above their floors, but untrained ones gain more by concatenation (README's digits)."""
    target = shown(tmp_path, trained=(77.1, 85.0), floors=(68.6, 80.9), ceiling=98.8, projection=94.1)
    assert (target.by_level, target.by_gain, target.verdict) == ("informative", "uninformative", "uninformative")
    (note,) = target_notes([target])
    text = "".join(getattr(piece, "word", piece) for piece in note)
    assert "cat2 gains" in text and "points if both are untrained" in text
    assert "No arm exceeds the random projection of the pixels (94.1 %" in text


def test_a_target_with_a_wide_interval_is_undecided(tmp_path):
    """A difference that is not distinguishable from zero need not be zero."""
    target = shown(tmp_path, trained=(60.0, 72.0), floors=(50.0, 60.0), spread=2.5)
    assert target.by_gain == target.verdict == "undecided"
    (note,) = target_notes([target])
    assert "".join(getattr(piece, "word", piece) for piece in note).startswith("Far_off may be uninformative")


def test_a_gain_equal_to_the_untrained_gain_is_uninformative(tmp_path):
    target = shown(tmp_path, trained=(60.0, 69.0), floors=(50.0, 59.0), spread=1)
    low, high = target.comparisons[1].excess.interval
    assert low < 0 < high
    assert target.by_gain == "uninformative"
    (note,) = target_notes([target])
    assert "which is not distinguishable from zero" in "".join(getattr(piece, "word", piece) for piece in note)


def test_a_target_is_informative_if_neither_trained_nor_untrained_arms_gain(tmp_path):
    target = shown(tmp_path, trained=(60.0, 60.0), floors=(10.0, 10.0))
    assert target.verdict == "informative"


def test_the_level_rule_uses_a_tenth_of_ceiling_minus_floor(tmp_path):
    """The limit is (95 - 45) / 10 = 5 points above the floor."""
    barely = {"floors": (45.0, 45.0), "spread": 0.05}
    assert shown(tmp_path, trained=(49.7, 49.7), **barely).by_level == "uninformative"
    assert shown(tmp_path, trained=(50.3, 50.3), **barely).by_level == "informative"


def test_without_floors_or_ceiling_the_verdict_is_unknown(tmp_path):
    assert shown(tmp_path, floors=(), ceiling=95.0).verdict == "unknown"
    no_ceiling = shown(tmp_path, trained=(60.0, 70.0), ceiling=None)
    assert no_ceiling.by_level == "unknown" and no_ceiling.verdict == "informative"
    assert worth(tmp_path, floors=(), ceiling=None, projection=None)[1] == []


def test_comparisons_of_a_target_are_contrasts_of_the_selected_replicates(tmp_path):
    target = shown(tmp_path)
    own, base, floor = (
        selected_replicates(read_cell(tmp_path / f"{name}.parquet", members, name), SHOWN, name)
        for name, members in (("trained-cat2", 2), ("trained-cat1", 1), ("floor-cat2", 2))
    )
    assert [each.seeds for each in own] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert target.comparisons[1].gain == contrast(own, base)
    assert target.comparisons[1].above_floor == contrast(own, floor)


def test_the_csv_has_floor_projection_ceiling_and_verdict(tmp_path):
    rows, targets = worth(tmp_path)
    text = csv_text(accuracy_records(rows, DATA_SETS, targets))
    first, second = csv.DictReader(io.StringIO(text))
    assert float(first["far_floor"]) == pytest.approx(10, abs=1) and float(second["far_holdout_floor"]) < 12
    assert (first["far_projection"], first["far_ceiling"], first["far_verdict"]) == ("9.00", "95.00", "informative")
    assert second["far_holdout_verdict"] == "informative"


def test_the_csv_of_contrasts_has_floors_without_p_values(tmp_path):
    _, targets = worth(tmp_path)
    found = NOTHING.with_targets(targets)
    lines = list(csv.DictReader(io.StringIO(csv_text(contrast_records(found.rows)))))
    assert [(line["kind"], line["arm"]) for line in lines if line["selection"] == SHOWN] == [
        ("floor", "cat1"),
        *((kind, "cat2") for kind in ("floor", "floor_gain", "excess")),
    ]
    assert all(line["low"] and line["high"] and line["p"] == line["p_holm"] == "" for line in lines)


def test_pages_have_floors_and_notes_on_targets(tmp_path):
    rows, targets = worth(tmp_path, trained=(10.1, 10.0), floors=(10.0, 10.1))
    table = accuracy_table(rows, DATA_SETS, compared=NOTHING.with_targets(targets))
    page, tex = markdown_text(table), tex_text(table)
    assert "(floor 10." in page and "(floor 10." in tex
    assert r"**Far\_off** is uninformative" in page and r"Far\_off is uninformative" in tex
    assert r"95.0 % on Far\_off" in page and r"9.0 \% on Far\_off" in tex


def test_a_table_without_references_does_not_mention_floors(tmp_path):
    rows, targets = worth(tmp_path, floors=(), ceiling=None, projection=None)
    assert csv_text(accuracy_records(rows, DATA_SETS, targets)) == csv_text(accuracy_records(rows, DATA_SETS))
    assert "floor" not in markdown_text(accuracy_table(rows, DATA_SETS, compared=NOTHING.with_targets(targets))).lower()


def test_files_and_cells_that_do_not_match_are_refused(tmp_path):
    path = write_cell(tmp_path / "cell.parquet", 2, 50.0)
    with pytest.raises(UserError, match="give one cell per file"):
        read_references([path], [], {})
    with pytest.raises(UserError, match="a replicate has 2 members, but the floor of cat1 has 1"):
        read_references([path], [Reference("floor", "cat1", "far", 1)], {})


def test_without_references_a_table_has_no_targets():
    assert targets_of({}, [], DATA_SETS, References({}, {}, {}), "cat1") == []
