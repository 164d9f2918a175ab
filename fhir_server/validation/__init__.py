"""Whether a resource is what R4 and its profiles say."""
