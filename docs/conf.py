"""Settings of the documentation: `make doc`."""

from importlib.metadata import version as installed_version

project = "sb3_rpd"
author = "sb3_rpd contributors"
project_copyright = f"2026, {author}"
release = version = installed_version("sb3_rpd")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"sb3_rpd {version}"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# Types that others document: without a connection to their sites, names and not links. And type variables.
nitpick_ignore_regex = [(r"py:.*", r"(?!sb3_rpd).*"), (r"py:class", r".*\.Self\w+")]
