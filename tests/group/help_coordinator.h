/*
 * help_coordinator: a group coordinator in memory, as much of Kafka's as the
 * classic protocol shows: join barrier, generations, sessions, and the
 * coordinator's habit to move. Requests and answers are bytes at a version.
 */
#ifndef KF_TESTS_GROUP_HELP_COORDINATOR_H
#define KF_TESTS_GROUP_HELP_COORDINATOR_H

#include "group/member.h"
#include <kafiber/messages.h>

enum {
    MAX_PEERS = 64,
    MAX_METADATA = 4096
};

/* A request that waits for its answer. */
struct call {
    bool waits;
    int node;
    unsigned serial;
    int16_t version;
};

struct peer {
    bool used;
    bool in_group; /* false: only its id was given out */
    char id[16];
    kf_time expires;
    kf_time session_timeout;
    uint8_t metadata[MAX_METADATA];
    size_t metadata_size;
    uint8_t assignment[MAX_METADATA];
    size_t assignment_size;
    struct call join;
    struct call sync;
};

enum group_phase {
    GROUP_EMPTY,
    GROUP_PREPARING,
    GROUP_COMPLETING,
    GROUP_STABLE
};

struct coordinator {
    struct peer peers[MAX_PEERS];
    enum group_phase phase;
    int32_t generation;
    int leader; /* peer */
    unsigned ids;
    kf_time rebalance_ends;
    kf_time moved_until; /* answers NOT_COORDINATOR before */
    kf_time now;
    char protocol[32];
    /* An answer leaves. */
    void (*answer)(struct call call, enum kf__member_request request, const kf_schema *schema,
                   const void *message);
};

void coordinator_request(struct coordinator *coordinator, struct call call,
                         enum kf__member_request request, const void *message);
/* Sessions and rebalances that ran out. */
void coordinator_tick(struct coordinator *coordinator);

#endif
