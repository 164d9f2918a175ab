"""search — W3: thirty shapes of search on a ladder of sizes, each answer held against an oracle."""
