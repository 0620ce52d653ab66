"""Compare MCGrad's metrics with the values stored in tests/unit/measures/test_calibration.py.

MCGrad depends on 41 further packages, so it is not in the environment; its metrics need none of them. To compare again,
or with a different version of MCGrad:

    envs/setup uv pip install --python .venv/bin/python --no-deps --target FOLDER mcgrad==0.1.5
    PYTHONPATH=FOLDER .venv/bin/python -m tests.references.mcgrad_figures
"""

import sys
from typing import TYPE_CHECKING

import numpy as np

from tests.unit.measures import test_calibration as held

if TYPE_CHECKING:
    from mcgrad.metrics import MulticalibrationError


def mcgrad_figures(depth: int, minimum_rows: int) -> tuple[int, float, float, float, float, float]:
    """Return MCGrad's segment count, ECCE of all rows in σ, MCE_σ, MCE_abs and the p-values of ECCE and MCE."""
    error = _error(*held.example(), depth, minimum_rows, values=100)
    found = error.global_ecce_sigma, error.mce_sigma, error.mce, error.global_ecce_pvalue, error.mce_pvalue
    return len(error.segments_ecce), *found


def mcgrad_detectable() -> float:
    """Return the minimum detectable error of the example data, as MCGrad computes it."""
    return _error(*held.example(), 1, 10, values=100).mde


def mcgrad_merged(values: int) -> tuple[int, float]:
    """Return MCGrad's segment count and MCE_σ for many_values(), with its column limited to ``values`` values."""
    p, y, value = held.many_values()
    error = _error(p, y, {"many": value}, 1, 5, values)
    return len(error.segments_ecce), error.mce_sigma


def mcgrad_p(x: float) -> float:
    """Return the p-value of an ECCE in σ, as MCGrad computes it."""
    from mcgrad.metrics import ecce_pvalue_from_sigma

    return float(ecce_pvalue_from_sigma(x))


def mcgrad_ece(bins: int) -> float:
    """Return the expected calibration error of the example data in bins of equal size, as MCGrad computes it."""
    from mcgrad.metrics import adaptive_calibration_error

    p, y, _ = held.example()
    return float(adaptive_calibration_error(y, p, num_bins=bins))


def _error(
    p: np.ndarray, y: np.ndarray, columns: dict[str, np.ndarray], depth: int, minimum_rows: int, values: int
) -> "MulticalibrationError":
    import pandas as pd
    from mcgrad.metrics import MulticalibrationError

    return MulticalibrationError(
        pd.DataFrame({"p": p, "y": y, **columns}),
        label_column="y",
        score_column="p",
        categorical_segment_columns=list(columns) if depth else None,
        max_depth=depth,
        max_values_per_segment_feature=values,
        min_samples_per_segment=minimum_rows,
        max_n_segments=None,
        precision_dtype="float64",
    )


def main() -> int:
    """Print every figure beside the one stored in the tests; return 1 if any pair differs, or else 0."""
    pairs = {f"{key}": (mcgrad_figures(*key), figures) for key, figures in held.MCGRAD.items()}
    pairs["detectable"] = ((mcgrad_detectable(),), (held.MCGRAD_DETECTABLE,))
    pairs["each value"] = (mcgrad_merged(100), held.MCGRAD_UNCAPPED)
    pairs["three values"] = (mcgrad_merged(3), held.MCGRAD_CAPPED)
    pairs |= {f"p of {x}": ((mcgrad_p(x),), (p,)) for x, p in held.MCGRAD_P.items()}
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
