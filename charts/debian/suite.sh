# shellcheck shell=bash disable=SC2034,SC2154 # variables of whoever sources it, and of tests/lib/setup.sh
# Sourced by charts/image/build and charts/debian/build, after tests/lib/setup.sh: a Debian of the suite, in which things are made.
#
# It is kept among the caches. Root makes and enters it; others do so in a user namespace, for which they need newuidmap (the package uidmap)
# and a range in /etc/subuid: exit 77 and a line that says so where that isn't given.
#
# From a tree without git VERSION and SOURCE_DATE_EPOCH have to say what --version says and the time of all files; REVISION is the commit.

read_arguments() { # read_arguments NAME FOLDER ARGUMENT...: suite, and out as seen from FOLDER
  local name=$1 from=$2
  shift 2
  suite=bookworm
  if [ "${1:-}" = --suite ] && [ $# -ge 2 ]; then
    suite=$2
    shift 2
  fi
  if [ $# -ne 1 ] || [[ $1 = -* ]] || [[ $suite != bookworm && $suite != trixie ]]; then
    say "usage: $name [--suite bookworm|trixie] OUT"
    exit 64
  fi
  out=$(cd "$from" && realpath -m -- "$1")
}

read_commit() { # VERSION, SOURCE_DATE_EPOCH, REVISION
  if git rev-parse -q --verify HEAD >/dev/null 2>&1; then
    VERSION=${VERSION:-$(cmake -DSOURCE="$root" -P worker/version.cmake)}
    REVISION=${REVISION:-$(git rev-parse HEAD)}
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
  elif [ -z "${VERSION:-}" ] || [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    say "no git tree: VERSION (what --version says) and SOURCE_DATE_EPOCH (the time of all files, in seconds since 1970) have to be set"
    exit 64
  fi
}

# Until the script ends nobody else is in it.
enter_suite() { # enter_suite SUITE: made, if it isn't there; sets chroot
  chroot=$cache/image-$1-$(id -u)
  as_root=(env) # whoever is root is so already
  [ "$(id -u)" = 0 ] || as_root=(unshare --map-root-user --map-auto)
  "${as_root[@]}" unshare --mount --pid --fork true 2>/dev/null ||
    { say "no right to mount or to make namespaces here: run as root, or install uidmap, have a range of ids in /etc/subuid and /etc/subgid, and allow user namespaces"; exit 77; }
  mkdir -p "$cache"
  exec {lock}>"$chroot.lock"
  flock "$lock"
  make_suite "$1"
}

make_suite() { # renamed, it is there whole or not at all
  [ ! -e "$chroot" ] || return 0
  say "making a Debian root: $1"
  "${as_root[@]}" rm -rf "$chroot.new"
  mkdir "$chroot.new"
  mmdebstrap --variant=minbase "$1" - 2>"$cache/mmdebstrap.log" | "${as_root[@]}" tar -x --exclude='./dev/*' -C "$chroot.new" ||
    { tail -n 5 "$cache/mmdebstrap.log" >&2; say "mmdebstrap failed: see $cache/mmdebstrap.log"; return 1; }
  mv "$chroot.new" "$chroot"
}

# Its processes and mounts live in namespaces of their own and end with the command. This machine's way to the network is its way, too.
in_suite() { # in_suite COMMAND...
  # shellcheck disable=SC2016 # the inner shell's
  "${as_root[@]}" unshare --mount --pid --fork --kill-child bash -euc '
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    chroot=$1
    shift
    exec chroot "$chroot" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 VERSION="$VERSION" SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
      ${DEBEMAIL:+DEBFULLNAME="${DEBFULLNAME:-$DEBEMAIL}" DEBEMAIL="$DEBEMAIL"} "$@"' - "$chroot" "$@"
}

# A copy of this tree is brought in, charts/image/assemble makes WHAT of it in a folder, and the shell COMMAND writes what is wanted of that folder ($out)
# to standard output.
assembled() { # assembled WHAT COMMAND
  # shellcheck disable=SC2016 # the inner shell's
  tar -c --exclude-vcs --exclude=./build . | VERSION=$VERSION SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH in_suite bash -euc '
    source=$(mktemp -d)
    trap "rm -rf $source" EXIT
    tar -x --no-same-owner -C "$source"
    "$source/charts/image/assemble" packages >&2
    out=$source/out
    "$source/charts/image/assemble" "$1" "$out" >&2
    eval "$2"' - "$1" "$2"
}
