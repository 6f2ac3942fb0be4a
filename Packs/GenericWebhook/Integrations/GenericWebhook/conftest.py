"""The fixtures that several test files of this folder use."""

from test_data.helpers import application, at, quick

__all__ = ["application", "at", "quick"]
