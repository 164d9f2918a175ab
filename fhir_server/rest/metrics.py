"""metrics — how often, how long, how it went: by interaction, type and status, never by whom.

Each worker process counts for itself. With several workers behind one port a scrape meets any one
of them, so the program that starts them sets `PROMETHEUS_MULTIPROC_DIR` to an empty folder before
anything is imported: the counts then lie in files there, and whichever worker is asked adds all of
them up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from fhir_server.foundation.outcome import Issue
from fhir_server.interaction.context import Figure

SHARED = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_RULES = 1000
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def gauges(figures: Sequence[Figure]) -> bytes:
    """What is not counted but looked up when it is asked for."""
    registry = CollectorRegistry()
    made: dict[str, Gauge] = {}
    for name, meaning, part, value in figures:
        if name not in made:
            made[name] = Gauge(
                f"fhir_{name}", meaning, ("node",) if part else (), registry=registry
            )
        gauge = made[name].labels(part) if part else made[name]
        gauge.set(value)
    return generate_latest(registry)


class Metrics:
    """The counts of this process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "fhir_requests",
            "Interactions, by kind, resource type and HTTP status.",
            ("interaction", "type", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "fhir_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ("interaction",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._issues = Counter(
            "fhir_validation_issues",
            "Issues validation found in what was sent to be stored, by rule and severity.",
            ("rule", "severity"),
            registry=self.registry,
        )
        self.under_way = Gauge(
            "fhir_requests_under_way",
            "Requests being worked on.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.text_behind = Gauge(
            "fhir_text_index_behind",
            "Versions the index of words has still to read; it counts no further than 10,000.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        # labels() looks its child up under a lock; a dict of our own is several times faster.
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._rules: set[str] = set()

    def observe(self, interaction: str, type: str | None, status: int, seconds: float) -> None:
        key = (interaction, type or "", status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(interaction, type or "", status)
        counter.inc()
        histogram = self._histograms.get(interaction)
        if histogram is None:
            histogram = self._histograms[interaction] = self._seconds.labels(interaction)
        histogram.observe(seconds)

    def issues(self, found: Sequence[Issue]) -> None:
        """Count what validation found. Rules come from profiles too, so they are bounded."""
        for issue in found:
            rule = issue.rule or issue.code
            if rule not in self._rules and len(self._rules) >= MAX_RULES:
                rule = "other"
            self._rules.add(rule)
            self._issues.labels(rule, issue.severity).inc()

    def exposition(self) -> bytes:
        """All that was counted, in Prometheus' text format."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it has no annotations
        return generate_latest(registry)
