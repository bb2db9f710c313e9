import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_rpd.demonstrations.statistics import QUANTILES, describe_images, describe_vectors, merge


def test_statistics_of_five_rows_worked_out_by_hand():
    found = describe_vectors(np.array([[0, 10], [1, 10], [2, 10], [3, 10], [4, 10]], np.float32))
    assert found["count"].tolist() == [5]
    assert [found[name].tolist() for name in ("min", "max", "mean")] == [[0, 10], [4, 10], [2, 10]]
    # the mean square distance from 2 is (4 + 1 + 0 + 1 + 4) / 5
    np.testing.assert_allclose(found["std"], [2**0.5, 0])
    # between the ranks 0 to 4: rank 0.04, 0.4, 2, 3.6, 3.96
    np.testing.assert_allclose([found[name][0] for name in QUANTILES], [0.04, 0.4, 2, 3.6, 3.96])


@settings(max_examples=25)
@given(arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.just(3))))
def test_statistics_of_images_are_those_of_their_pixels(images):
    found = describe_images(images)
    pixels = images.reshape(-1, 3) / 255
    expected = {"min": pixels.min(0), "max": pixels.max(0), "mean": pixels.mean(0), "std": pixels.std(0)}
    expected |= {name: np.quantile(pixels, share, axis=0) for name, share in QUANTILES.items()}
    assert found.pop("count") == [len(images)]
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.shape == (3, 1, 1)
        np.testing.assert_allclose(value[:, 0, 0], expected[name], atol=1e-12, err_msg=name)


def test_merged_statistics_are_those_of_all_rows_and_quantiles_are_means():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 3)) * n for n in (2, 5, 13)]
    described = [describe_vectors(part) for part in parts]
    merged, whole = merge(described), describe_vectors(np.concatenate(parts))
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(merged[name], whole[name], err_msg=name)
    q10 = [found["q10"] for found in described]
    np.testing.assert_allclose(merged["q10"], (2 * q10[0] + 5 * q10[1] + 13 * q10[2]) / 20)


def test_statistics_of_booleans_are_those_of_zeros_and_ones():
    found = describe_vectors(np.array([[True], [False], [False], [True]]))
    assert found["mean"] == pytest.approx(0.5)
    assert found["std"] == pytest.approx(0.5)
