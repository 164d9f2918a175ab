"""What tools/build_terminology.py builds: code systems, value sets, maps, naming systems."""
