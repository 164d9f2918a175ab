"""Hubs and nodes as processes of their own, with a line between them that fails."""
