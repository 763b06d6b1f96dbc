# shellcheck shell=sh
# What the scenarios about nodes share. Everything is counted from outside of the program: threads, pages and interrupts as the kernel
# shows them.

# cpus_of NODE: as a list.
cpus_of() {
    cat "/sys/devices/system/node/node$1/cpulist"
}

# numbers LIST: those of a list such as 0-2,5, one a line.
numbers() {
    echo "$1" | awk -F, '{ for (i = 1; i <= NF; i++) { n = split($i, run, "-"); for (c = run[1]; c <= run[n]; c++) print c } }'
}

# outside LIST CPUS: how many of the list are not among those.
outside() {
    numbers "$2" >/tmp/among
    numbers "$1" | grep -vxc -f /tmp/among || true
}

# --- threads ---

# threads_off PROCESS CPUS: how many of its threads may run elsewhere, or last did.
threads_off() {
    for task in "/proc/$1/task/"*; do
        allowed=$(sed -n 's/^Cpus_allowed_list:[^0-9]*//p' "$task/status")
        # The 39th field; the name before may have spaces in it.
        last=$(sed 's/.*) //' "$task/stat" | cut -d ' ' -f 37)
        if [ "$(outside "$allowed" "$2")" -ne 0 ] || [ "$(outside "$last" "$2")" -ne 0 ]; then
            echo "    thread $(cat "$task/comm") may run on $allowed and last did on $last" >&2
            echo "$task"
        fi
    done | wc -l
}

# --- pages ---

# pages_on PROCESS NODE, pages_off PROCESS NODE: how many KiB of its buffers are on the node, and how many are not. Buffers are what is
# no file and has 4 MiB or more: those for packets have 8, those for files as many as were used. The heap is left out: its first pages
# are older than the choice of a node.
pages_on() {
    count_pages "$1" "$2" | cut -d ' ' -f 1
}

pages_off() {
    count_pages "$1" "$2" | cut -d ' ' -f 2
}

count_pages() {
    awk -v node="$2" '/ heap / { next } / anon=| huge / {
        here = 0; elsewhere = 0
        for (i = 3; i <= NF; i++) {
            split($i, of, "=")
            if (of[1] == "N" node) here += of[2]
            else if (of[1] ~ /^N[0-9]+$/) elsewhere += of[2]
            else if (of[1] == "kernelpagesize_kB") kib = of[2]
        }
        if ((here + elsewhere) * kib >= 4096) { on += here * kib; off += elsewhere * kib }
    } END { print on + 0, off + 0 }' "/proc/$1/numa_maps"
}

# --- interrupts ---

# interrupts HOST: those of the queues of its card: virtio0-input.0, virtio0-output.0.
interrupts() {
    ip netns exec "$1" sh -c 'ls /sys/class/net/wire/device/../msi_irqs' | sort -n | while read -r number; do
        ! grep -q 'put\.' "/sys/kernel/irq/$number/actions" || echo "$number"
    done
}

# places HOST: where each is.
places() {
    for number in $(interrupts "$1"); do
        echo "$number $(cat "/proc/irq/$number/smp_affinity_list")"
    done
}

# interrupts_off HOST CPUS: how many may go elsewhere.
interrupts_off() {
    places "$1" | while read -r number cpus; do
        [ "$(outside "$cpus" "$2")" -eq 0 ] || echo "$number"
    done | wc -l
}

# put_interrupts HOST CPUS
put_interrupts() {
    for number in $(interrupts "$1"); do
        echo "$2" >"/proc/irq/$number/smp_affinity_list" || fail "interrupt $number cannot be moved"
    done
}

# --- transfers ---

