#!/usr/bin/env bash
# Ends with 0 when a Docker Engine >= 25 with buildx and Compose v2 answers; installs and starts one
# from the distribution's packages where that is possible (Debian 12/13, Ubuntu, with root rights).
set -Eeuo pipefail
cd "$(dirname "$0")"
# shellcheck source=setup/lib.sh
. ./lib.sh

readonly ENGINE_LOG=${ENGINE_LOG:-/var/log/airflow-ml-dockerd.log}
readonly INSTALL_HELP="Install Docker Engine 25 or newer with buildx and Compose v2 (Docker Desktop has all three), then run this again."

usage() { sed -n '2,3s/^# //p' "$0"; }

engine_answers() { have docker && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
has_plugins() { docker buildx version >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

install_on_debian_12() {
  # Debian 12's own engine has neither buildx nor Compose v2; Debian 13's packages run on 12 as they are.
  # The source for 13 is the machine's own source with another suite, pinned below everything else.
  say "    adding Debian 13's packages as a source pinned low (for docker only)"
  local source=/etc/apt/sources.list.d/debian.sources target=/etc/apt/sources.list.d/airflow-ml-trixie
  if [ -r "$source" ]; then
    sed 's/bookworm/trixie/g' "$source" | as_root tee "$target.sources" >/dev/null
  else
    sed 's/bookworm/trixie/g' /etc/apt/sources.list | as_root tee "$target.list" >/dev/null
  fi
  printf 'Package: *\nPin: release n=trixie*\nPin-Priority: 50\n' |
    as_root tee /etc/apt/preferences.d/airflow-ml-trixie >/dev/null
  as_root apt-get update -qq </dev/null
  install_packages docker.io/trixie docker-cli/trixie docker-compose/trixie docker-buildx/trixie \
    containerd/trixie runc iptables ca-certificates
}

install_engine() {
  local distribution
  distribution="$(os_release ID) $(os_release VERSION_ID)"
  can_be_root || fail "no Docker engine answers, and installing one needs root rights." "$INSTALL_HELP"
  have apt-get || fail "no Docker engine answers on this system (${distribution:-unknown})." "$INSTALL_HELP"
  step "No Docker engine with buildx and Compose v2: installing the distribution's packages ($distribution)"
  case "$distribution" in
    "debian 12") install_on_debian_12 ;;
    "debian 13")
      as_root apt-get update -qq </dev/null
      install_packages docker.io docker-cli docker-compose docker-buildx iptables ca-certificates ;;
    "ubuntu "*)
      as_root apt-get update -qq </dev/null
      install_packages docker.io docker-compose-v2 docker-buildx iptables ca-certificates ;;
    *) fail "no Docker engine answers, and this script knows only Debian 12/13 and Ubuntu, not $distribution." "$INSTALL_HELP" ;;
  esac
}

# An engine that was killed leaves the network namespaces of its containers. Each keeps its address on the bridge; the next
# engine gives the same address to a container, which then cannot be reached.
remove_dead_namespaces() {
  local namespace
  ! as_root sh -c 'kill -0 "$(cat /run/docker.pid)"' 2>/dev/null || return 0
  for namespace in $(as_root find /run/docker/netns -type f 2>/dev/null); do
    ! grep -qF " $namespace " /proc/mounts || as_root umount "$namespace"
    as_root rm "$namespace"
  done
}

# It also leaves its networks' rules. One whose bridge is gone changes the senders of packets in a new network of that subnet.
remove_dead_rules() {
  local bridge rule
  have iptables || return 0
  as_root iptables --table nat --list-rules POSTROUTING | { grep -E ' ! -o br-[0-9a-f]{12} -j MASQUERADE$' || test $? = 1; } |
    while read -r _ rule; do
      bridge=${rule##*-o } bridge=${bridge%% *}
      # shellcheck disable=SC2086  # a rule is words
      [ -e "/sys/class/net/$bridge" ] || as_root iptables --table nat --delete $rule
    done
}

start_engine() {
  step "Starting the Docker engine"
  if [ -d /run/systemd/system ]; then
    as_root systemctl start docker
  else
    say "    no systemd here: dockerd runs in the background, log in $ENGINE_LOG"
    remove_dead_namespaces
    remove_dead_rules
    as_root sh -c 'setsid nohup dockerd >>"$0" 2>&1 </dev/null &' "$ENGINE_LOG"
  fi
  local _
  for _ in $(seq 240); do
    engine_answers && return
    sleep 0.5
  done
  fail "the Docker engine did not answer within two minutes." "Its log: $ENGINE_LOG (or 'journalctl -u docker')." \
    "$(tail -n 3 "$ENGINE_LOG" 2>/dev/null || true)"
}

check_versions() {
  local engine major buildx
  engine=$(docker version --format '{{.Server.Version}}')
  major=${engine%%.*}
  [ "$major" -ge 25 ] || fail "Docker Engine $engine is too old, 25 or newer is needed." "$INSTALL_HELP"
  has_plugins || fail "Docker's plugins buildx and Compose v2 are needed, at least one is missing." "$INSTALL_HELP"
  # Builds read buildx's progress as JSON.
  buildx=$(docker buildx version | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
  printf '0.13\n%s\n' "$buildx" | sort --version-sort --check=quiet ||
    fail "Docker's buildx $buildx is too old, 0.13 or newer is needed." "$INSTALL_HELP"
}

main() {
  case "${1-}" in -h | --help) usage; return ;; esac
  if ! engine_answers; then
    [ -z "${DOCKER_HOST-}" ] || fail "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST." "Start it, or unset DOCKER_HOST."
    if have docker && docker version 2>&1 | grep -q 'permission denied'; then
      fail "a Docker engine runs, but $(id -un) may not use it." "Run 'sudo usermod -aG docker $(id -un)' and log in again."
    fi
    have dockerd && has_plugins || install_engine
    start_engine
  elif ! has_plugins && can_be_root && have apt-get; then
    install_engine
  fi
  check_versions
}

main "$@"
