"""Builds the project's images under tags that name their content, and keeps the image lock; see __main__.py."""
