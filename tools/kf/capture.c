/* capture: the file, its packets, and the layers down to TCP. Called by decode.c. */
#include "tools/kf/capture.h"

#include <string.h>

enum {
    PCAP_PACKET = 16,
    BLOCK_OVERHEAD = 12, /* type, length, length again */

    BLOCK_INTERFACE = 1,
    BLOCK_OLD_PACKET = 2,
    BLOCK_SIMPLE_PACKET = 3,
    BLOCK_PACKET = 6,
    OPTION_RESOLUTION = 9,
    OPTION_OFFSET = 14,

    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_RAW_BSD = 12,
    LINK_RAW_OPENBSD = 14,
    LINK_RAW = 101,
    LINK_LOOP = 108,
    LINK_COOKED = 113,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
    LINK_COOKED_2 = 276,

    TYPE_IPV4 = 0x0800,
    TYPE_VLAN = 0x8100,
    TYPE_IPV6 = 0x86DD,
    TYPE_QINQ = 0x88A8,
    PROTOCOL_TCP = 6,
};

static const uint32_t section_block = 0x0A0D0D0A;
static const uint32_t byte_order = 0x1A2B3C4D;
static const uint32_t magic_us = 0xA1B2C3D4;
static const uint32_t magic_ns = 0xA1B23C4D;
static const uint64_t second = 1000000000;       /* nanoseconds */
static const uint32_t largest_block = 64u << 20; /* bytes; Wireshark's own limit is 16 MiB */
static const uint64_t latest = 4500000000;       /* seconds since 1970, year 2112 */

/* Bytes of one layer, from its beginning to the end of what was captured. */
struct view {
    const uint8_t *at;
    size_t size;
};

