/*
 * api: what the replaying broker answers. Bytes of a request in, an encoded
 * response and the batches it carries out; no sockets, no clock.
 */
#ifndef BENCH_REPLAY_API_H
#define BENCH_REPLAY_API_H

#include "tools/bench/replay/log.h"
#include <kafiber/messages.h>

enum {
    MAX_SESSIONS = 16
};

/* A partition's place in a fetch session. */
struct place {
    int64_t offset;
    int32_t max_bytes;
    bool wanted;
};

/* A fetch session (KIP-227); id 0: the one full fetch that is being answered. */
struct session {
    int32_t id;
    int32_t next; /* partition to begin with, so that none starves */
    struct place *places;
};

struct replay {
    struct log log;
    const char *topic;
    int32_t partitions;
    int32_t fetch_bytes; /* cap of a response; 0: as asked for */
    const char *host;
    int32_t port;
    struct session sessions[MAX_SESSIONS];
    int32_t last_session;
    int32_t generation;
    int64_t produced; /* base offset of the next batch that is swallowed */
};

/* A run of batches that stands in a response in place of a `records` field. */
struct run {
    int64_t first; /* batch number */
    int64_t count;
};

struct answer {
    kf_writer bytes;  /* owned bytes; segment i stands for run i */
    struct run *runs; /* room for one per partition */
    int64_t run_count;
    int32_t wait_ms; /* an empty Fetch response: to be held back that long */
    bool none;       /* nothing is to be sent (acks=0) */
    kf_arena arena;
};

/* `frame` is a request without its size. Any error: close the connection. */
kf_err replay_answer(struct replay *replay, kf_bytes frame, struct answer *answer);

#endif
