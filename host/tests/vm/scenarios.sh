# shellcheck shell=sh
# What scenarios share.

# start_receiver OPTION...: on the host 'right'; its process is $receiver and its ticket $ticket.
start_receiver() {
    mkdir -p /tmp/right
    : >/tmp/received
    HOME=/tmp/right as_receiver wirehaul recv --once --json --io "$WIREHAUL_IO" "$@" >/tmp/received 2>/tmp/received.err &
    receiver=$!
    while ! grep -q ticket /tmp/received; do
        kill -0 $receiver 2>/dev/null || fail "no ticket: $(cat /tmp/received.err)"
        sleep 0.1
    done
    ticket=$(sed -n 's/.*"ticket":"\([^"]*\)".*/\1/p' /tmp/received)
}

# as_receiver COMMAND...: becomes that command on the host 'right'. A scenario may have another.
as_receiver() {
    exec ip netns exec right "$@"
}

# start_sender OPTION... PATH...: on the host 'left', to that receiver; its process is $sender.
start_sender() {
    mkdir -p /tmp/left
    HOME=/tmp/left ip netns exec left wirehaul send --json --io "$WIREHAUL_IO" "$@" "$ticket" >/tmp/sent 2>/tmp/sent.err &
    sender=$!
}

# both_end_with CODE: both do.
both_end_with() {
    ended_with "$1" "$sender" sent
    ended_with "$1" "$receiver" received
}

# both_give_up CODE WORDS: each with one line.
both_give_up() {
    both_end_with "$1"
    for end in sent received; do
        [ "$(wc -l <"/tmp/$end.err")" -eq 1 ] || fail "not one line"
        grep -q "$2" "/tmp/$end.err" || fail "it does not say '$2'"
    done
}

# ended_with CODE PROCESS NAME: waits for it.
ended_with() {
    code=0
    wait "$2" || code=$?
    cat "/tmp/$3.err"
    [ $code -eq "$1" ] || fail "it ended with $code and not with $1: $(tail -n 1 "/tmp/$3")"
}

# said TEXT: both summaries have it.
said() {
    grep summary /tmp/sent | grep -q "$1" || fail "the sender does not say $1: $(tail -n 1 /tmp/sent)"
    grep summary /tmp/received | grep -q "$1" || fail "the receiver does not say $1: $(tail -n 1 /tmp/received)"
}

# send_a_file OPTIONS-OF-RECV OPTIONS-OF-SEND: sends one from the host 'left' to the host 'right' and compares it there.
send_a_file() {
    rm -rf /tmp/in
    mkdir -p /tmp/in
    dd if=/dev/urandom of=/tmp/file bs=1M count=8 2>/dev/null
    # shellcheck disable=SC2086 # Several options in one word.
    start_receiver $1 --dir /tmp/in
    # shellcheck disable=SC2086
    start_sender $2 /tmp/file
    both_end_with 0
    cmp /tmp/file /tmp/in/file
    grep summary /tmp/sent
}

# disk NAME: the block device of one of the scenario's disks.
disk() {
    for candidate in /sys/block/*; do
        # A virtio disk has its serial number here, and others with their controller.
        for serial in "$candidate/serial" "$candidate/device/serial"; do
            if [ -e "$serial" ] && [ "$(tr -d ' ' <"$serial")" = "$1" ]; then
                echo "/dev/${candidate##*/}"
                return
            fi
        done
    done
    fail "there is no disk $1"
}

# must COMMAND...: ends the scenario unless it succeeds, and says so.
must() {
    "$@" || fail "$*"
}

# fail WORD...
fail() {
    echo "FAILED: $*" >&2
    # Also from within $(...).
    kill -TERM $$
    exit 1
}
trap 'exit 1' TERM