# begin_transfer OPTIONS-OF-RECV OPTIONS-OF-SEND: both are at it when this returns.
begin_transfer() {
    rm -rf /tmp/in
    mkdir -p /tmp/in
    [ -e /tmp/file ] || dd if=/dev/urandom of=/tmp/file bs=1M count=6 2>/dev/null
    # shellcheck disable=SC2086 # Several options in one word.
    start_receiver --listen 10.74.0.2:7421 --iface wire --dir /tmp/in $1
    # shellcheck disable=SC2086
    start_sender --iface wire --rate 16mbit $2 /tmp/file
    # shellcheck disable=SC2154 # scenarios.sh sets it.
    while ! grep -qs '"type":"transport"' /tmp/sent || ! ls /tmp/in/.wirehaul/*/*.part >/dev/null 2>&1; do
        kill -0 "$sender" 2>/dev/null || break
        sleep 0.1
    done
}

# no_node_was_chosen: and nothing is said of nodes.
no_node_was_chosen() {
    for end in sent received; do
        ! grep '"type":"numa"' /tmp/$end || fail "a node was chosen"
    done
    must [ ! -e /run/wirehaul ]
}

# finish_transfer WAY: both end well, and went that way.
finish_transfer() {
    both_end_with 0
    said '"verified":true'
    said "\"transport\":\"$1\""
    must cmp /tmp/file /tmp/in/file
}

# placed NAME PROCESS HOST CPUS NODE: its packet threads are on those CPUs and so are the interrupts of the host's card, its pages on
# that node. Counted, and none is elsewhere.
placed() {
    threads=$(threads_off "$2" "$4")
    on=$(pages_on "$2" "$5")
    off=$(pages_off "$2" "$5")
    irqs=$(interrupts_off "$3" "$4")
    echo "$1: $threads threads off CPUs $4; $off KiB off node $5, $on on it; $irqs interrupts off CPUs $4"
    [ "$threads" -eq 0 ] || fail "$1 has threads elsewhere"
    [ "$off" -eq 0 ] || fail "$1 has pages elsewhere: $(grep "[0-9]\{4,\} kernelpage" "/proc/$2/numa_maps")"
    [ "$on" -ge 8192 ] || fail "the buffers of $1 are not found: $(grep "[0-9]\{4,\} kernelpage" "/proc/$2/numa_maps")"
    [ "$irqs" -eq 0 ] || fail "$1 has interrupts elsewhere: $(places "$3")"
}

# says FILE TEXT: a line of it has that.
says() {
    grep -q -e "$2" "$1" || fail "$1 does not say $2: $(cat "$1")"
}

# --- what the program says of the machine ---

# topo_is_right: as /sys has it, node for node, and the card of each host.
topo_is_right() {
    wirehaul topo --json >/tmp/topo
    for folder in /sys/devices/system/node/node[0-9]*; do
        id=${folder##*/node}
        grep '"type":"node"' /tmp/topo | grep "\"node\":${id}[,}]" >/tmp/topo.node || fail "no node $id: $(cat /tmp/topo)"
        says /tmp/topo.node "\"cpus\":\"$(cat "$folder/cpulist")\""
        says /tmp/topo.node "\"memory_bytes\":$(($(sed -n 's/.*MemTotal: *\([0-9]*\) kB/\1/p' "$folder/meminfo") * 1024))[,}]"
        says /tmp/topo.node "\"distances\":.*$(tr ' ' '\n' <"$folder/distance" | tail -n 1)"
    done
    # And what it tries out there is where it belongs.
    must wirehaul topo --check --json >/tmp/checks
    grep '"type":"check"' /tmp/checks || fail "nothing was tried out"
    must [ "$(grep -c '"type":"node"' /tmp/topo)" -eq "$(echo /sys/devices/system/node/node[0-9]* | wc -w)" ]
    for host in left right; do
        node=$(ip netns exec $host cat /sys/class/net/wire/device/../numa_node)
        ip netns exec $host wirehaul topo --json | grep '"type":"card"' >/tmp/topo.card
        [ "$node" -ge 0 ] || node=null
        says /tmp/topo.card "\"iface\":\"wire\".*\"node\":${node}[,}]"
    done
}

# best_way: zero-copy where the card's driver has it.
best_way() {
    case $(uname -r) in
        [56].*) echo xdp-copy ;;
        *) echo xdp ;;
    esac
}
