"""The proxy's modules are imported from its folder, as its image does."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "services" / "engine-proxy"))

# No test depends on the speed of the machine.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
