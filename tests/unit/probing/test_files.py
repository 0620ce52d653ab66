"""Test the Parquet files of probes: they are written atomically, and equal content gives equal bytes."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.timecat.probing.files import write_table

TABLE = pa.table({"row": [0, 1, 2], "top1": [0.5, 1.0, 0.25]})


def test_a_table_written_twice_has_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_table(tmp_path / "new" / name, TABLE)
    assert (tmp_path / "new" / "one").read_bytes() == (tmp_path / "new" / "two").read_bytes()
    assert pq.read_table(tmp_path / "new" / "one").equals(TABLE)


def test_a_failed_write_leaves_the_previous_table(tmp_path, monkeypatch):
    path = tmp_path / "metrics.parquet"
    write_table(path, TABLE)
    before = path.read_bytes()

    def breaks(table, where, **options):
        with open(where, "wb") as file:
            file.write(b"half")
        raise OSError("broken")

    monkeypatch.setattr(pq, "write_table", breaks)
    with pytest.raises(OSError, match="broken"):
        write_table(path, TABLE)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.parquet"]
