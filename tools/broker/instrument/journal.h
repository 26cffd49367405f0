/*
 * journal: one JSON line for each request, with its answer, and for each event
 * of a script. The lines are described in docs/broker.md. Called by dispatch.c
 * and events.c.
 */
#ifndef KF_BROKER_JOURNAL_H
#define KF_BROKER_JOURNAL_H

#include <kafiber/error.h>
#include <kafiber/types.h>
#include <stdbool.h>
#include <stdint.h>

struct kf_broker;
struct kf__exchange;
struct kf__event;

struct kf__journal {
    int fd;          /* -1: there is none, or none any more */
    bool may_signal; /* SIGPIPE */
    int64_t lost;    /* lines */
    kf_error why;    /* the first of them */
};

void kf__journal_init(struct kf__journal *journal);
/* KF_ERR_SYSTEM with a sentence. */
kf_err kf__journal_open(struct kf__journal *journal, const char *path, kf_error *error);
void kf__journal_close(struct kf__journal *journal);

/* `outcome` NULL: answered. "closed", "dropped", …: there is no answer to show. */
void kf__journal_write(struct kf_broker *broker, const struct kf__exchange *exchange,
                       const char *outcome);
void kf__journal_event(struct kf_broker *broker, const struct kf__event *event, kf_err result);
/* A frame that was refused before it became an exchange; `why` in words. */
void kf__journal_refusal(struct kf_broker *broker, int32_t node, uint64_t connection,
                         const char *why);

#endif
