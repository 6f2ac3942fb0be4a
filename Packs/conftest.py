"""Lets the unit tests use the platform's own modules instead of our stand-ins; a fixture.

They do with CONTENT_PATH=<checkout of demisto/content>.
"""

import os
import sys
from pathlib import Path

from Tests.xsoar_end import xsoar_end

__all__ = ["xsoar_end"]

if content := os.environ.get("CONTENT_PATH"):
    for folder in (
        "Tests/demistomock",
        "Packs/Base/Scripts/CommonServerPython",
        "Packs/ApiModules/Scripts/CommonServerUserPython",
    ):
        sys.path.insert(0, str(Path(content, folder)))
