//! Why a frame was refused: one reason per rule.

use crate::wire::reasons::reasons;

reasons! {
    /// The rule that a frame broke. It carries nothing of the frame itself.
    NetReject {
        EtherTruncated, "ether_truncated", "an Ethernet header is whole, its VLAN tags included";
        EtherTags, "ether_tags", "a frame has at most two VLAN tags";
        EtherType, "ether_type", "a frame carries IPv4 or IPv6";

        Ipv4Truncated, "ipv4_truncated", "an IPv4 header is whole, its options included";
        Ipv4Version, "ipv4_version", "the version in an IPv4 header is 4";
        Ipv4HeaderLength, "ipv4_header_length", "an IPv4 header says that it has at least 20 bytes";
        Ipv4Checksum, "ipv4_checksum", "the checksum of an IPv4 header matches";
        Ipv4Length, "ipv4_length", "an IPv4 packet is no shorter than its header and ends within its frame";
        Ipv4Fragment, "ipv4_fragment", "an IPv4 packet is whole, and not a fragment";

        Ipv6Truncated, "ipv6_truncated", "an IPv6 header is whole";
        Ipv6Version, "ipv6_version", "the version in an IPv6 header is 6";
        Ipv6Length, "ipv6_length", "an IPv6 packet ends within its frame";
        Ipv6Mapped, "ipv6_mapped", "no address in an IPv6 header is a mapped IPv4 address";

        IpProtocol, "ip_protocol", "UDP comes directly behind the IP header";
        SourceAddress, "source_address", "a packet comes from an address of one host";

        UdpTruncated, "udp_truncated", "a UDP header is whole";
        UdpLength, "udp_length", "a datagram is no shorter than its header and ends within its packet";
        UdpSourcePort, "udp_source_port", "a datagram comes from a port that can be answered";
    }
}
