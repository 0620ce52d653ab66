"""MCGrad's figures for calibration's example, compared with those that tests/unit/measures/test_calibration.py holds.

MCGrad wants 41 packages more, so it is not in the environment; its metrics need none of them. To compare anew, or with
another version:

    envs/setup uv pip install --python .venv/bin/python --no-deps --target FOLDER mcgrad==0.1.5
    PYTHONPATH=FOLDER .venv/bin/python -m tests.references.mcgrad_figures
"""

import sys

from tests.unit.measures import test_calibration as held


def mcgrad_figures(depth: int, minimum_rows: int) -> tuple[int, float, float, float]:
    """Return number of segments, ECCE of all rows in σ, MCE_σ and MCE_abs of the example, as MCGrad computes them."""
    return _error(depth, minimum_rows)[:4]


def mcgrad_detectable() -> float:
    """Return the minimum detectable error of the example, as MCGrad computes it."""
    return _error(1, 10)[4]


def mcgrad_ece(bins: int) -> float:
    """Return the expected calibration error of the example in bins of equally many rows, as MCGrad computes it."""
    from mcgrad.metrics import adaptive_calibration_error

    p, y, _ = held.example()
    return float(adaptive_calibration_error(y, p, num_bins=bins))


def _error(depth: int, minimum_rows: int) -> tuple[int, float, float, float, float]:
    import pandas as pd
    from mcgrad.metrics import MulticalibrationError

    p, y, columns = held.example()
    error = MulticalibrationError(
        pd.DataFrame({"p": p, "y": y, **columns}),
        label_column="y",
        score_column="p",
        categorical_segment_columns=list(columns) if depth else None,
        max_depth=depth,
        max_values_per_segment_feature=100,
        min_samples_per_segment=minimum_rows,
        max_n_segments=None,
        precision_dtype="float64",
    )
    return len(error.segments_ecce), error.global_ecce_sigma, error.mce_sigma, error.mce, error.mde


def main() -> int:
    """Print every figure beside the one that the tests hold; return 1 if any differs."""
    pairs = {f"{key}": (mcgrad_figures(*key), figures) for key, figures in held.MCGRAD.items()}
    pairs["detectable"] = ((mcgrad_detectable(),), (held.MCGRAD_DETECTABLE,))
    pairs["ece"] = ((mcgrad_ece(6),), (held.MCGRAD_ECE,))
    for name, (computed, figures) in pairs.items():
        print(f"{name}: MCGrad {computed}, tests {figures}")
    equal = all(
        abs(a - b) <= 1e-10 * abs(b)
        for computed, figures in pairs.values()
        for a, b in zip(computed, figures, strict=True)
    )
    print("equal" if equal else "DIFFERENT")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
