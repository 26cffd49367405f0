/*
 * demo: `kf demo`, what a newcomer sees first: 100,000 orders, two members of
 * one group, one of them killed half-way, and the account.
 *
 *   demo.c          the story: set-up, members, the kill, the end
 *   demo_cluster.c  topic and orders, on the embedded broker or a real cluster
 *   demo_member.c   a member: this program again, as a process of its own
 *   demo_journal.c  what members write down, and reading it
 *   demo_show.c     the table, the lines, the account
 *
 * The account is made of the members' journals alone: a member writes down an
 * order in the moment it handles it, so what a killed one did is there too.
 */
#ifndef KF_TOOLS_DEMO_H
#define KF_TOOLS_DEMO_H

#include "tools/kf/options.h"
#include <kafiber/broker.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    KF__DEMO_ORDERS = 100000,
    KF__DEMO_PARTITIONS = 6,
    KF__DEMO_MEMBERS = 2,
    KF__DEMO_CUSTOMERS = 5000,
    KF__DEMO_SESSION_MS = 6000, /* brokers allow no less by default */
    KF__DEMO_SECONDS = 25,      /* then the account is made of what is there */
    KF__DEMO_EASE_SECONDS = 15, /* from then on orders take no time any more */
    KF__DEMO_PATH_BYTES = 200,
};

struct kf__demo {
    struct kf__command command;
    /* of a member's command line */
    const char *member; /* "A", "B"; NULL: this is the demo itself */
    const char *member_topic;
    const char *member_group;
    const char *journal;
    int64_t started_ms; /* on the monotonic clock */

    int argc; /* as given, for the members' command lines */
    char **argv;
    bool real_cluster;
    kf_broker *broker;
    kf_client *client;
    const char *bootstrap; /* of the embedded broker; NULL: as configured */
    char topic[64];
    char group[64];
    char folder[KF__DEMO_PATH_BYTES]; /* journals and logs */
    kf_time began;
};

/* ---- demo_cluster.c ---- */

/* KF__GO_ON, or the exit code with a word on stderr. */
int kf__demo_open_cluster(struct kf__demo *demo);
/* Returns when all orders are acknowledged; stored[p]: how many lie in partition p. */
int kf__demo_produce(struct kf__demo *demo, int64_t stored[KF__DEMO_PARTITIONS]);
/* Deletes what the demo made. */
void kf__demo_close_cluster(struct kf__demo *demo);

/* ---- demo_member.c ---- */

int kf__demo_run_member(struct kf__demo *demo);

/* ---- demo_journal.c ---- */

enum kf__demo_event {
    KF__DEMO_HANDLED = 'h',
    KF__DEMO_FAILED = 'f',
    KF__DEMO_ASSIGNED = '+',
    KF__DEMO_REVOKED = '-',
    KF__DEMO_LOST = '!',
};

struct kf__demo_entry {
    enum kf__demo_event event;
    int32_t partition;
    int64_t offset; /* of HANDLED and FAILED */
    int64_t order;  /* of HANDLED */
};

/* One line, in one write, so that a kill leaves no half of it. False: it could not be written. */
bool kf__demo_note(int fd, const struct kf__demo_entry *entry);

/* Reads a journal as it grows. */
struct kf__demo_tail {
    int fd;
    char bytes[65536];
    size_t used;
};
/* Hands each whole line that is new to `take`. */
void kf__demo_read(struct kf__demo_tail *tail,
                   void (*take)(void *context, const struct kf__demo_entry *entry), void *context);

/* ---- the state of the story ---- */

struct kf__demo_member {
    char name; /* 'A', 'B' */
    pid_t pid;
    int pipe; /* its stdin: it ends when this closes */
    bool killed;
    bool ended;
    int status; /* of waitpid */
    int64_t handled;
    struct kf__demo_tail tail;
};

struct kf__demo_part {
    int64_t orders; /* that lie in it */
    int64_t handled;
    int64_t failures;
    int owner; /* index of a member; -1: nobody */
};

struct kf__demo_story {
    const struct kf__demo *demo;
    struct kf__demo_member members[KF__DEMO_MEMBERS];
    struct kf__demo_part parts[KF__DEMO_PARTITIONS];
    uint8_t *times; /* per order: how often it was handled; stays at 255 */
    int64_t stored;
    int64_t handled; /* orders handled at least once */
    int64_t twice;   /* orders handled more than once */
    int64_t failures;
};

/* ---- demo_show.c ---- */

void kf__demo_show_begin(const struct kf__demo *demo);
/* A line that stays: "  3.2 s  …". */
void kf__demo_say(const struct kf__demo *demo, const char *format, ...) KF_PRINTF(2, 3);
/* The table, redrawn in place; on anything but a terminal a line a second. */
void kf__demo_show(const struct kf__demo_story *story);
void kf__demo_show_account(const struct kf__demo_story *story);

#endif
