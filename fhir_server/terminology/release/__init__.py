"""release — code systems from the files their publishers release.

https://hl7.org/fhir/R4/terminologies-systems.html
"""

from __future__ import annotations

from fhir_server.terminology.release.choose import Told, release_of
from fhir_server.terminology.release.load import load
from fhir_server.terminology.release.source import BadRelease, Meter, Release

__all__ = ["BadRelease", "Meter", "Release", "Told", "load", "release_of"]
