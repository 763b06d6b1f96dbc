#!/usr/bin/env bash
# Installs the package in a clean Debian, uses it there as an ordinary user, and purges it again. Needs root and debootstrap.
#
#   host/packaging/check.sh target/deb/wirehaul_VERSION_ARCH.deb SUITE MIRROR
#
# The Debian is a folder beside the package, which goes at the end, however it ends. What is mounted and what runs in it is so in
# namespaces of its own, and goes with them, before the folder does.
set -euo pipefail

main() {
    local package=$1
    if [[ ${2:-} == --inside ]]; then
        inside "$package" "$3"
        return
    fi
    local suite=$2 mirror=$3
    ROOT=$(realpath "$(dirname "$package")")/debian-$$
    INSIDE=
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    mkdir "$ROOT"
    step "make a clean Debian $suite" debootstrap --variant=minbase --include=adduser "$suite" "$ROOT" "$mirror"
    unshare --mount --pid --net --uts --ipc --fork --kill-child --propagation private "$0" "$package" --inside "$ROOT" &
    INSIDE=$!
    wait "$INSIDE"
}

clean_up() {
    trap '' INT TERM HUP
    # The first process of a namespace takes all others, and the mounts, with it.
    if [[ -n $INSIDE ]]; then
        kill -KILL "$INSIDE" 2>/dev/null || true
        wait "$INSIDE" 2>/dev/null || true
    fi
    rm -f "$ROOT.log"
    # The kernel may still be at it.
    local tries
    for tries in {1..50}; do
        if ! grep -qs " $ROOT/" /proc/self/mounts && rm -rf --one-file-system "$ROOT" 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    echo "check: could not remove $ROOT after $tries tries: remove it by hand" >&2
}

# inside PACKAGE ROOT: all that is done in the clean Debian.
inside() {
    local package=$1
    ROOT=$2
    mount -t proc proc "$ROOT/proc"
    mount -t tmpfs -o mode=1777 tmp "$ROOT/tmp"
    ip link set lo up
    cp "$package" "$ROOT/tmp/wirehaul.deb"
    in_debian useradd --user-group --create-home --base-dir /srv guest
    list_files >"$ROOT/tmp/before"

    step "install the package" install_it
    step "it is installed" is_installed
    step "files are where they belong" has_its_files
    step "the program starts for an ordinary user" as_guest wirehaul --version
    step "a transfer over the loopback device" transfer
    step "the two commands of the README" first_screen
    step "the configuration that comes with it is right" check_configuration
    step "a changed configuration outlives another installation" reinstall
    step "a removed package leaves its state" remove
    step "a purged package leaves nothing" purge
    echo "check: the package is in order"
}

install_it() {
    local began=$EPOCHREALTIME
    in_debian dpkg -i /tmp/wirehaul.deb
    echo "check: installed in $(seconds_since "$began") s"
}

is_installed() {
    # shellcheck disable=SC2016 # dpkg's own variables, as further down.
    [[ $(in_debian dpkg-query --show --showformat='${db:Status-Status}' wirehaul) == installed ]]
    in_debian dpkg --verify wirehaul
    in_debian getent passwd wirehaul | grep -q ':/var/lib/wirehaul:/usr/sbin/nologin$'
    [[ $(in_debian stat --format='%U:%G %a' /var/lib/wirehaul) == "wirehaul:wirehaul 750" ]]
}

has_its_files() {
    local file
    for file in \
        /usr/bin/wirehaul /etc/wirehaul/serve.toml /lib/systemd/system/wirehaul.service \
        /usr/share/man/man1/wirehaul.1.gz /usr/share/man/man1/wirehaul-send.1.gz \
        /usr/share/bash-completion/completions/wirehaul /usr/share/zsh/vendor-completions/_wirehaul \
        /usr/share/fish/vendor_completions.d/wirehaul.fish \
        /usr/share/doc/wirehaul/{copyright,changelog.gz,third-party,README.md,docs/quick-start.md}; do
        [[ -s $ROOT$file ]] || {
            echo "check: $file is missing" >&2
            return 1
        }
    done
    in_debian bash -n /usr/share/bash-completion/completions/wirehaul
    zgrep -q 'EXIT STATUS' "$ROOT/usr/share/man/man1/wirehaul.1.gz"
    # shellcheck disable=SC2016
    [[ $(in_debian dpkg-query --show --showformat='${Conffiles}' wirehaul) == *"/etc/wirehaul/serve.toml "* ]]
}

