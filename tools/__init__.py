"""What is built or written once, by hand, from the repository itself."""
