# shellcheck shell=bash
# The virtual machine of './x vm-test', for what the kernel of this machine lacks: made from packages of Debian and started by
# QEMU without hardware support, so it runs wherever a process runs. Sourced by x.
#
# It has two network cards that are joined. `init` puts each card into a network namespace of its own, and runs one of the
# scenarios. A scenario says in its head which kernels it wants, 'distribution' for the one of this machine's Debian and 'newer' for
# one of a later suite, and how many seconds it may take; and, if it likes, which nodes and cards (see nodes.sh) and disks (see
# disks.sh) it wants, and with which values of --io it is to run.

VM_FOLDER=host/tests/vm
# What scenarios may need, with all that these need in turn.
VM_MODULES=(
    virtio_pci virtio_net veth 8021q dummy tun sch_fq sch_netem
    virtio_blk virtio_console nvme loop ext4 quota_v2
)
# Where newer kernels come from: of the suites that have them, one that changes rarely.
VM_NEWER_SUITE=${WIREHAUL_VM_SUITE:-trixie-backports}
# Kinds of machines that are ready.
VM_PREPARED=

# shellcheck source=host/tests/vm/disks.sh
source "$VM_FOLDER/disks.sh"
# shellcheck source=host/tests/vm/nodes.sh
source "$VM_FOLDER/nodes.sh"

