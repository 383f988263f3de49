#!/usr/bin/env bash
# Compiles requirements.in into requirements.txt (all platforms, every hash, no index address) and sbom.cdx.json.
# Usage: scripts/lock.sh [FOLDER] [PACKAGE[==VERSION]...] [--constraint FILE...]
# Without FOLDER every lock; with packages, these alone get another version.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

exec env PYTHONPATH=.:scripts .venv/bin/python -m locks compile "$@"
