/*
 * listeners: which ports a broker has, what is spoken there, and to whom.
 *
 *   "NAME=PROTOCOL://HOST:PORT" ─▶ kf__listener ─┬─▶ server_ports.c, TLS
 *                                                └─▶ answers: a client hears of the
 *                                                    listener that it came by
 */
#ifndef KF_BROKER_LISTENERS_H
#define KF_BROKER_LISTENERS_H

#include "net/conn/security.h"
#include "tools/broker/security/principal.h"
#include <kafiber/broker.h>

enum {
    KF__MAX_LISTENERS = 8,
};

struct kf__listener {
    char name[64];
    enum kf__protocol protocol;
    char host[64];
    uint16_t port;               /* as asked for, of the first node; 0: any */
    struct kf__tls_context *tls; /* NULL: plaintext */
    char *bootstrap;             /* "host:port,…" of all nodes; owned */
};

struct kf__listeners {
    struct kf__listener items[KF__MAX_LISTENERS];
    int32_t count;
    struct kf__principal_rules rules; /* of client certificates */
};

/* Reads the options, files included. A sentence where they make no sense. */
kf_err kf__listeners_open(struct kf__listeners *listeners, const kf_allocator *alloc,
                          const kf_broker_options *options, kf_error *error);
void kf__listeners_close(struct kf__listeners *listeners, const kf_allocator *alloc);

#endif
