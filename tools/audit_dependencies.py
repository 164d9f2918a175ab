"""audit_dependencies — whether a library we run with is known to be vulnerable.

python tools/audit_dependencies.py              asks OSV about every package of this environment
python tools/audit_dependencies.py --path DIR   about those of a folder; pip-audit takes it

A known vulnerability fails. Where no advisory service can be reached nothing is known: that is
said, and fails only with FHIR_AUDIT_STRICT=1. FHIR_AUDIT_URL names another service that speaks
OSV's API, such as a mirror within a network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

OSV = "https://api.osv.dev/v1/query"
PATIENCE = 10  # seconds until a service counts as out of reach
PROBE = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "25.0"}
KNOWN, CLEAN = 1, 0


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    service = environment.get("FHIR_AUDIT_URL", OSV)
    if why := out_of_reach(service):
        strict = environment.get("FHIR_AUDIT_STRICT") == "1"
        print(
            f"The dependencies were not audited: {service} could not be asked ({why}). Nothing is"
            " known of their vulnerabilities" + (", and FHIR_AUDIT_STRICT asks." if strict else ".")
        )
        return KNOWN if strict else CLEAN
    audited = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--format", "json", "--skip-editable"),
            *("--progress-spinner", "off", "--timeout", str(PATIENCE)),
            *("--vulnerability-service", "osv", "--osv-url", service, *arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        packages = json.loads(audited.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"pip-audit failed:\n{audited.stderr[-4000:]}")
        return KNOWN
    found = vulnerable(packages)
    print("\n".join([*found, summary(packages, found)]))
    return KNOWN if found else CLEAN


def out_of_reach(service: str) -> str:
    """Why the service gives no answer; empty where it does."""
    if not service.startswith(("https://", "http://127.0.0.1")):
        return "it is asked by https alone"
    asked = urllib.request.Request(service, json.dumps(PROBE).encode())  # noqa: S310 looked at above
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:  # noqa: S310 as above
            json.load(answer)
    except (OSError, ValueError) as error:  # URLError and HTTPError are OSErrors
        return str(getattr(error, "reason", error)) or type(error).__name__
    return ""


def vulnerable(packages: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each vulnerability: the package, what it is called, and where it is mended."""
    told = []
    for package in packages:
        for one in package.get("vulns", ()):
            mended = ", ".join(one.get("fix_versions") or ()) or "no version yet"
            names = " ".join([one["id"], *one.get("aliases", ())])
            told.append(f"{package['name']} {package['version']}: {names}; mended in {mended}")
    return told


def summary(packages: Sequence[Mapping[str, Any]], found: Sequence[str]) -> str:
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    told = f"{len(packages) - len(skipped)} packages audited, {len(found)} known vulnerabilities"
    return f"{told}; not audited: {', '.join(skipped)}" if skipped else told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
