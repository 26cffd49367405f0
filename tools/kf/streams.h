/*
 * streams: TCP segments of a capture to Kafka's frames.
 *
 *     segment ──▶ connection ──▶ half ──▶ bytes in order ──▶ frame
 *                     └── requests not yet answered ──▶ what a response answers
 *
 * Segments may come out of order, twice, overlapping, or not at all: what is
 * missing is told, and the frames around it are kept. A connection may have
 * begun before the capture; then the first bytes that look like a request
 * tell where its frames begin. One that isn't Kafka is told once and left
 * alone. Nothing is borrowed beyond a call, and what is kept has bounds: a
 * frame of each half and some pieces behind a gap, of so many connections.
 */
#ifndef KF_TOOLS_STREAMS_H
#define KF_TOOLS_STREAMS_H

#include "tools/kf/capture.h"

#include <kafiber/error.h>

/* A frame, its size included. Borrowed: valid during the call. */
struct kf__frame_seen {
    int64_t time;        /* of the segment that completed it; 0: none is known */
    uint64_t connection; /* counted from 1; 0: no capture */
    struct kf__endpoint from;
    struct kf__endpoint to;
    bool request;
    bool sasl;   /* no message of Kafka's but a raw SASL one, after a SaslHandshake v0 */
    bool paired; /* a response whose request was seen; the next are the request's */
    int16_t api_key;
    int16_t api_version;
    int16_t forwarded_key; /* of the request inside, where it was an Envelope */
    int16_t forwarded_version;
    const uint8_t *bytes;
    size_t size;
    size_t missing; /* bytes that the capture lacks, behind those here */
};

struct kf__streams_events {
    void (*frame)(const struct kf__frame_seen *frame, void *context);
    /* Something about a connection, in words. `loss`: bytes could not be decoded for it. */
    void (*remark)(uint64_t connection, bool loss, const char *text, void *context);
    void *context;
};

typedef struct kf__streams kf__streams;

/* NULL when out of memory. */
kf__streams *kf__streams_open(const struct kf__streams_events *events);
kf_err kf__streams_feed(kf__streams *streams, const struct kf__segment *segment);
/* What is still waiting for missing bytes is told. */
kf_err kf__streams_end(kf__streams *streams);
void kf__streams_close(kf__streams *streams);

/* Whether a request frame may begin with these bytes: an API and version that are known. */
bool kf__looks_like_request(const uint8_t *bytes, size_t size);

#endif
