/* link: sockets for connections; see link.h. */
#include "net/conn/link.h"

#include <errno.h>
#include <string.h>

enum {
    PARTS = 64,
    /* One busy connection gets so much of a turn, then the others are looked after. */
    BYTES_PER_TURN = 1024 * 1024,
};

/* Outlives its link where that goes before the helper thread is back. */
struct kf__resolution {
    struct kf__job job;
    const kf_allocator *alloc;
    const struct kf__world *world;
    struct kf__link *link; /* NULL: nobody waits any more */
    kf_err err;
    uint16_t port;
    size_t count;
    struct kf__address addresses[KF__MAX_ADDRESSES];
    char host[];
};

static void settle(struct kf__link *link);

static kf_time now_of(const struct kf__link *link) { return kf__loop_now(link->loop); }

/* ---- names ---- */

static void resolve(struct kf__job *job)
{
    struct kf__resolution *it = (struct kf__resolution *)(void *)job;
    it->err = it->world->resolve(it->world->context, it->host, it->port, it->addresses, &it->count);
}

static void resolved(struct kf__job *job)
{
    struct kf__resolution *it = (struct kf__resolution *)(void *)job;
    struct kf__link *link = it->link;
    if (!link || link->conn.state != KF__CONN_RESOLVING) {
        if (link)
            link->resolving = NULL;
        kf_free(it->alloc, it);
        return;
    }
    link->resolving = NULL;
    link->resolved = it;
    kf__conn_resolved(&link->conn, now_of(link), it->err, it->count);
    settle(link);
}

static kf_err start_resolving(struct kf__link *link)
{
    const kf_allocator *alloc = kf__loop_alloc(link->loop);
    size_t length = strlen(link->host);
    struct kf__resolution *it = kf_alloc_zero(alloc, sizeof *it + length + 1);
    if (!it)
        return KF_ERR_NO_MEMORY;
    it->job = (struct kf__job){.work = resolve, .done = resolved};
    it->alloc = alloc;
    it->world = kf__loop_world(link->loop);
    it->link = link;
    it->err = KF_ERR_CANCELLED;
    it->port = link->port;
    memcpy(it->host, link->host, length + 1);
    kf_err err = kf__loop_offload(link->loop, &it->job);
    if (err)
        kf_free(alloc, it);
    else
        link->resolving = it;
    return err;
}

/* ---- the socket ---- */

/* Once, and whatever becomes of it: the connection is given up anyway. */
static void say_farewell(struct kf__link *link)
{
    const struct kf__world *world = kf__loop_world(link->loop);
    struct iovec part = {link->conn.farewell, link->conn.farewell_size};
    int error = 0;
    if (part.iov_len)
        world->send(world->context, link->watch.fd, &part, 1, &error);
    link->conn.farewell_size = 0;
}

static void close_socket(struct kf__link *link)
{
    if (link->watch.fd < 0)
        return;
    const struct kf__world *world = kf__loop_world(link->loop);
    if (!link->deaf)
        kf__watch_remove(link->loop, &link->watch);
    say_farewell(link);
    world->close(world->context, link->watch.fd);
    link->watch.fd = -1;
    link->deaf = false;
}

static void finish_connecting(struct kf__link *link)
{
    const struct kf__world *world = kf__loop_world(link->loop);
    int error = world->connect_result(world->context, link->watch.fd);
    if (error)
        kf__conn_refused(&link->conn, now_of(link), strerror(error));
    else
        kf__conn_connected(&link->conn, now_of(link));
}

