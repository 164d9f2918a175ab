"""An independent search engine: slow, simple, in memory, and written from R4's text alone.

It shares no code with fhir_server. What the server answers must be what this finds.
"""
