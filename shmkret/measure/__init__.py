"""Measuring: cells, their repetitions, statistics, verdicts and reports."""
