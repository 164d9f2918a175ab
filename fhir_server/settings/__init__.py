"""settings — what a server may be told, whichever way it is told.

Settings are handed down, never reached for: only `cli` and `server` import this package.
"""

from __future__ import annotations

from fhir_server.settings.gather import Gathered, SettingRefused, gather
from fhir_server.settings.table import PREFIX, TABLE, Line, Settings

__all__ = ["PREFIX", "TABLE", "Gathered", "Line", "SettingRefused", "Settings", "gather"]
