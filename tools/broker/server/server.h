/*
 * server: the nodes' ports and the connections on them, and who has a turn.
 * It moves bytes; what they mean is dispatch.c's matter. Called by broker.c.
 *
 *   server.c              the whole: opened, closed, waited for
 *   server_ports.c        listening sockets of nodes that run and stop
 *   server_connections.c  accepted, closed, found again by their slots
 *   server_bytes.c        received and sent
 *   server_tls.c          the same through TLS
 *   server_turn.c         a turn: wait, serve, let time pass, settle
 *
 * Whatever happens to a connection stirs it: it stands on a list, and the end
 * of the turn settles it: closes it, or says anew what it waits for. So a turn
 * costs time for the connections that something happened to, however many
 * there are.
 */
#ifndef KF_BROKER_SERVER_H
#define KF_BROKER_SERVER_H

#include "net/loop/backend.h"
#include "net/loop/list.h"
#include "net/loop/timers.h"
#include "tools/broker/security/sasl_server.h"
#include "tools/broker/server/exchange.h"
#include "tools/broker/server/listeners.h"

struct kf__connection {
    uint64_t id;
    uint32_t slot;
    int fd;
    struct kf__pipe *pipe; /* in place of fd, in virtual time */
    int wanted;            /* what the back-end waits for */
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
    kf_time heard_at;    /* when something moved here last */
    kf_time idle_at;     /* when to look whether that was too long ago; KF_FOREVER: never */
    bool closing;

    struct kf__link stirred; /* among those that the turn's end settles */
    struct kf__link parked;  /* among those whose request waits for an answer */
    struct kf__timer timer;  /* the earliest of the times above and the request's deadline */
};

struct kf__port {
    int fd; /* bound, also while the node is stopped; -1: not even that */
    uint16_t number;
    int wanted; /* what the back-end waits for */
};

struct kf__node {
    struct kf__port ports[KF__MAX_LISTENERS]; /* one for each listener */
    bool listens;
};

struct kf__slot {
    struct kf__connection *connection; /* NULL: free */
    uint32_t next_free;                /* of a free one; slot_capacity: none */
};

struct kf__server {
    const kf_allocator *alloc;
    struct kf__listeners listeners;
    struct kf__slab_pool *slabs; /* of TLS connections */
    struct kf__node nodes[KF__MAX_NODES + 1];
    struct kf__slot *slots;
    uint32_t slot_count; /* used so far */
    uint32_t slot_capacity;
    uint32_t first_free; /* slot_count: none below it */
    int32_t connection_count;
    int32_t max_connections; /* beyond: closed as they come */
    bool is_full;            /* the process has no descriptor left */
    size_t in_bytes;         /* room for what comes in, of all connections */
    uint64_t last_id;
    int wake[2];
    const struct kf__backend_table *backend;
    void *waits;        /* the back-end's state; NULL in virtual time */
    pid_t process;      /* that opened it: a child shares its epoll set */
    bool ports_changed; /* which of them are listened to */
    struct kf__timers timers;
    struct kf__link stirred;
    struct kf__link parked;
    uint64_t seen_changes; /* of the broker, when parked requests were last looked at */
    uint64_t seen_appends;
    kf_time groups_due; /* if groups_rest: nothing has reached the coordinators meanwhile */
    bool groups_rest;
    bool polls;     /* some thread waits, without the lock */
    int32_t guests; /* who waits for it to come out; no wait begins meanwhile */
};

/* ---- server.c ---- */

/* No port is taken yet: kf__server_close may follow. */
void kf__server_init(struct kf__server *server);
kf_err kf__server_open(struct kf_broker *broker, const kf_broker_options *options,
                       enum kf__backend backend, kf_error *error);
void kf__server_close(struct kf_broker *broker);
/* Waits, without the lock, until no thread waits for sockets: for who closes some of them. With
   poll(2) a socket lives as long as somebody waits for it: close(2) alone would leave a port
   listening. */
void kf__server_end_poll(struct kf_broker *broker);
void kf__server_wake(const struct kf__server *server);
/* Nonblocking, and closed by exec. */
bool kf__server_unblock(int fd);
/* The back-end waits for something else; fails only where something is wanted. */
kf_err kf__server_want(struct kf__server *server, uint32_t place, uint64_t id, int fd, int *wanted,
                       int now);

/* ---- server_ports.c ---- */