# The receiver says its ticket on the first line.
transfer() {
    # shellcheck disable=SC2016 # For the shell in there.
    as_guest sh -euc '
        cd /srv/guest
        mkdir from to
        head -c 20000000 /dev/urandom >from/large
        for number in 1 2 3 4 5; do echo "$number" >"from/$number"; done
        wirehaul recv --listen 127.0.0.1:0 --dir to --once >ticket &
        until [ -s ticket ]; do sleep 0.1; done
        wirehaul send from "$(head -n 1 ticket)"
        wait "$!"
        diff -r from to/from
    '
}

# As they are written there: the receiver goes on until it is told to stop.
# shellcheck disable=SC2016 # For the shell in there.
first_screen() {
    local began since
    as_guest bash -euc '
        mkdir -p /srv/guest/first/inbox /srv/guest/first/photos
        cd /srv/guest/first
        head -c 3000000 /dev/urandom >report.pdf
        for number in {1..20}; do head -c 2000000 /dev/urandom >"photos/$number.jpg"; done
    '
    began=$EPOCHREALTIME
    as_guest bash -euc '
        cd /srv/guest/first
        wirehaul recv --dir inbox >ticket &
        until [[ -s ticket ]]; do sleep 0.01; done
        wirehaul send report.pdf photos/ "$(head -n 1 ticket)"
        kill "$!"
        wait "$!" || true
    '
    since=$(seconds_since "$began")
    as_guest bash -euc 'cd /srv/guest/first && cmp report.pdf inbox/report.pdf && diff -r photos inbox/photos'
    echo "check: from \`wirehaul recv\` to 43 MB received, verified and on the disk: $since s"
}

# seconds_since EPOCHREALTIME: to the hundredth.
seconds_since() {
    local micros=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
    printf '%d.%02d' $((micros / 1000000)) $((micros / 10000 % 100))
}

# As the user whose directory it names.
check_configuration() {
    if ! as_guest wirehaul serve --help | grep -q -e --check-config; then
        echo "check: not looked at: this program has no serve --check-config"
        return
    fi
    in_debian runuser -u wirehaul -- env HOME=/var/lib/wirehaul wirehaul serve --check-config --config /etc/wirehaul/serve.toml
}

reinstall() {
    echo "# changed" >>"$ROOT/etc/wirehaul/serve.toml"
    in_debian dpkg -i /tmp/wirehaul.deb
    grep -q '^# changed' "$ROOT/etc/wirehaul/serve.toml"
}

remove() {
    touch "$ROOT/var/lib/wirehaul/inbox/received"
    in_debian dpkg --remove wirehaul
    [[ ! -e $ROOT/usr/bin/wirehaul && -e $ROOT/etc/wirehaul/serve.toml && -e $ROOT/var/lib/wirehaul/inbox/received ]]
}

purge() {
    in_debian dpkg --purge wirehaul
    if in_debian getent passwd wirehaul || in_debian getent group wirehaul; then
        return 1
    fi
    list_files >"$ROOT/tmp/after"
    diff "$ROOT/tmp/before" "$ROOT/tmp/after"
}

# Every path but those that dpkg, adduser and the guest change anyway.
list_files() {
    (cd "$ROOT" && find . -xdev \
        \( -path ./proc -o -path ./run -o -path ./tmp -o -path ./srv/guest -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache \) \
        -prune -o -print | grep -v -e '^\./etc/[a-z]*-$' | LC_ALL=C sort)
}

in_debian() {
    env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        chroot "$ROOT" "$@"
}

as_guest() {
    in_debian runuser -u guest -- env HOME=/srv/guest "$@"
}

# step NAME COMMAND...: what the command says is shown only where it fails.
step() {
    local name=$1 log=$ROOT.log status=0
    shift
    # Not in a condition: there a function would go on after a command that failed.
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    status=$?
    set -e
    if ((status != 0)); then
        cat "$log" >&2
        rm -f "$log"
        echo "check: FAILED: $name" >&2
        exit 1
    fi
    # What was left out is to be seen.
    grep '^check: ' "$log" || true
    rm -f "$log"
    echo "check: $name"
}

main "$@"