vm_test() {
    local scenario kind io scenarios=("$@") failed=()
    if ((${#scenarios[@]} == 0)); then
        mapfile -t scenarios < <(ls "$VM_FOLDER/scenarios")
    fi
    for scenario in "${scenarios[@]}"; do
        [[ -f $VM_FOLDER/scenarios/$scenario ]] ||
            die "there is no scenario '$scenario'; there are: $(ls -m "$VM_FOLDER/scenarios")"
    done
    vm_set_up
    for scenario in "${scenarios[@]}"; do
        for kind in $(vm_head kernel "$scenario"); do
            vm_prepare "$kind"
            for io in ${WIREHAUL_VM_IO:-$(vm_head io "$scenario" auto)}; do
                vm_run "$scenario" "$kind" "$io" || failed+=("$scenario")
            done
        done
    done
    ((${#failed[@]} == 0)) || die "these scenarios failed: ${failed[*]}"
}

vm_set_up() {
    [[ $(dpkg --print-architecture 2>/dev/null) == amd64 ]] || die "the machine is made from packages of Debian for amd64"
    # Where Debian has depmod and tc, and an ordinary user's search path ends before.
    PATH=$PATH:/usr/sbin:/sbin
    need_build_tools
    need_commands "runs the virtual machine" qemu-system-x86_64=qemu-system-x86
    need_commands "makes its file system" busybox=busybox-static depmod=kmod xz=xz-utils
    need_commands "goes into the machine" dash=dash ip=iproute2
    need_commands "makes the file systems of its disks" mkfs.ext4=e2fsprogs debugfs=e2fsprogs
    vm_build
}

# Nothing in the machine has a libc to load: what runs there is linked statically, in a target directory of its own. The program itself
# is as WIREHAUL_VM_PROFILE says: 'release' for the one that ships.
vm_build() {
    local target=x86_64-unknown-linux-gnu profile=${WIREHAUL_VM_PROFILE:-dev}
    local build=(env "CARGO_TARGET_DIR=$(vm_cache)/cargo" "RUSTFLAGS=-C target-feature=+crt-static" cargo)
    "${build[@]}" build --profile "$profile" --package wirehaul --bin wirehaul --target "$target"
    "${build[@]}" build --package wirehaul --example replay --target "$target"
    "${build[@]}" build --package wirehaul-benches --bin xdp --target "$target"
    VM_PROGRAM=$(vm_cache)/cargo/$target/${profile/#dev/debug}/wirehaul
    VM_BENCH=$(vm_cache)/cargo/$target/debug/xdp
    VM_REPLAY=$(vm_cache)/cargo/$target/debug/examples/replay
    VM_TESTS=$("${build[@]}" test --package wirehaul --lib --no-run --target "$target" --message-format json |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    [[ -x $VM_TESTS ]] || die "cargo does not say where it put the tests"
    local program
    for program in leave quota; do
        cc -static -O2 -o "$(vm_cache)/$program" "$VM_FOLDER/$program.c"
    done
}

# vm_prepare KIND: a kernel and a file system for it, both once.
vm_prepare() {
    [[ $VM_PREPARED != *" $1 "* ]] || return 0
    vm_kernel "$1"
    vm_file_system "$1"
    VM_PREPARED+=" $1 "
}

# vm_run SCENARIO KIND IO: runs it and says what came of it.
vm_run() {
    local scenario=$1 kind=$2 io=$3 seconds start=$SECONDS status=0
    seconds=$(vm_head seconds "$scenario")
    # shellcheck disable=SC2046 # Words.
    vm_describe $(vm_head machine "$scenario" "$VM_USUAL_MACHINE")
    vm_has_cards "$scenario" || return 0
    say "scenario $scenario with --io $io, in a machine with the kernel $(<"$(vm_kernel_folder "$kind")/release")"
    vm_make_disks "$(vm_head disks "$scenario" none)"
    vm_open_namespace
    vm_boot "$kind" "$scenario" "$io" "$seconds" || status=$?
    vm_close_namespace
    # isa-debug-exit: QEMU leaves with twice what was written, and one. What was written is one more than the exit code.
    case $status in
        3) say "scenario $scenario: passed in $((SECONDS - start)) s" && return ;;
        124) say "scenario $scenario: FAILED, not done after $seconds s" ;;
        *[13579]) say "scenario $scenario: FAILED with exit code $(((status >> 1) - 1))" ;;
        *) say "scenario $scenario: FAILED, the machine stopped by itself ($status)" ;;
    esac
    return 1
}

# vm_head WORD SCENARIO [DEFAULT]: what the scenario's head says after '# WORD:'.
vm_head() {
    local said
    said=$(sed -n "s/^# $1: //p" "$VM_FOLDER/scenarios/$2")
    [[ -n ${said:=${3:-}} ]] || die "the scenario $2 does not say its $1"
    echo "$said"
}

vm_boot() {
    local kind=$1 scenario=$2 io=$3 seconds=$4
    local machine=(
        -nodefaults -no-reboot -display none -monitor none -serial stdio
        -machine q35 -accel "tcg,thread=multi" -cpu max "${VM_NODES[@]}"
        -device "isa-debug-exit,iobase=0xf4,iosize=4"
        -kernel "$(vm_kernel_folder "$kind")/vmlinuz" -initrd "$(vm_cache)/$kind.cpio"
        -append "console=ttyS0 quiet panic=-1 wirehaul.scenario=$scenario wirehaul.io=$io$VM_APPEND"
        "${VM_DISKS[@]}"
    )
    "${VM_INSIDE[@]}" timeout "$seconds" qemu-system-x86_64 "${machine[@]}" </dev/null
}

# --- its kernel ---

# vm_kernel KIND: fetches one, unless that was done before. What is there is kept until the folder is deleted.
vm_kernel() {
    local kind=$1 folder suite meta version
    folder=$(vm_kernel_folder "$kind")
    [[ ! -f $folder/vmlinuz ]] || return 0
    suite=$VM_NEWER_SUITE
    [[ $kind == newer ]] || suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    vm_open_suite "$suite"
    meta=$(vm_apt apt-cache show --no-all-versions linux-image-cloud-amd64)
    version=$(grep -o -m 1 'linux-image-[0-9][^ ,]*' <<<"$meta" | head -n 1)
    say "fetching the kernel $version of the suite $suite: the machine runs it"
    # Newer ones come in parts.
    local package packages=("$version")
    mapfile -t -O 1 packages < <(vm_apt apt-cache show --no-all-versions "$version" | grep '^Depends:' |
        grep -oE 'linux-(base|binary|modules)-[0-9][^ ,]*')
    rm -rf "$folder.part"
    mkdir -p "$folder.part/packages" "$folder.part/unpacked"
    (cd "$folder.part/packages" && vm_apt apt-get download -qq "${packages[@]}")
    for package in "$folder.part"/packages/*.deb; do
        dpkg -x "$package" "$folder.part/unpacked"
    done
    rm -r "$folder.part/packages"
    [[ -d $folder.part/unpacked/lib ]] || ln -s usr/lib "$folder.part/unpacked/lib"
    ls "$folder.part/unpacked/lib/modules" >"$folder.part/release"
    depmod --basedir "$folder.part/unpacked" "$(<"$folder.part/release")"
    find "$folder.part/unpacked/" -name 'vmlinuz*' -type f -exec cp {} "$folder.part/vmlinuz" ';'
    mv "$folder.part" "$folder"
}

# A list of packages of its own, from the mirror that this machine uses: the machine's own lists stay as they are.
vm_open_suite() {
    local suite=$1 mirror
    # shellcheck disable=SC2016 # apt fills these in.
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1)
    [[ -n $mirror ]] || die "the apt of this machine has no mirror of Debian to fetch a kernel from"
    VM_APT=$(realpath "$(vm_cache)")/apt-$suite
    mkdir -p "$VM_APT"/{lists/partial,cache/archives/partial}
    echo "deb $mirror $suite main" >"$VM_APT/sources.list"
    vm_apt apt-get update -qq
}

vm_apt() {
    "$@" -o "Dir::Etc::sourcelist=$VM_APT/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$VM_APT/lists" \
        -o "Dir::Cache=$VM_APT/cache" -o "APT::Sandbox::User=$(id -un)" -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
}

vm_kernel_folder() {
    echo "$(vm_cache)/kernel-$1"
}

# --- its file system ---

# All of it lies in memory.
vm_file_system() {
    local kind=$1 root program
    root=$(vm_cache)/$kind.files
    rm -rf "$root"
    mkdir -p "$root"/{bin,usr/bin,usr/sbin,dev,proc,sys,tmp,run,modules}
    cp -r "$VM_FOLDER"/{init,scenarios.sh,numa.sh,scenarios} "$root"
    cp "$(command -v busybox)" "$root/bin/busybox"
    cp "$(vm_cache)"/{leave,quota} "$root/bin"
    strip -o "$root/bin/wirehaul" "$VM_PROGRAM"
    strip -o "$root/bin/wirehaul-tests" "$VM_TESTS"
    strip -o "$root/bin/replay" "$VM_REPLAY"
    strip -o "$root/bin/xdp" "$VM_BENCH"
    # The shell of busybox would run its own ip and tc.
    for program in dash ip tc; do
        vm_copy_with_libraries "$(command -v "$program")" "$root"
    done
    vm_copy_modules "$kind" "$root"
    (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$(vm_cache)/$kind.cpio"
}

vm_copy_with_libraries() {
    local program=$1 root=$2 library
    cp "$program" "$root/usr/sbin/"
    ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -u "$library" "$root$library"
    done
}

# In the order in which they are to be loaded.
vm_copy_modules() {
    local folder root=$2 release module kind path name
    folder=$(vm_kernel_folder "$1")
    release=$(<"$folder/release")
    for module in "${VM_MODULES[@]}"; do
        modprobe --dirname "$folder/unpacked" --set-version "$release" --show-depends "$module"
    done | while read -r kind path _; do
        [[ $kind == insmod ]] || continue
        name=$(basename "$path" .xz)
        [[ ! -f $root/modules/$name ]] || continue
        case $path in
            *.xz) xz --decompress --stdout "$path" >"$root/modules/$name" ;;
            *) cp "$path" "$root/modules/$name" ;;
        esac
        echo "$name" >>"$root/modules/order"
    done
}

vm_cache() {
    local folder
    folder=$(target_directory)/vm
    mkdir -p "$folder"
    echo "$folder"
}
