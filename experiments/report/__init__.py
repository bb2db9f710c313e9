"""The report on the results: ``python -m experiments.report`` writes pages and pictures into ``docs/results``."""
