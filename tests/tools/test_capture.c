/* Files and link layers: the same TCP segment in all the ways in which it is captured. */
#include "tools/kf/capture.c"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

enum {
    MOST = 512
};

static uint8_t file[MOST];
static size_t file_size;
static struct kf__capture capture;
static struct kf__segment segment;

/* 10.0.0.1:40000 → 10.0.0.2:9092, sequence 7, "abc". */
static const uint8_t ipv4[] = {
    0x45, 0,    0, 43, 0, 0, 0, 0, 64, 6, 0,    0,    10, 0, 0, 1, 10, 0, 0,   2,   0x9C, 0x40,
    0x23, 0x84, 0, 0,  0, 7, 0, 0, 0,  0, 0x50, 0x18, 0,  0, 0, 0, 0,  0, 'a', 'b', 'c'};
/* The same from ::1 to ::2, behind a hop-by-hop header. */
static const uint8_t ipv6[] = {
    0x60, 0,    0,    0,    0, 31, 0, 64, 0, 0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0,   0,   0,  1,
    0,    0,    0,    0,    0, 0,  0, 0,  0, 0, 0, 0, 0,    0,    0, 2, 6, 0, 1, 4, 0,   0,   0,  0,
    0x9C, 0x40, 0x23, 0x84, 0, 0,  0, 7,  0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c'};

static void put(const void *bytes, size_t size)
{
    cr_assert(le(sz, file_size + size, MOST));
    memcpy(file + file_size, bytes, size);
    file_size += size;
}

static void put32(uint32_t value, bool big)
{
    uint8_t b[4];
    for (int i = 0; i < 4; i++)
        b[big ? 3 - i : i] = (uint8_t)(value >> 8 * i);
    put(b, sizeof b);
}

/* One packet: `prefix` is the link layer's header. */
static void make_pcap(uint32_t magic, bool big, uint32_t link, const char *prefix,
                      size_t prefix_size, const uint8_t *ip, size_t ip_size)
{
    file_size = 0;
    put32(magic, big);
    for (int i = 0; i < 4; i++)
        put32(i == 3 ? 65535 : 0, big);
    put32(link, big);
    put32(1700000000, big);
    put32(5, big);
    put32((uint32_t)(prefix_size + ip_size), big);
    put32((uint32_t)(prefix_size + ip_size), big);
    put(prefix, prefix_size);
    put(ip, ip_size);
}

static void expect_abc(void)
{
    cr_assert(kf__capture_open(&capture, file, file_size));
    cr_assert(kf__capture_next(&capture, &segment));
    cr_assert(eq(u16, segment.from.port, 40000));
    cr_assert(eq(u16, segment.to.port, 9092));
    cr_assert(eq(u32, segment.sequence, 7));
    cr_assert(eq(sz, segment.size, 3));
    cr_assert(eq(int, memcmp(segment.bytes, "abc", 3), 0));
    struct kf__segment after;
    cr_assert(not(kf__capture_next(&capture, &after)));
    cr_assert(zero(ptr, (void *)(uintptr_t)capture.damage));
}

#define PREFIX(text) text, sizeof text - 1

TestSuite(capture);

Test(capture, reads_every_link_layer_it_names)
{
    static const struct {
        uint32_t link;
        const char *prefix;
        size_t size;
    } links[] = {
        {1, PREFIX("\1\1\1\1\1\1\2\2\2\2\2\2\x08\0")},
        {1, PREFIX("\1\1\1\1\1\1\2\2\2\2\2\2\x81\0\0\5\x08\0")}, /* VLAN 5 */
        {0, PREFIX("\2\0\0\0")},
        {108, PREFIX("\0\0\0\2")},
        {113, PREFIX("\0\0\3\4\0\6\0\0\0\0\0\0\0\0\x08\0")},
        {276, PREFIX("\x08\0\0\0\0\0\0\1\3\4\0\6\0\0\0\0\0\0\0\0")},
        {101, PREFIX("")},
        {12, PREFIX("")},
        {228, PREFIX("")},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        make_pcap(magic_us, false, links[i].link, links[i].prefix, links[i].size, ipv4,
                  sizeof ipv4);
        expect_abc();
        cr_assert(not(segment.from.ipv6));
        cr_assert(eq(i64, segment.time, 1700000000000005000));
    }
}

Test(capture, reads_nanoseconds_and_the_other_byte_order)
{
    make_pcap(magic_ns, true, 101, "", 0, ipv4, sizeof ipv4);
    expect_abc();
    cr_assert(eq(i64, segment.time, 1700000000000000005));
}

Test(capture, reads_ipv6_behind_its_extension_headers)
{
    make_pcap(magic_us, false, 229, "", 0, ipv6, sizeof ipv6);
    expect_abc();
    cr_assert(segment.from.ipv6);
    cr_assert(eq(u8, segment.to.address[15], 2));
}

/* Short Ethernet frames are filled up to 60 bytes. */
Test(capture, leaves_padding_out)
{
    uint8_t padded[sizeof ipv4 + 5] = {0};
    memcpy(padded, ipv4, sizeof ipv4);
    make_pcap(magic_us, false, 101, "", 0, padded, sizeof padded);
    expect_abc();
}

Test(capture, counts_what_a_snap_length_cut_off)
{
    make_pcap(magic_us, false, 101, "", 0, ipv4, sizeof ipv4 - 2);
    cr_assert(kf__capture_open(&capture, file, file_size));
    cr_assert(kf__capture_next(&capture, &segment));
    cr_assert(eq(sz, segment.size, 1));
    cr_assert(eq(sz, segment.lost, 2));
}

Test(capture, reads_a_pcapng_with_nanoseconds_in_either_byte_order)
{
    for (int big = 0; big < 2; big++) {
        file_size = 0;
        put32(section_block, big);
        put32(28, big);
        put32(byte_order, big);
        put32(big ? 0x00010000 : 1, big);
        put32(UINT32_MAX, big);
        put32(UINT32_MAX, big);
        put32(28, big);
        put32(1, big); /* an interface: raw IP, nanoseconds */
        put32(32, big);
        put32(big ? 101 << 16 : 101, big);
        put32(0, big);
        put32(big ? 9 << 16 | 1 : 1 << 16 | 9, big);
        put("\x09\0\0\0", 4);
        put32(0, big);
        put32(32, big);
        put32(6, big); /* a packet */
        put32(32 + 44, big);
        put32(0, big);
        put32(1700000000000000005 >> 32, big);
        put32((uint32_t)1700000000000000005, big);
        put32(sizeof ipv4, big);
        put32(sizeof ipv4, big);
        put(ipv4, sizeof ipv4);
        put("", 1);
        put32(32 + 44, big);
        expect_abc();
        cr_assert(eq(i64, segment.time, 1700000000000000005));
    }
}

Test(capture, says_where_a_file_ends_early)
{
    make_pcap(magic_us, false, 101, "", 0, ipv4, sizeof ipv4);
    cr_assert(kf__capture_open(&capture, file, file_size - 1));
    cr_assert(not(kf__capture_next(&capture, &segment)));
    cr_assert(eq(str, (char *)(uintptr_t)capture.damage, "the file ends within a packet"));
    cr_assert(eq(sz, capture.damage_at, 24));
}

Test(capture, passes_over_fragments_and_counts_them)
{
    uint8_t fragment[sizeof ipv4];
    memcpy(fragment, ipv4, sizeof ipv4);
    fragment[6] = 0x20;
    make_pcap(magic_us, false, 101, "", 0, fragment, sizeof fragment);
    cr_assert(kf__capture_open(&capture, file, file_size));
    cr_assert(not(kf__capture_next(&capture, &segment)));
    cr_assert(eq(u64, capture.fragments, 1));
}
