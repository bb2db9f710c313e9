"""What it took to label some entries."""

from typing import NamedTuple

#: A teacher that needs no more seconds for a batch is quicker asked than handed to a thread.
QUICK_BATCH_SECONDS = 2e-3


class LabelStatistics(NamedTuple):
    """
    What labeling some entries took.

    :param asked: Entries for which the teacher, or a controller in the environment, was to give a label.
    :param missing: Those of them that have none, because the answer failed or was not usable.
    :param seconds: Time spent inside the teacher.
    :param complaint: The first cause of a missing label, None if none is missing.
    :param clipped: The share of its numbers that were clipped to the action space, summed over the labels.
    :param unseen: Entries that have none because nothing was known to ask about, as after loading.
    """

    asked: int = 0
    missing: int = 0
    seconds: float = 0.0
    complaint: str | None = None
    clipped: float = 0.0
    unseen: int = 0

    @property
    def clipped_share(self) -> float:
        """The share of the labels' numbers that were clipped to the action space; 0 where there are no labels."""
        return self.clipped / (self.asked - self.missing) if self.asked > self.missing else 0.0

    @property
    def missing_share(self) -> float:
        """The share of the labels asked for that are missing; 0 where none was asked for."""
        return self.missing / self.asked if self.asked else 0.0

    def is_quick(self, batch_size: int) -> bool:
        """
        :param batch_size: How many entries the teacher is asked about at once.
        :return: Whether the teacher answers in no time.
        """
        return self.seconds * batch_size <= QUICK_BATCH_SECONDS * self.asked

    def merged(self, other: "LabelStatistics") -> "LabelStatistics":
        """:return: The statistics of both together."""
        return LabelStatistics(
            self.asked + other.asked,
            self.missing + other.missing,
            self.seconds + other.seconds,
            self.complaint or other.complaint,
            self.clipped + other.clipped,
            self.unseen + other.unseen,
        )
