"""Alembic's steps from an empty database, or any released schema, to the newest."""
