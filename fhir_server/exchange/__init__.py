"""What leaves and enters many resources at a time."""
