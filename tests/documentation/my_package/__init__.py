"""A package that the documentation names."""
