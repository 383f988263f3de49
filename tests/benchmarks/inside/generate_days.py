"""Makes the raw data of several days, the last one named, in the image of the generator.

Usage: generate_days.py LAST DAYS ROWS
"""

import subprocess
import sys
from datetime import date, timedelta

last, days, rows = date.fromisoformat(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for before in range(days):
    ds = last - timedelta(days=before)
    subprocess.run([sys.executable, "/opt/stage/generator.py", f"--ds={ds}", f"--rows={rows}"], check=True)
