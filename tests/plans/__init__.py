"""Whether every shape of search reads only what it answers, on a province's worth of records."""
