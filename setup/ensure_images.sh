#!/usr/bin/env bash
# Makes sure that the published images we build on and run are on the engine: pulls them, or, where no
# registry can be reached, makes local stand-ins of the same names from Debian's packages (once).
set -Eeuo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=setup/lib.sh
. setup/lib.sh

# The names live where they are used; here they are only read.
DEBIAN_IMAGE=$(sed -n 's/^ARG DEBIAN_IMAGE=//p' base-image/Dockerfile)
POSTGRES_IMAGE=$(sed -n 's/^ *image: *\(postgres:.*\)$/\1/p' docker-compose.yml)
readonly DEBIAN_IMAGE POSTGRES_IMAGE

usage() { sed -n '2,3s/^# //p' "$0"; }

is_here() { docker image inspect "$1" >/dev/null 2>&1; }

# debian_sources: this machine's own Debian sources, for the suite trixie.
debian_sources() {
  local codename
  codename=$(os_release VERSION_CODENAME)
  if [ -r /etc/apt/sources.list.d/debian.sources ]; then
    sed "s/$codename/trixie/g" /etc/apt/sources.list.d/debian.sources
  else
    sed "s/$codename/trixie/g" /etc/apt/sources.list
  fi
}

make_debian_standin() {
  can_be_root && have apt-get && [ "$(os_release ID)" = debian ] ||
    fail "$DEBIAN_IMAGE cannot be pulled, and its stand-in can only be made on Debian with root rights." \
      "Check the network, or 'docker load' the image from a machine that reaches a registry."
  step "Making a local stand-in for $DEBIAN_IMAGE (no registry can be reached; about 40 seconds, once)"
  have debootstrap || install_packages debootstrap
  local mirror root
  mirror=$(debian_sources | grep -oE 'https?://[^ ]+' | grep -v -e snapshot -e security | head -n 1)
  root=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "as_root rm -rf '$root'" RETURN
  as_root debootstrap --variant=minbase trixie "$root" "$mirror" >"$root.log" 2>&1 ||
    fail "debootstrap failed; its log: $root.log" "$(tail -n 3 "$root.log")"
  rm -f "$root.log"
  as_root rm -f "$root/etc/apt/sources.list"
  debian_sources | as_root tee "$root/etc/apt/sources.list.d/debian.sources" >/dev/null
  # A network that re-signs TLS has its own authorities: the stand-in trusts what this machine trusts.
  as_root sh -c 'mkdir -p "$0/usr/local/share/ca-certificates"
    cp /usr/local/share/ca-certificates/*.crt "$0/usr/local/share/ca-certificates/" 2>/dev/null || :
    rm -rf "$0"/var/cache/apt/archives/*.deb "$0"/var/lib/apt/lists/* "$0"/var/log/*.log \
      "$0"/usr/share/doc/* "$0"/usr/share/man/* "$0"/usr/share/locale/*' "$root"
  as_root tar --numeric-owner -C "$root" -c . |
    docker import -c 'CMD ["bash"]' -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
      -c 'LABEL airflow-ml.stand-in=true' - "$DEBIAN_IMAGE" >/dev/null
}

make_postgres_standin() {
  step "Making a local stand-in for $POSTGRES_IMAGE (no registry can be reached; once)"
  [[ $POSTGRES_IMAGE =~ ^postgres:([0-9]+) ]] ||
    fail "$POSTGRES_IMAGE cannot be pulled, and its name does not say of which version its stand-in has to be." \
      "Name it in docker-compose.yml with its version, such as postgres:17-trixie; or check the network."
  docker build -q --build-arg "DEBIAN_IMAGE=$DEBIAN_IMAGE" --build-arg "MAJOR=${BASH_REMATCH[1]}" \
    --tag "$POSTGRES_IMAGE" setup/postgres-standin >/dev/null ||
    fail "$POSTGRES_IMAGE cannot be pulled, and its stand-in cannot be made, see above; Debian 13 has version 17." \
      "Check the network, or 'docker load' the image from a machine that reaches a registry."
}

ensure_image() { # NAME MAKE_STANDIN
  is_here "$1" && return
  step "Pulling $1"
  docker pull -q "$1" >/dev/null 2>&1 || "$2"
}

is_old_standin() { # NAME
  [ "$(docker image inspect --format '{{index .Config.Labels "airflow-ml.stand-in"}}' "$1")" = true ]
}

main() {
  case "${1-}" in -h | --help) usage; return ;; esac
  ensure_image "$DEBIAN_IMAGE" make_debian_standin
  ensure_image "$POSTGRES_IMAGE" make_postgres_standin
  if is_old_standin "$POSTGRES_IMAGE"; then make_postgres_standin; fi
}

main "$@"
