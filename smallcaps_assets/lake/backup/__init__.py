"""Backups of a lake: each content is stored once, and a snapshot is a list of contents."""
