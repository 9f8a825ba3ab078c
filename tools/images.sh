#!/bin/sh
# Build the images that the manifests name: images.sh [DEVICE], cpu unless cuda is asked for.
# ENGINE: podman, else docker. IMAGE_BUILD_FLAGS: more arguments of its build, as --build-arg=BASE=...
set -eu
cd "$(dirname "$0")/.."

engine="${ENGINE:-$(command -v podman || command -v docker || true)}"
[ -n "$engine" ] || { echo "images: neither podman nor docker is installed; install one (Debian: apt-get install podman)" >&2; exit 2; }
device="${1:-cpu}"
version="$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' services/predictor/src/tandem_predictor/__init__.py)"
revision="$(git rev-parse HEAD 2>/dev/null || true)"
built=""

build() { # service tag [argument...]
    name="tandem/$1:$2"
    file="deploy/$1.Containerfile"
    shift 2
    echo "images: building $name from $file (two minutes the first time) ..."
    # Unquoted, as the flags are several words
    # shellcheck disable=SC2086
    "$engine" build ${IMAGE_BUILD_FLAGS:-} --label "org.opencontainers.image.revision=$revision" "$@" --file "$file" --tag "$name" .
    size="$("$engine" image inspect --format '{{.Size}}' "$name")"
    built="$built${built:+ and }$name ($((size / 1000000)) MB)"
}

case "$device" in
    cpu)
        build predictor "$version"
        build transformer "$version"
        ;;
    cuda) build predictor "$version-gpu" --build-arg DEVICE=cuda ;;
    *) echo "images: DEVICE must be cpu or cuda, not '$device'" >&2; exit 2 ;;
esac
echo "images: $built are built"