kf_err kf__server_take_ports(struct kf_broker *broker, kf_error *error);
void kf__server_drop_ports(struct kf_broker *broker);
/* How many there are; a connection's place in the back-end comes after the wake pipe and these. */
uint32_t kf__server_port_count(const struct kf_broker *broker);
kf_err kf__server_start_node(struct kf_broker *broker, int32_t node);
/* After kf__server_end_poll. Closes the node's connections; new ones are refused, and its port
   stays taken. */
void kf__server_stop_node(struct kf_broker *broker, int32_t node);
/* Ports that changed are waited for as they are now. */
void kf__server_listen_anew(struct kf_broker *broker);
/* Somebody waits at a port. */
void kf__server_answer_port(struct kf_broker *broker, uint32_t port);

/* ---- server_connections.c ---- */

struct kf__pipe;
/* A connection over a pipe; false: no memory. */
bool kf__server_accept_pipe(struct kf_broker *broker, int32_t node, struct kf__pipe *pipe);
/* A connection over a socket, which it takes over. */
void kf__server_accept_socket(struct kf_broker *broker, int32_t node, int32_t listener, int fd,
                              const struct sockaddr_storage *peer);
/* This one and close_all, where called by another thread than the one that turns the broker: after
   kf__server_end_poll. */
void kf__server_close_connection(struct kf_broker *broker, struct kf__connection *connection);
void kf__server_close_all(struct kf_broker *broker);
/* Who has been idle for too long goes. */
void kf__server_drop_idle(struct kf_broker *broker, struct kf__connection *connection, kf_time now);
/* Something happened to it. */
void kf__server_stir(struct kf__server *server, struct kf__connection *connection);
void kf__server_stir_all(struct kf__server *server);
/* Answers under way stop borrowing from logs: before records are deleted. */
void kf__server_own_output(struct kf_broker *broker);

/* ---- server_bytes.c ---- */

/* What it waits for now: KF__READABLE and the like. */
int kf__server_wanted(const struct kf__connection *connection);
void kf__server_receive(struct kf_broker *broker, struct kf__connection *connection, kf_time now);
/* Writes what it can. */
void kf__server_write(struct kf_broker *broker, struct kf__connection *connection);
/* Room for plaintext; false: no memory. */
bool kf__server_make_room(struct kf__server *server, struct kf__connection *connection);
void kf__server_drop_room(struct kf__server *server, struct kf__connection *connection);
/* Looks for the next request in what has been received already. */
void kf__server_go_on(struct kf_broker *broker, struct kf__connection *connection, kf_time now);

/* ---- server_tls.c ---- */

bool kf__server_begin_tls(struct kf__server *server, struct kf__connection *connection);
/* Records have come: a step of the handshake, or plaintext for dispatch. */
void kf__server_opened(struct kf_broker *broker, struct kf__connection *connection, kf_time now);
/* Plaintext that TLS holds already, as far as no request is under way. */
void kf__server_open_records(struct kf_broker *broker, struct kf__connection *connection,
                             kf_time now);
/* TLS's last words, before the socket is closed. */
void kf__server_say_farewell(struct kf__connection *connection);
/* Seals what it can of the answer; false where the connection is broken. */
bool kf__server_seal(struct kf__connection *connection);

/* ---- server_turn.c ---- */

/* One turn; takes and gives back the broker's lock. */
kf_err kf__server_turn(struct kf_broker *broker, int timeout_ms);
/* When something is due without anybody's doing: parked requests, delays, sessions, events. */
kf_time kf__server_deadline(struct kf_broker *broker);
/* Something is done to groups, or may be: their sessions and rebalances may be due at other times.
 */
void kf__server_stir_groups(struct kf_broker *broker);

/* ---- dispatch.c: bytes to exchanges and back ---- */

/* Whole frames in the connection's buffer become exchanges, until one stays. */
void kf__dispatch(struct kf_broker *broker, struct kf__connection *connection, kf_time now);
/* Exchanges that can be answered now are. */
void kf__dispatch_parked(struct kf_broker *broker, kf_time now);
/* When the connection's parked exchange is due; KF_FOREVER: it waits for news. */
kf_time kf__dispatch_deadline(const struct kf__connection *connection);
/* The answer has left: the request's frame is done with. */
void kf__dispatch_sent(struct kf__connection *connection);
/* Gives back what the connection's exchange holds. */
void kf__dispatch_abandon(struct kf_broker *broker, struct kf__connection *connection);

#endif
