# Stands in for python:3.13-slim where no registry can be reached: Debian's Python 3.13, and pip in an environment.
ARG DEBIAN_IMAGE=debian:trixie-slim
FROM ${DEBIAN_IMAGE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && python3 -m venv /opt/venv \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
ENV PATH=/opt/venv/bin:$PATH
