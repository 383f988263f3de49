#!/usr/bin/env bash
# Builds the base image, every stage and every service under content tags; `-h` lists the options.
set -Eeuo pipefail
exec "$(dirname "$0")/airflow-ml" build "$@"
