"""What codes mean: the lists the server knows, and where they lie."""