static bool is_transient(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

/* A short read means that the socket is empty: no need to be told so by another call. */
static void receive(struct kf__link *link)
{
    const struct kf__world *world = kf__loop_world(link->loop);
    for (size_t total = 0;
         total < BYTES_PER_TURN && kf__conn_is_open(&link->conn) && !link->conn.work;) {
        uint8_t *bytes;
        size_t size;
        int error = 0;
        if (kf__conn_space(&link->conn, &bytes, &size)) {
            kf__conn_lost(&link->conn, now_of(link), "no memory");
            return;
        }
        ssize_t got = world->receive(world->context, link->watch.fd, bytes, size, &error);
        if (got < 0 && is_transient(error))
            return;
        if (got <= 0) {
            kf__conn_lost(&link->conn, now_of(link), got ? strerror(error) : NULL);
            return;
        }
        kf__conn_received(&link->conn, now_of(link), (size_t)got);
        if ((size_t)got < size)
            return;
        total += (size_t)got;
    }
}

static void ready(struct kf__watch *watch, int events, void *owner)
{
    struct kf__link *link = owner;
    (void)watch;
    if (link->conn.state == KF__CONN_CONNECTING)
        finish_connecting(link);
    else if (events & KF__READABLE)
        receive(link);
    kf__link_stir(link);
}

static kf_err watch_socket(struct kf__link *link, int fd)
{
    link->watch =
        (struct kf__watch){.fd = fd, .events = KF__WRITABLE, .ready = ready, .owner = link};
    kf_err err = kf__watch_add(link->loop, &link->watch);
    if (err)
        link->watch.fd = -1;
    return err;
}

static void open_socket(struct kf__link *link)
{
    const struct kf__world *world = kf__loop_world(link->loop);
    int error = 0;
    link->tried = link->conn.address;
    int fd = world->connect(world->context, &link->resolved->addresses[link->tried], &error);
    if (fd < 0) {
        kf__conn_refused(&link->conn, now_of(link), strerror(error));
    } else if (watch_socket(link, fd)) {
        world->close(world->context, fd);
        kf__conn_refused(&link->conn, now_of(link), "the descriptor could not be watched");
    }
}

static void flush(struct kf__link *link)
{
    const struct kf__world *world = kf__loop_world(link->loop);
    while (kf__conn_has_output(&link->conn)) {
        struct iovec parts[PARTS];
        int error = 0;
        size_t count = kf__conn_output(&link->conn, parts, PARTS);
        ssize_t sent = world->send(world->context, link->watch.fd, parts, (int)count, &error);
        if (sent < 0 && is_transient(error))
            return;
        if (sent <= 0) {
            kf__conn_lost(&link->conn, now_of(link), strerror(error));
            return;
        }
        kf__conn_sent(&link->conn, now_of(link), (size_t)sent);
        kf__conn_pump(&link->conn, now_of(link));
    }
}

/* ---- work for a helper thread ---- */

/* A broken socket would wake the loop in vain all the time, whatever events are wanted. */
static void stop_listening(struct kf__link *link)
{
    if (link->watch.fd < 0 || link->deaf)
        return;
    kf__watch_remove(link->loop, &link->watch);
    link->deaf = true;
}

static void listen_again(struct kf__link *link)
{
    if (!link->deaf)
        return;
    if (kf__watch_add(link->loop, &link->watch))
        kf__conn_lost(&link->conn, now_of(link), "the descriptor could not be watched");
    else
        link->deaf = false;
}

static void run_work(struct kf__job *job)
{
    struct kf__work *work = (struct kf__work *)(void *)job;
    work->run(work);
}

static void work_done(struct kf__job *job)
{
    struct kf__work *work = (struct kf__work *)(void *)job;
    struct kf__link *link = work->owner;
    work->out = false;
    if (!link) {
        work->gone(work);
        return;
    }
    listen_again(link);
    if (link->conn.work == work)
        kf__conn_worked(&link->conn, now_of(link));
    kf__link_stir(link);
}

static void settle_work(struct kf__link *link)
{
    struct kf__work *work = link->conn.work;
    if (!work || work->out)
        return;
    work->job = (struct kf__job){.work = run_work, .done = work_done};
    work->owner = link;
    work->out = true;
    stop_listening(link);
    if (kf__loop_offload(link->loop, &work->job) == KF_OK)
        return;
    work->out = false;
    listen_again(link);
    kf__conn_lost(&link->conn, now_of(link), "no helper thread could be started");
}

/* ---- the connection's wish and what is there ---- */

static void drop_addresses(struct kf__link *link)
{
    if (link->resolved)
        kf_free(link->resolved->alloc, link->resolved);
    link->resolved = NULL;
}

static void settle_resolving(struct kf__link *link)
{
    drop_addresses(link);
    if (link->resolving)
        return;
    kf_err err = start_resolving(link);
    if (err)
        kf__conn_resolved(&link->conn, now_of(link), err, 0);
}

static void settle_connecting(struct kf__link *link)
{
    if (link->tried != link->conn.address)
        close_socket(link);
    if (link->watch.fd < 0)
        open_socket(link);
}

/* One step towards what the state asks for. */
static void settle_once(struct kf__link *link)
{
    switch (link->conn.state) {
    case KF__CONN_RESOLVING:
        close_socket(link);
        settle_resolving(link);
        break;
    case KF__CONN_CONNECTING:
        settle_connecting(link);
        break;
    case KF__CONN_TLS:
    case KF__CONN_VERSIONS:
    case KF__CONN_SASL:
    case KF__CONN_READY:
        drop_addresses(link);
        flush(link);
        settle_work(link);
        break;
    default:
        drop_addresses(link);
        close_socket(link);
    }
}

static void settle(struct kf__link *link)
{
    enum kf__conn_state state;
    size_t address;
    do {
        kf__conn_pump(&link->conn, now_of(link));
        state = link->conn.state;
        address = link->conn.address;
        settle_once(link);
    } while (state != link->conn.state || address != link->conn.address);

    if (link->watch.fd >= 0 && !link->deaf) {
        bool writes = state == KF__CONN_CONNECTING || kf__conn_has_output(&link->conn);
        bool reads = state != KF__CONN_CONNECTING;
        kf__watch_change(link->loop, &link->watch,
                         (writes ? KF__WRITABLE : 0) | (reads ? KF__READABLE : 0));
    }
    kf__timer_set(link->loop, &link->timer, kf__conn_deadline(&link->conn));
}

static void settle_task(struct kf__task *task)
{
    settle((struct kf__link *)(void *)((char *)task - offsetof(struct kf__link, settle)));
}

static void tick(struct kf__timer *timer, void *owner)
{
    (void)timer;
    struct kf__link *link = owner;
    kf__conn_tick(&link->conn, now_of(link));
    kf__link_stir(link);
}

void kf__link_stir(struct kf__link *link) { kf__loop_defer(link->loop, &link->settle); }

void kf__link_send(struct kf__link *link, struct kf__call *call)
{
    kf__conn_send(&link->conn, call);
    kf__link_stir(link);
}

/* ---- the whole ---- */

struct kf__link *kf__link_new(struct kf__loop *loop, const struct kf__conn_settings *settings,
                              const struct kf__conn_events *events, const char *peer,
                              const char *host, uint16_t port, int32_t node)
{
    struct kf__link *link = kf_alloc_zero(kf__loop_alloc(loop), sizeof *link);
    if (!link)
        return NULL;
    kf__conn_init(&link->conn, settings, events, peer, host, node);
    link->loop = loop;
    link->host = host;
    link->port = port;
    link->watch.fd = -1;
    link->settle.run = settle_task;
    kf__timer_init(&link->timer, tick, link);
    return link;
}

void kf__link_free(struct kf__link *link, kf_err err)
{
    if (!link)
        return;
    kf__timer_cancel(link->loop, &link->timer);
    kf__loop_undefer(link->loop, &link->settle);
    kf__conn_part(&link->conn);
    close_socket(link);
    drop_addresses(link);
    if (link->resolving)
        link->resolving->link = NULL;
    kf__conn_free(&link->conn, err);
    kf__loop_undefer(link->loop, &link->settle);
    kf_free(kf__loop_alloc(link->loop), link);
}
