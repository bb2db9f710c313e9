#!/usr/bin/env bash
# Installs the Debian packages that ManiSkill2 needs: shared libraries, and a Vulkan driver that renders on the CPU.
# Does nothing, and asks for no rights, where all of it is there already; needs root or sudo otherwise.
set -euo pipefail

# The first Mesa whose CPU renderer (lavapipe) runs SAPIEN; Debian 12 itself has 22.3.6, its backports have this one or later.
readonly MESA_VERSION=25.0.7

packages=()
libraries=$(/sbin/ldconfig -p)

need_command() { # command, package
    command -v "$1" >/dev/null || packages+=("$2")
}

need_library() { # file name, package
    grep -qF "$1 " <<<"$libraries" || packages+=("$2")
}

need_command make make
need_command git git
need_command zip zip # one of Stable-Baselines3's own tests calls it
need_command python3 python3
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
need_library libvulkan.so.1 libvulkan1
need_library libX11.so.6 libx11-6
need_library libGL.so.1 libgl1
need_library libglib-2.0.so.0 libglib2.0-0

driver=""
if [[ ! -e /proc/driver/nvidia/version ]]; then # NVIDIA's own Vulkan driver renders, and better
    installed=$(dpkg-query --show --showformat='${Version}' mesa-vulkan-drivers 2>/dev/null || true)
    if [[ -z $installed ]] || dpkg --compare-versions "$installed" lt "$MESA_VERSION"; then
        driver=mesa-vulkan-drivers
    fi
fi

if [[ ${#packages[@]} -eq 0 && -z $driver ]]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "This is not a Debian system: going on without these packages, or what they are called here:" \
        "${packages[*]} ${driver:+$driver (Mesa >= $MESA_VERSION)}" >&2
    exit 0
fi
if [[ $(id -u) -eq 0 ]]; then
    as_root=()
elif command -v sudo >/dev/null; then
    as_root=(sudo)
else
    echo "Missing system packages: ${packages[*]} $driver. Installing them needs root or sudo; run as root: $0" >&2
    exit 1
fi

apt_install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "$@"
}

# Debian's own sources once more, for the suite bookworm-backports. Nothing is upgraded from it unless asked for by name.
add_backports() {
    local folder=/etc/apt/sources.list.d
    if [[ -e $folder/debian.sources ]]; then
        awk 'BEGIN { RS = ""; ORS = "\n\n" } !/security/' $folder/debian.sources | sed 's/^Suites:.*/Suites: bookworm-backports/' |
            "${as_root[@]}" tee $folder/bookworm-backports.sources >/dev/null
    else
        sed -n 's/^\(deb .*\) bookworm main.*/\1 bookworm-backports main/p' /etc/apt/sources.list |
            grep -v cdrom | "${as_root[@]}" tee $folder/bookworm-backports.list >/dev/null
    fi
    "${as_root[@]}" apt-get update --quiet
}

"${as_root[@]}" apt-get update --quiet
if [[ ${#packages[@]} -gt 0 ]]; then
    apt_install "${packages[@]}"
fi
if [[ -n $driver ]]; then
    release=()
    if grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release; then
        grep -q bookworm-backports <<<"$(apt-cache policy $driver)" || add_backports
        release=(--target-release bookworm-backports)
    fi
    apt_install "${release[@]}" $driver
fi
