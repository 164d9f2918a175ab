"""cli — the command line: serve, migrate, demo, load, doctor, backup, restore, settings, version.

Commands import what they need when they run, so that `--help` answers at once.
"""

from __future__ import annotations

from fhir_server.cli.app import main

__all__ = ["main"]
