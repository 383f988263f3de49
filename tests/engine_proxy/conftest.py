"""The proxy's modules are imported from its folder, as its image does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "services" / "engine-proxy"))
