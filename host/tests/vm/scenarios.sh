# shellcheck shell=sh
# What scenarios share.

# send_a_file OPTIONS-OF-RECV OPTIONS-OF-SEND: sends one from the host 'left' to the host 'right' and compares it there.
send_a_file() {
    rm -rf /tmp/in
    mkdir -p /tmp/in /tmp/left /tmp/right
    : >/tmp/received
    dd if=/dev/urandom of=/tmp/file bs=1M count=8 2>/dev/null
    # shellcheck disable=SC2086 # Several options in one word.
    HOME=/tmp/right ip netns exec right wirehaul recv --once --json $1 --dir /tmp/in >/tmp/received &
    receiver=$!
    while ! grep -q ticket /tmp/received; do
        kill -0 $receiver
        sleep 0.1
    done
    ticket=$(sed -n 's/.*"ticket":"\([^"]*\)".*/\1/p' /tmp/received)
    # shellcheck disable=SC2086
    HOME=/tmp/left ip netns exec left wirehaul send --json $2 /tmp/file "$ticket" >/tmp/sent
    wait $receiver
    cmp /tmp/file /tmp/in/file
    grep summary /tmp/sent
}

# said TEXT: both summaries have it.
said() {
    grep summary /tmp/sent | grep -q "$1"
    grep summary /tmp/received | grep -q "$1"
}
