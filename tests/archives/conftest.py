"""Archives in the layouts of the paper's data sets; see tests/helpers/layouts.py."""

from tests.helpers.layouts import expect_one_line, real_layouts  # noqa: F401 - fixtures
