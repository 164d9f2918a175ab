"""Where resources live: every version, the newest of each, and what search asks."""
