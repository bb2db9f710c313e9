"""What it took to label some entries."""

from sb3_rpd.common.label_statistics import LabelStatistics


def test_statistics_add_up_and_keep_the_first_complaint() -> None:
    merged = LabelStatistics(4, 1, 0.5).merged(LabelStatistics(6, 3, 0.25, "b")).merged(LabelStatistics(0, 0, 0.0, "c"))
    assert merged == LabelStatistics(10, 4, 0.75, "b")
    assert merged.missing_share == 0.4
    assert LabelStatistics().missing_share == 0.0


def test_clipped_share_is_that_of_the_labels_that_there_are() -> None:
    merged = LabelStatistics(4, 1, clipped=1.5).merged(LabelStatistics(6, 3, clipped=1.0))
    assert merged.clipped_share == 2.5 / 6
    assert LabelStatistics(3, 3).clipped_share == 0.0


def test_teacher_is_quick_by_the_seconds_for_a_full_batch() -> None:
    # 0.004 s for 1000 entries are 0.001 s for a batch of 250, and 0.004 s for one of 1000
    statistics = LabelStatistics(asked=1000, seconds=0.004)
    assert statistics.is_quick(250)
    assert not statistics.is_quick(1000)
