"""Trainings that are started by name: an environment, a teacher and settings from a file, a folder with what comes of them."""
