/*
 * server: the nodes' ports and the connections on them, turned by poll(2).
 * It moves bytes; what they mean is dispatch.c's matter. Called by broker.c.
 */
#ifndef KF_BROKER_SERVER_H
#define KF_BROKER_SERVER_H

#include "tools/broker/security/sasl_server.h"
#include "tools/broker/server/exchange.h"
#include "tools/broker/server/listeners.h"
#include <poll.h>

struct kf__connection {
    uint64_t id;
    int fd;
    struct kf__pipe *pipe; /* in place of fd, in virtual time */
    int32_t node;
    int32_t listener;
    char peer[64];
    char principal[KF__PRINCIPAL_BYTES]; /* "User:…"; TLS and SASL set it */

    struct kf__session session;
    struct kf__tls *tls; /* NULL: plaintext */

    uint8_t *in; /* received; the frame under way begins at in_start */
    size_t in_start;
    size_t in_used;
    size_t in_capacity;
    size_t frame_size; /* of the request under way, with its size field; 0: none */
    struct kf__exchange exchange;

    kf_writer out;
    size_t sent;
    bool writing;
    bool close_after;    /* the answer */
    bool silent;         /* the answer never comes */
    bool more_waits;     /* bytes have come that nobody reads yet */
    kf_time answer_at;   /* a delayed answer; 0: none */
    kf_time muted_until; /* throttled; 0: not */
    bool closing;
};

struct kf__port {
    int fd; /* bound, also while the node is stopped; -1: not even that */
    uint16_t number;
};

struct kf__node {
    struct kf__port ports[KF__MAX_LISTENERS]; /* one for each listener */
    bool listens;
};

struct kf__server {
    const kf_allocator *alloc;
    struct kf__listeners listeners;
    struct kf__slab_pool *slabs; /* of TLS connections */
    struct kf__node nodes[KF__MAX_NODES + 1];
    struct kf__connection **connections; /* slots; NULL: free */
    size_t slot_count;
    int32_t connection_count;
    int32_t max_connections; /* beyond: closed as they come */
    bool is_full;            /* the process has no descriptor left */
    size_t in_bytes;         /* room for what comes in, of all connections */
    uint64_t last_id;
    int wake[2];
    struct pollfd *fds;
    uint64_t *fd_ids; /* beside fds: the connection's id, or 0 */
    size_t fd_capacity;
    size_t fixed_fds; /* of the wake pipe and the ports: in front of the connections' */
    bool polls;       /* some thread is in poll(2), without the lock */
    int32_t guests;   /* who waits for it to come out; no poll begins meanwhile */
};

/* No port is taken yet: kf__server_close may follow. */
void kf__server_init(struct kf__server *server);
kf_err kf__server_open(struct kf_broker *broker, const kf_broker_options *options, kf_error *error);
void kf__server_close(struct kf_broker *broker);
struct kf__pipe;
/* A connection over a pipe; false: no memory. */
bool kf__server_accept_pipe(struct kf_broker *broker, int32_t node, struct kf__pipe *pipe);
/* When something is due without anybody's doing: parked requests, delays, sessions, events. */
kf_time kf__server_deadline(const struct kf_broker *broker);
kf_err kf__server_start_node(struct kf_broker *broker, int32_t node);
/* Waits, without the lock, until no thread is in poll(2). A socket lives as long as a poll waits
   for it: close(2) alone would leave the port listening. */
void kf__server_end_poll(struct kf_broker *broker);
/* After kf__server_end_poll. Closes the node's connections; new ones are refused, and its port
   stays taken. */
void kf__server_stop_node(struct kf_broker *broker, int32_t node);
void kf__server_close_all(struct kf_broker *broker);
/* Answers under way stop borrowing from logs: before records are deleted. */
void kf__server_own_output(struct kf_broker *broker);
void kf__server_wake(const struct kf__server *server);
/* One turn; takes and gives back the broker's lock. */
kf_err kf__server_turn(struct kf_broker *broker, int timeout_ms);

/* ---- dispatch.c: bytes to exchanges and back ---- */

/* Whole frames in the connection's buffer become exchanges, until one stays. */
void kf__dispatch(struct kf_broker *broker, struct kf__connection *connection, kf_time now);
/* Exchanges that can be answered now are. */
void kf__dispatch_parked(struct kf_broker *broker, kf_time now);
/* When a parked exchange is due; KF_FOREVER: none is. */
kf_time kf__dispatch_deadline(const struct kf_broker *broker);
/* The answer has left: the request's frame is done with. */
void kf__dispatch_sent(struct kf_broker *broker, struct kf__connection *connection);
/* Gives back what the connection's exchange holds. */
void kf__dispatch_abandon(struct kf_broker *broker, struct kf__connection *connection);
/* server.c: writes what it can. */
void kf__server_write(struct kf_broker *broker, struct kf__connection *connection);
/* server.c: looks for the next request in what has been received already. */
void kf__server_go_on(struct kf_broker *broker, struct kf__connection *connection, kf_time now);

/* ---- server_tls.c ---- */

/* Records have come: a step of the handshake, or plaintext for dispatch. */
void kf__server_opened(struct kf_broker *broker, struct kf__connection *connection, kf_time now);
/* Plaintext that TLS holds already, as far as no request is under way. */
void kf__server_open_records(struct kf_broker *broker, struct kf__connection *connection,
                             kf_time now);
/* TLS's last words, before the socket is closed. */
void kf__server_say_farewell(struct kf__connection *connection);
/* Seals what it can of the answer; false where the connection is broken. */
bool kf__server_seal(struct kf__connection *connection);
/* Room for plaintext; false: no memory. */
bool kf__server_make_room(struct kf__server *server, struct kf__connection *connection);

#endif
