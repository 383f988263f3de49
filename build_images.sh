#!/usr/bin/env bash
# Builds the base image, every stage and every service under content tags; `-h` lists the options.
# Writes dags/images.lock.json for the Dags and, once, .env for `docker compose`.
set -Eeuo pipefail
cd "$(dirname "$0")"
# shellcheck source=setup/lib.sh
. setup/lib.sh

ensure_python 10
python3 scripts/make_env.py
exec env PYTHONPATH=scripts python3 -m images "$@"
