"""The documentation site: `make docs` builds it from the Markdown of the repository.

The source folder is the repository, so that relative links mean the same here as in a checkout.
"""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "onnxq"
copyright = "the authors of onnxq, Apache-2.0"
release = metadata.version("onnxq")

extensions = [
    "myst_parser",
    "code_links",
    "generated_pages",
    "navigation",
    "notebooks",
    "plain_lexers",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "benchmarks/**", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = ["**/.*", "build", "demo-out"]

myst_heading_anchors = 4
smartquotes = False

html_theme = "furo"
html_title = "onnxq"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
templates_path = ["templates"]
html_additional_pages = {"index": "start_page.html"}
html_copy_source = False
html_use_index = False
html_show_search_summary = False  # it fetches pages, which browsers refuse for files
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
