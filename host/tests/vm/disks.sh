# shellcheck shell=bash
# The disks of a scenario that says '# disks: KIND' in its head: files, in target/vm/disks, made anew for each run. Sourced by
# machine.sh.
#
# Under each disk NAME lies the block node NAME-file, which is the plain file. A scenario puts faults between the two, or takes them
# away, while the machine runs: its port 'monitor' leads to the machine's own monitor.

# What ext4 would do in its own time is done here, so that in the machine it writes only what it has to.
VM_FILE_SYSTEM=(-q -F -b 4096 -E "lazy_itable_init=0,lazy_journal_init=0,nodiscard")

# vm_make_disks KIND: makes them; VM_DISKS are the options that give them to the machine.
vm_make_disks() {
    local folder
    folder=$(vm_cache)/disks
    rm -rf "$folder"
    mkdir -p "$folder"
    VM_DISKS=()
    case $1 in
        none) ;;
        faulty) vm_faulty_disks "$folder" && vm_monitor "$folder" ;;
        logged) vm_logged_disk "$folder" ;;
        quota) vm_quota_disk "$folder" ;;
        *) die "there are no disks of the kind '$1'" ;;
    esac
}

# 'from' is full of files; a block of one of them, 'many/bad', cannot be read. 'nvme' and 'virtio' are empty and faultless.
vm_faulty_disks() {
    local folder=$1 files=$1/files number blocks
    mkdir -p "$files/many/below"
    for number in {10..49}; do
        head -c "$((number * 199))" /dev/urandom >"$files/many/below/small$number"
    done
    head -c 700000 /dev/urandom >"$files/many/bad"
    head -c 700000 /dev/urandom >"$files/many/good"
    head -c 3000000 /dev/urandom >"$files/middle"
    head -c 9000000 /dev/urandom >"$files/large"
    truncate -s 48M "$folder/from"
    mkfs.ext4 "${VM_FILE_SYSTEM[@]}" -d "$files" "$folder/from"
    # Of its second chunk: each has 64 blocks of 8 sectors.
    read -ra blocks < <(debugfs -R "blocks /many/bad" "$folder/from" 2>/dev/null)
    vm_disk_file "$folder" from
    VM_DISKS+=(
        -blockdev "{\"driver\":\"blkdebug\",\"node-name\":\"from-fault\",\"image\":\"from-file\",\"inject-error\":[
            {\"event\":\"none\",\"iotype\":\"read\",\"sector\":$((blocks[80] * 8))}]}"
        -blockdev "driver=raw,node-name=from,file=from-fault"
        -device "virtio-blk-pci,bus=pcie.0,drive=from,serial=from"
    )
    for number in nvme virtio; do
        truncate -s 48M "$folder/$number"
        mkfs.ext4 "${VM_FILE_SYSTEM[@]}" "$folder/$number"
        vm_disk_file "$folder" "$number"
        VM_DISKS+=(-blockdev "driver=raw,node-name=$number,file=$number-file")
    done
    VM_DISKS+=(-device "nvme,bus=pcie.0,drive=nvme,serial=nvme" -device "virtio-blk-pci,bus=pcie.0,drive=virtio,serial=virtio")
}

# Every write to 'logged' is recorded on 'log'; 'base' is what it was at the start. Its last MiB is no part of the file system.
vm_logged_disk() {
    local folder=$1 name
    truncate -s 33M "$folder/logged"
    mkfs.ext4 "${VM_FILE_SYSTEM[@]}" "$folder/logged" 32M
    cp --sparse=always "$folder/logged" "$folder/base"
    truncate -s 512M "$folder/log"
    vm_disk_file "$folder" logged
    vm_disk_file "$folder" log
    VM_DISKS+=(
        -blockdev "driver=blklogwrites,node-name=logged,file=logged-file,log=log-file,log-sector-size=512"
        -device "virtio-blk-pci,bus=pcie.0,drive=logged,serial=logged,physical_block_size=4096"
    )
    for name in base log; do
        # The machine reads the log while QEMU has it open for writing.
        VM_DISKS+=(
            -blockdev "driver=file,node-name=$name-read,filename=$folder/$name,read-only=on,locking=off"
            -device "virtio-blk-pci,bus=pcie.0,drive=$name-read,serial=$name"
        )
    done
}

# 'quota' keeps count of what each user has on it.
vm_quota_disk() {
    truncate -s 48M "$1/quota"
    mkfs.ext4 "${VM_FILE_SYSTEM[@]}" -O quota -E quotatype=usrquota "$1/quota"
    vm_disk_file "$1" quota
    VM_DISKS+=(
        -blockdev "driver=raw,node-name=quota,file=quota-file"
        -device "virtio-blk-pci,bus=pcie.0,drive=quota,serial=quota"
    )
}

vm_disk_file() {
    VM_DISKS+=(-blockdev "driver=file,node-name=$2-file,filename=$1/$2")
}

# What goes out of the machine's port comes in at its monitor, and the other way round.
vm_monitor() {
    mkfifo "$1/monitor.in" "$1/monitor.out"
    ln -s monitor.out "$1/line.in"
    ln -s monitor.in "$1/line.out"
    VM_DISKS+=(
        -chardev "pipe,id=monitor,path=$1/monitor" -mon "chardev=monitor,mode=control"
        -chardev "pipe,id=line,path=$1/line" -device "virtio-serial-pci,bus=pcie.0" -device "virtserialport,chardev=line,name=monitor"
    )
}