static uint16_t be16(const uint8_t *b) { return (uint16_t)(b[0] << 8 | b[1]); }
static uint32_t be32(const uint8_t *b) { return (uint32_t)be16(b) << 16 | be16(b + 2); }
static uint32_t le32(const uint8_t *b)
{
    return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

/* Numbers in the file's own byte order. */
static uint32_t get32(const struct kf__capture *capture, const uint8_t *b)
{
    return capture->big_endian ? be32(b) : le32(b);
}

static uint16_t get16(const struct kf__capture *capture, const uint8_t *b)
{
    return (uint16_t)(capture->big_endian ? b[0] << 8 | b[1] : b[1] << 8 | b[0]);
}

static size_t left(const struct kf__capture *capture)
{
    return (size_t)(capture->end - capture->at);
}

static bool damaged(struct kf__capture *capture, const char *why)
{
    capture->damage = why;
    capture->damage_at = capture->passed + (uint64_t)(capture->at - capture->start);
    capture->at = capture->end;
    capture->partial = false;
    return false;
}

/* The bytes end: damage, unless there will be more of them. */
static bool ends_within(struct kf__capture *capture, const char *why)
{
    capture->more = capture->partial;
    return capture->partial ? false : damaged(capture, why);
}

/* They end where they may. */
static bool ends(struct kf__capture *capture)
{
    capture->more = capture->partial;
    return false;
}

bool kf__capture_is(const uint8_t *bytes, size_t size)
{
    if (size < 4)
        return false;
    uint32_t big = be32(bytes), little = le32(bytes);
    return big == section_block || big == magic_us || big == magic_ns || little == magic_us ||
           little == magic_ns;
}

bool kf__capture_open(struct kf__capture *capture, const uint8_t *bytes, size_t size)
{
    *capture = (struct kf__capture){.at = bytes, .start = bytes, .end = bytes + size};
    if (!kf__capture_is(bytes, size))
        return false;
    uint32_t big = be32(bytes);
    capture->pcapng = big == section_block;
    if (capture->pcapng)
        return true;

    capture->big_endian = big == magic_us || big == magic_ns;
    if (size < KF__CAPTURE_HEADER) {
        damaged(capture, "the file ends within its header");
        return true;
    }
    uint32_t magic = get32(capture, bytes);
    capture->interfaces[0].link = get32(capture, bytes + 20) & 0xFFFF; /* above: about checksums */
    capture->interfaces[0].ticks = magic == magic_ns ? second : 1000000;
    capture->interface_count = 1;
    capture->at += KF__CAPTURE_HEADER;
    return true;
}

void kf__capture_refill(struct kf__capture *capture, const uint8_t *bytes, size_t size,
                        bool partial)
{
    capture->passed += (uint64_t)(capture->at - capture->start);
    capture->at = capture->start = bytes;
    capture->end = bytes + size;
    capture->partial = partial;
    capture->more = false;
}

/* ---- packets out of the file ---- */

struct packet {
    int64_t time;
    uint32_t link;
    struct view bytes;
};

static int64_t to_time(const struct kf__interface *interface, uint64_t ticks)
{
    uint64_t seconds = ticks / interface->ticks;
    uint64_t rest = ticks % interface->ticks;
    if (seconds > latest) /* no time at all */
        return 0;
    uint64_t part = interface->ticks <= second ? rest * (second / interface->ticks)
                                               : rest / (interface->ticks / second);
    return (int64_t)(seconds * second + part) + interface->offset * (int64_t)second;
}

static bool next_pcap(struct kf__capture *capture, struct packet *packet)
{
    const uint8_t *at = capture->at;
    if (left(capture) == 0)
        return ends(capture);
    if (left(capture) < PCAP_PACKET)
        return ends_within(capture, "the file ends within a packet's header");
    uint32_t size = get32(capture, at + 8);
    if (size > largest_block)
        return damaged(capture, "a packet of a size that none can have");
    if (size > left(capture) - PCAP_PACKET)
        return ends_within(capture, "the file ends within a packet");
    const struct kf__interface *interface = &capture->interfaces[0];
    uint64_t ticks = get32(capture, at) * interface->ticks + get32(capture, at + 4);
    *packet = (struct packet){to_time(interface, ticks), interface->link, {at + PCAP_PACKET, size}};
    capture->at += PCAP_PACKET + (size_t)size;
    return true;
}

/* 10^n, or 2^n where the high bit is set; anything absurd counts as microseconds. */
static uint64_t resolution(uint8_t value)
{
    uint64_t ticks = 1;
    if (value & 0x80)
        return (value & 0x7F) < 63 ? ticks << (value & 0x7F) : 1000000;
    if (value > 18)
        return 1000000;
    for (uint8_t i = 0; i < value; i++)
        ticks *= 10;
    return ticks;
}

static void read_interface(struct kf__capture *capture, struct view body)
{
    if (capture->interface_count == KF__INTERFACES || body.size < 8)
        return;
    struct kf__interface *interface = &capture->interfaces[capture->interface_count++];
    *interface = (struct kf__interface){get16(capture, body.at), 1000000, 0};
    for (size_t at = 8; at + 4 <= body.size;) {
        uint16_t code = get16(capture, body.at + at), size = get16(capture, body.at + at + 2);
        const uint8_t *value = body.at + at + 4;
        if (code == 0 || size > body.size - at - 4)
            return;
        if (code == OPTION_RESOLUTION && size == 1)
            interface->ticks = resolution(value[0]);
        if (code == OPTION_OFFSET && size == 8) {
            int64_t low = get32(capture, value + (capture->big_endian ? 4 : 0));
            int64_t high = get32(capture, value + (capture->big_endian ? 0 : 4));
            interface->offset = high ? 0 : low; /* beyond 32 bits: nonsense */
        }
        at += 4 + (((size_t)size + 3) & ~(size_t)3);
    }
}

/* `fixed`: bytes before the packet's; sizes and times where the block has them. */
static bool read_packet(struct kf__capture *capture, uint32_t type, struct view body,
                        struct packet *packet)
{
    size_t fixed = type == BLOCK_SIMPLE_PACKET ? 4 : 20;
    if (body.size < fixed)
        return false;
    uint32_t index = 0, size = get32(capture, body.at);
    uint64_t ticks = 0;
    if (type != BLOCK_SIMPLE_PACKET) {
        index = type == BLOCK_PACKET ? get32(capture, body.at) : get16(capture, body.at);
        ticks = (uint64_t)get32(capture, body.at + 4) << 32 | get32(capture, body.at + 8);
        size = get32(capture, body.at + 12);
    }
    if (index >= capture->interface_count)
        return false;
    size_t there = body.size - fixed;
    const struct kf__interface *interface = &capture->interfaces[index];
    *packet = (struct packet){
        to_time(interface, ticks), interface->link, {body.at + fixed, size < there ? size : there}};
    return true;
}

static bool begin_section(struct kf__capture *capture)
{
    if (left(capture) < BLOCK_OVERHEAD + 16)
        return ends_within(capture, "the file ends within a section's header");
    const uint8_t *order = capture->at + 8;
    if (be32(order) != byte_order && le32(order) != byte_order)
        return damaged(capture, "a section of no known byte order");
    capture->big_endian = be32(order) == byte_order;
    capture->interface_count = 0;
    return true;
}

static bool next_pcapng(struct kf__capture *capture, struct packet *packet)
{
    while (left(capture) >= BLOCK_OVERHEAD) {
        if (be32(capture->at) == section_block && !begin_section(capture))
            return false;
        uint32_t type = get32(capture, capture->at);
        uint32_t size = get32(capture, capture->at + 4);
        if (size < BLOCK_OVERHEAD || size % 4 || size > largest_block)
            return damaged(capture, "a block of a size that none can have");
        if (size > left(capture))
            return ends_within(capture, "the file ends within a block");
        struct view body = {capture->at + 8, size - BLOCK_OVERHEAD};
        capture->at += size;
        if (type == BLOCK_INTERFACE)
            read_interface(capture, body);
        else if ((type == BLOCK_PACKET || type == BLOCK_SIMPLE_PACKET ||
                  type == BLOCK_OLD_PACKET) &&
                 read_packet(capture, type, body, packet))
            return true;
    }
    return left(capture) ? ends_within(capture, "the file ends within a block") : ends(capture);
}

/* ---- link layer ---- */

static bool skip(struct view *view, size_t size)
{
    if (view->size < size)
        return false;
    view->at += size;
    view->size -= size;
    return true;
}

static bool skip_ethernet(struct view *view)
{
    if (view->size < 14)
        return false;
    uint16_t type = be16(view->at + 12);
    skip(view, 14);
    while ((type == TYPE_VLAN || type == TYPE_QINQ) && view->size >= 4) {
        type = be16(view->at + 2);
        skip(view, 4);
    }
    return type == TYPE_IPV4 || type == TYPE_IPV6;
}

/* True where an IP packet is left. */
static bool skip_link(struct kf__capture *capture, const struct packet *packet, struct view *view)
{
    switch (packet->link) {
    case LINK_ETHERNET:
        return skip_ethernet(view);
    case LINK_NULL:
    case LINK_LOOP:
        return skip(view, 4); /* an address family; the IP version says the same */
    case LINK_COOKED:
        return skip(view, 16);
    case LINK_COOKED_2:
        return skip(view, 20);
    case LINK_RAW:
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
    case LINK_IPV4:
    case LINK_IPV6:
        return true;
    default:
        capture->other_links++;
        capture->link = packet->link;
        return false;
    }
}

/* ---- IP and TCP ---- */

/* What remains of the IP packet; `whole` is its payload's size as announced. */
static bool skip_ipv4(struct kf__capture *capture, struct view *view, struct kf__segment *segment,
                      size_t *whole)
{
    if (view->size < 20)
        return false;
    const uint8_t *at = view->at;
    size_t header = (size_t)(at[0] & 15) * 4, total = be16(at + 2);
    if (at[9] != PROTOCOL_TCP || header < 20)
        return false;
    if (be16(at + 6) & 0x3FFF) { /* more fragments, or not the first */
        capture->fragments++;
        return false;
    }
    if (total == 0) /* the network card cuts it into packets later */
        total = view->size;
    memcpy(segment->from.address, at + 12, 4);
    memcpy(segment->to.address, at + 16, 4);
    if (total < header || !skip(view, header))
        return false;
    *whole = total - header;
    return true;
}

static bool skip_ipv6(struct kf__capture *capture, struct view *view, struct kf__segment *segment,
                      size_t *whole)
{
    enum {
        HOP_BY_HOP = 0,
        ROUTING = 43,
        FRAGMENT = 44,
        DESTINATION = 60
    };
    if (view->size < 40)
        return false;
    uint8_t next = view->at[6];
    *whole = be16(view->at + 4);
    if (*whole == 0)
        *whole = view->size - 40;
    segment->from.ipv6 = segment->to.ipv6 = true;
    memcpy(segment->from.address, view->at + 8, 16);
    memcpy(segment->to.address, view->at + 24, 16);
    skip(view, 40);
    while (next == HOP_BY_HOP || next == ROUTING || next == DESTINATION) {
        if (view->size < 8)
            return false;
        size_t size = ((size_t)view->at[1] + 1) * 8;
        next = view->at[0];
        if (size > *whole || !skip(view, size))
            return false;
        *whole -= size;
    }
    capture->fragments += next == FRAGMENT;
    return next == PROTOCOL_TCP;
}

static bool read_tcp(struct view view, size_t whole, struct kf__segment *segment)
{
    enum {
        FIN = 1,
        SYN = 2,
        RST = 4,
        ACK = 16
    };
    if (view.size < 20)
        return false;
    const uint8_t *at = view.at;
    size_t header = (size_t)(at[12] >> 4) * 4;
    if (header < 20 || header > whole || header > view.size)
        return false;
    segment->from.port = be16(at);
    segment->to.port = be16(at + 2);
    segment->sequence = be32(at + 4);
    segment->fin = at[13] & FIN;
    segment->syn = at[13] & SYN;
    segment->rst = at[13] & RST;
    segment->ack = at[13] & ACK;
    size_t announced = whole - header;
    segment->bytes = at + header;
    segment->size = view.size - header;
    if (segment->size > announced) /* padding of short Ethernet frames */
        segment->size = announced;
    segment->lost = announced - segment->size;
    return true;
}

static bool read_segment(struct kf__capture *capture, const struct packet *packet,
                         struct kf__segment *segment)
{
    struct view view = packet->bytes;
    size_t whole;
    memset(segment, 0, sizeof *segment);
    segment->time = packet->time;
    if (!skip_link(capture, packet, &view) || view.size == 0)
        return false;
    int version = view.at[0] >> 4;
    if (version == 4)
        return skip_ipv4(capture, &view, segment, &whole) && read_tcp(view, whole, segment);
    if (version == 6)
        return skip_ipv6(capture, &view, segment, &whole) && read_tcp(view, whole, segment);
    return false;
}

bool kf__capture_next(struct kf__capture *capture, struct kf__segment *segment)
{
    struct packet packet;
    while (capture->pcapng ? next_pcapng(capture, &packet) : next_pcap(capture, &packet)) {
        capture->packets++;
        if (read_segment(capture, &packet, segment))
            return true;
    }
    return false;
}
