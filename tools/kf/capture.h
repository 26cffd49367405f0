/*
 * capture: pcap and pcapng files to TCP segments.
 *
 *     bytes of the file ──kf__capture_next──▶ segment, segment, …
 *
 * Knows the link layers on which Kafka is met (Ethernet, Linux cooked v1 and
 * v2, raw IP, loopback), IPv4 and IPv6. What is no TCP is passed over. Bytes
 * are not trusted; nothing is copied, everything borrows from the file's
 * bytes. Puts no streams together: streams.h does. A file may come in parts:
 *
 *     kf__capture_next: false, and `more` ──kf__capture_refill──▶ kf__capture_next …
 */
#ifndef KF_TOOLS_CAPTURE_H
#define KF_TOOLS_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kf__endpoint {
    uint8_t address[16]; /* IPv4: the first four bytes */
    uint16_t port;
    bool ipv6;
};

struct kf__segment {
    int64_t time; /* nanoseconds since 1970 */
    struct kf__endpoint from;
    struct kf__endpoint to;
    uint32_t sequence;
    bool syn, ack, fin, rst;
    const uint8_t *bytes;
    size_t size; /* captured payload */
    size_t lost; /* payload bytes that the capture cut off behind it (a snap length) */
};

enum {
    KF__INTERFACES = 64 /* of one section of a pcapng; more are not told apart */
};

struct kf__interface {
    uint32_t link;
    uint64_t ticks; /* a second has */
    int64_t offset; /* seconds */
};

struct kf__capture {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *start;
    uint64_t passed; /* bytes of the file before `start` */
    bool partial;    /* the file goes on behind `end` */
    bool more;       /* kf__capture_next found no whole packet, and the file goes on */
    bool pcapng;
    bool big_endian;
    struct kf__interface interfaces[KF__INTERFACES]; /* pcap has one */
    uint32_t interface_count;
    /* ---- what was met ---- */
    uint64_t packets;
    uint64_t fragments;   /* of IP: not put together */
    uint64_t other_links; /* packets of link layers not known */
    uint32_t link;        /* the last of them */
    const char *damage;   /* why the file ended early; NULL: it did not */
    uint64_t damage_at;   /* offset in the file */
};

/* Whether the bytes begin as such a file does. */
bool kf__capture_is(const uint8_t *bytes, size_t size);
enum {
    KF__CAPTURE_HEADER = 24 /* bytes that tell how to read the file */
};
/* The whole file, or its beginning (at least its header) where `partial` is set afterwards. False
 * where kf__capture_is says no. */
bool kf__capture_open(struct kf__capture *capture, const uint8_t *bytes, size_t size);
/* The bytes from `at` on, now more of them, perhaps elsewhere. `partial`: the file still goes on.
 */
void kf__capture_refill(struct kf__capture *capture, const uint8_t *bytes, size_t size,
                        bool partial);
/* The next TCP segment; false at the end, where the file is damaged, or where `more` is wanted. */
bool kf__capture_next(struct kf__capture *capture, struct kf__segment *segment);

#endif
