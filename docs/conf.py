"""Settings of the documentation site (Sphinx with MyST Markdown); ``make docs-site`` builds it."""

import os

from workflow_scripts.timecat.version import VERSION

project = "timecat"
copyright = "the timecat authors"
author = "the timecat authors"
release = VERSION

extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = ["_build"]
# A link to a heading of a page is checked like a link to a page.
myst_heading_anchors = 4
# External links are checked by `sphinx-build -b linkcheck`, which needs the network.
linkcheck_timeout = 20
nitpicky = True

# Two dashes of an option must stay two dashes.
smartquotes = False

html_theme = "furo"
html_title = "timecat"
html_static_path = ["_static"]
html_css_files = ["timecat.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
# The build must not differ from one day to the next.
html_last_updated_fmt = None
os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
