"""Locks of Python packages: compile them, check them, list them as bills of materials, audit them."""
