"""Puts stagekit on the path, as the base image does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "base-image"))
