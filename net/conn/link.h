/*
 * link: a connection's socket: what conn.c decides, done with the world's calls.
 *
 *   conn (states, bytes) ◀──▶ link ◀──▶ loop (watch, timer), world (socket, names)
 *
 * After anything happened, the link compares what the connection's state asks
 * for with what is there, and resolves, connects, sends, closes until both
 * agree. It decides nothing itself. Lives on the loop's thread.
 */
#ifndef KF_NET_LINK_H
#define KF_NET_LINK_H

#include "net/conn/conn.h"
#include "net/loop/loop.h"

struct kf__resolution;

struct kf__link {
    struct kf__conn conn;
    struct kf__loop *loop;
    const char *host; /* borrowed, as the connection's peer is */
    uint16_t port;
    struct kf__watch watch; /* fd -1: no socket */
    bool deaf;              /* the socket isn't watched while the connection's work is out */
    size_t tried;           /* the address that the socket goes to */
    struct kf__timer timer;
    struct kf__task settle;
    struct kf__resolution *resolving; /* under way on a helper thread */
    struct kf__resolution *resolved;  /* addresses of this attempt */
};

struct kf__link *kf__link_new(struct kf__loop *loop, const struct kf__conn_settings *settings,
                              const struct kf__conn_events *events, const char *peer,
                              const char *host, uint16_t port, int32_t node);
void kf__link_free(struct kf__link *link, kf_err err);

/* Queues the call; what is to be done happens at the end of the loop's turn. */
void kf__link_send(struct kf__link *link, struct kf__call *call);
/* Looks at the connection at the end of the turn. */
void kf__link_stir(struct kf__link *link);

#endif
