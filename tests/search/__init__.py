"""What is written into the index, and what is asked of it, held against each other in memory."""
