"""Counts of several worker processes behind one port are one count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORK = """
from fhir_server.rest.metrics import Metrics
metrics = Metrics()
for _ in range({times}):
    metrics.observe("read", "Patient", 200, 0.004)
print(metrics.exposition().decode())
"""


def test_whichever_worker_is_asked_adds_up_what_all_have_counted(tmp_path):
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for times in (2, 3):
        done = subprocess.run(
            [sys.executable, "-c", WORK.format(times=times)],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    told = done.stdout
    assert 'fhir_requests_total{interaction="read",status="200",type="Patient"} 5.0' in told
    assert 'fhir_request_seconds_count{interaction="read"} 5.0' in told
    assert 'fhir_request_seconds_bucket{interaction="read",le="0.0025"} 0.0' in told
    assert 'fhir_request_seconds_bucket{interaction="read",le="0.005"} 5.0' in told
