# shellcheck shell=bash
# The processors, memory and cards of a scenario that says '# machine: WORD...' in its head. Sourced by machine.sh.
#
#   node=CPUS,MEMORY    a node, numbered in the order of these words; '-' for none: node=0-1,512M node=2,- node=-,256M. Linux numbers
#                       those with CPUs first, so they should come first here
#   cards=LEFT,RIGHT    the nodes of the two cards
#   queues=N            each card has so many queues, instead of one
#   append=WORD         a word more on the kernel's command line
#
# The distance from a node to the next is 21, and 11 more for each further one.

# What scenarios run in that say nothing: two nodes, each with a processor and a card.
VM_USUAL_MACHINE="node=0,768M node=1,768M cards=0,1"

# vm_describe WORD...: VM_NODES are the options that make the machine, VM_APPEND is for its kernel, VM_QUEUES for its cards.
vm_describe() {
    local word cpus memory nodes=() left=- right=-
    VM_NODES=() VM_APPEND= VM_QUEUES=1
    for word in "$@"; do
        case $word in
            node=*,*) nodes+=("${word#node=}") ;;
            cards=*,*) IFS=, read -r left right <<<"${word#cards=}" ;;
            queues=*) VM_QUEUES=${word#queues=} ;;
            append=*) VM_APPEND+=" ${word#append=}" ;;
            *) die "a machine has no '$word'" ;;
        esac
    done
    local number other processors=0 total=0
    for number in "${!nodes[@]}"; do
        IFS=, read -r cpus memory <<<"${nodes[number]}"
        local node="node,nodeid=$number"
        if [[ $cpus != - ]]; then
            node+=",cpus=$cpus"
            processors=$((${cpus#*-} + 1))
        fi
        if [[ $memory != - ]]; then
            VM_NODES+=(-object "memory-backend-ram,id=m$number,size=$memory")
            node+=",memdev=m$number"
            total=$((total + ${memory%M}))
        fi
        VM_NODES+=(-numa "$node")
        for ((other = 0; other < number; other++)); do
            VM_NODES+=(-numa "dist,src=$other,dst=$number,val=$((10 + 11 * (number - other)))")
        done
    done
    # A socket for each processor: they share nothing.
    VM_NODES+=(-smp "$processors,sockets=$processors,cores=1" -m "$total")
    vm_describe_card 1 "$left"
    vm_describe_card 2 "$right"
}

# vm_describe_card END NODE. With iommu_platform the driver maps its buffers as it does on hardware, which zero-copy takes.
vm_describe_card() {
    local end=$1 card=virtio-net-pci
    VM_NODES+=(
        -device "pxb-pcie,id=pxb$end,bus_nr=$((64 * end)),numa_node=$2,bus=pcie.0"
        -device "pcie-root-port,id=rp$end,bus=pxb$end,chassis=$end,slot=$end"
    )
    card+=",romfile=,netdev=n$end,bus=rp$end,mac=52:54:00:00:00:0$end,disable-legacy=on,iommu_platform=on"
    if ((VM_QUEUES == 1)); then
        VM_NODES+=(-netdev "hubport,id=n$end,hubid=0" -device "$card")
    else
        # Two interrupts for each queue, and two for the card itself.
        VM_NODES+=(
            -netdev "tap,id=n$end,ifname=card$end,script=no,downscript=no,vhost=off,queues=$VM_QUEUES"
            -device "$card,mq=on,vectors=$((2 * VM_QUEUES + 2))"
        )
    fi
}

# --- cards of several queues ---

# Only taps have several, and making them is for root: they are joined in a network namespace of their own, in which QEMU runs.
VM_NAMESPACE=

# vm_open_namespace: VM_INSIDE is what runs a command there; nothing where the cards need none.
vm_open_namespace() {
    local end
    VM_INSIDE=()
    ((VM_QUEUES > 1)) || return 0
    VM_NAMESPACE=wirehaul-vm-$$
    ip netns add "$VM_NAMESPACE"
    trap vm_close_namespace EXIT
    ip -n "$VM_NAMESPACE" link add cards type bridge
    ip -n "$VM_NAMESPACE" link set cards up
    for end in 1 2; do
        ip -n "$VM_NAMESPACE" tuntap add dev "card$end" mode tap multi_queue
        ip -n "$VM_NAMESPACE" link set "card$end" master cards up
    done
    VM_INSIDE=(ip netns exec "$VM_NAMESPACE")
}

vm_close_namespace() {
    [[ -z $VM_NAMESPACE ]] || ip netns delete "$VM_NAMESPACE"
    VM_NAMESPACE=
}

# vm_has_cards SCENARIO: says why not.
vm_has_cards() {
    ((VM_QUEUES == 1)) || is_root || {
        [[ ,${WIREHAUL_REQUIRE:-}, != *,net,* ]] || die "the scenario $1 needs root, and WIREHAUL_REQUIRE says that it is here"
        say "scenario $1: SKIPPED, only root can make cards of several queues"
        return 1
    }
}
