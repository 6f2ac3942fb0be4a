"""The zips that the tests share."""

from __future__ import annotations

import functools
import os

import pytest

from Tests.pack.zips import Zip, zip_of


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Zip:
    """Returns a function that returns the zip of build.py's options."""
    base = tmp_path_factory.getbasetemp()
    return functools.partial(zip_of, base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
