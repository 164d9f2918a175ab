"""cli — the command line: one module for each group of commands, put together in app.

Commands import what they need when they run, so that `--help` answers at once.
"""

from __future__ import annotations

from fhir_server.cli.app import main

__all__ = ["main"]
