#include "tools/broker/instrument/memory.h"

#include "net/loop/backend.h"

#include "tools/broker/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

enum {
    FIRST_DESCRIPTOR = 1 << 20, /* beyond any real one */
    QUEUE_BYTES = 1 << 20,      /* more waits at the sender's, as in a socket's buffer */
    FIRST_QUEUE_BYTES = 4 << 10,
};

/* ---- queues ---- */

static size_t held(const struct kf__queue *queue) { return queue->used - queue->start; }

static size_t room(const struct kf__queue *queue)
{
    size_t now = held(queue);
    return now < QUEUE_BYTES ? QUEUE_BYTES - now : 0;
}

static bool reserve(const kf_allocator *alloc, struct kf__queue *queue, size_t size)
{
    if (queue->start > 0 && queue->used + size > queue->capacity) {
        queue->used -= queue->start;
        memmove(queue->bytes, queue->bytes + queue->start, queue->used);
        queue->start = 0;
    }
    size_t capacity = queue->capacity ? queue->capacity : FIRST_QUEUE_BYTES;
    while (capacity < queue->used + size)
        capacity *= 2;
    if (capacity == queue->capacity)
        return true;
    uint8_t *bytes = kf_realloc(alloc, queue->bytes, capacity);
    if (!bytes)
        return false;
    queue->bytes = bytes;
    queue->capacity = capacity;
    return true;
}

/* As much as there is room for; 0: none, or no memory. */
static size_t put(const kf_allocator *alloc, struct kf__queue *queue, const struct iovec *parts,
                  size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = parts[i].iov_len < room(queue) ? parts[i].iov_len : room(queue);
        if (size > 0 && !reserve(alloc, queue, size))
            break;
        if (size > 0)
            memcpy(queue->bytes + queue->used, parts[i].iov_base, size);
        queue->used += size;
        total += size;
        if (size < parts[i].iov_len)
            break;
    }
    return total;
}

static size_t get(struct kf__queue *queue, void *bytes, size_t size, bool peek)
{
    if (size > held(queue))
        size = held(queue);
    if (size > 0)
        memcpy(bytes, queue->bytes + queue->start, size);
    if (!peek)
        queue->start += size;
    if (queue->start == queue->used)
        queue->start = queue->used = 0;
    return size;
}

/* ---- pipes ---- */

static void free_pipe(const struct kf__memory *memory, struct kf__pipe *pipe)
{
    kf_free(memory->alloc, pipe->to_broker.bytes);
    kf_free(memory->alloc, pipe->to_client.bytes);
    kf_free(memory->alloc, pipe);
}

/* Gone when both have closed it. */
static void release(struct kf__memory *memory, struct kf__pipe *pipe)
{
    memory->moves++;
    if (!pipe->client_closed || !pipe->broker_closed)
        return;
    for (size_t i = 0; i < memory->count; i++)
        if (memory->pipes[i] == pipe)
            memory->pipes[i] = NULL;
    free_pipe(memory, pipe);
}

/* Its descriptor; -1: no memory. */
static int new_pipe(struct kf__memory *memory, struct kf__pipe **pipe)
{
    size_t at = 0;
    while (at < memory->count && memory->pipes[at])
        at++;
    if (at == memory->count) {
        struct kf__pipe **pipes =
            kf_realloc(memory->alloc, memory->pipes, (at + 1) * sizeof(*pipes));
        if (!pipes)
            return -1;
        memory->pipes = pipes;
        memory->count++;
    }
    memory->pipes[at] = *pipe = kf_alloc_zero(memory->alloc, sizeof **pipe);
    return *pipe ? FIRST_DESCRIPTOR + (int)at : -1;
}

static struct kf__pipe *pipe_of(const struct kf__memory *memory, int fd)
{
    size_t at = (size_t)(fd - FIRST_DESCRIPTOR);
    return fd >= FIRST_DESCRIPTOR && at < memory->count ? memory->pipes[at] : NULL;
}

/* ---- the broker's side ---- */

ssize_t kf__pipe_receive(struct kf__memory *memory, struct kf__pipe *pipe, void *bytes, size_t size,
                         bool peek)
{
    size_t got = get(&pipe->to_broker, bytes, size, peek);
    if (got > 0 && !peek)
        memory->moves++;
    if (got > 0 || pipe->client_closed)
        return (ssize_t)got;
    errno = EAGAIN;
    return -1;
}

ssize_t kf__pipe_send(struct kf__memory *memory, struct kf__pipe *pipe, const struct iovec *parts,
                      size_t count)
{
    if (pipe->client_closed) {
        errno = EPIPE;
        return -1;
    }
    size_t sent = put(memory->alloc, &pipe->to_client, parts, count);
    if (sent == 0 && count > 0) {
        errno = EAGAIN;
        return -1;
    }
    memory->moves++;
    return (ssize_t)sent;
}

int kf__pipe_ready(const struct kf__pipe *pipe)
{
    if (pipe->client_closed)
        return KF__READABLE | KF__WRITABLE | KF__HANGUP;
    return (held(&pipe->to_broker) > 0 ? KF__READABLE : 0) |
           (room(&pipe->to_client) > 0 ? KF__WRITABLE : 0);
}

void kf__pipe_close(struct kf__memory *memory, struct kf__pipe *pipe)
{
    pipe->broker_closed = true;
    release(memory, pipe);
}

/* ---- the client's side: its world ---- */

static kf_time world_now(void *context) { return kf__broker_now(context); }

static int64_t world_wall_ms(void *context) { return kf__broker_wall_ms(context); }

static uint64_t world_random(void *context)
{
    struct kf_broker *broker = context;
    uint64_t x = (broker->memory.random += UINT64_C(0x9E3779B97F4A7C15));
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static int32_t node_of(const struct kf_broker *broker, const struct kf__address *address)
{
    struct sockaddr_in to;
    memcpy(&to, &address->storage, sizeof to);
    for (int32_t node = 1; node <= broker->topics.node_count; node++)
        if (broker->server.nodes[node].ports[0].number == ntohs(to.sin_port))
            return broker->server.nodes[node].listens ? node : -1;
    return -1;
}

static int world_connect(void *context, const struct kf__address *address, int *error)
{
    struct kf_broker *broker = context;
    pthread_mutex_lock(&broker->lock);
    struct kf__pipe *pipe = NULL;
    int32_t node = node_of(broker, address);
    int fd = node < 0 ? -1 : new_pipe(&broker->memory, &pipe);
    *error = node < 0 ? ECONNREFUSED : ENOMEM;
    if (fd >= 0 && !kf__server_accept_pipe(broker, node, pipe)) {
        pipe->client_closed = true;
        kf__pipe_close(&broker->memory, pipe);
        fd = -1;
    }
    broker->memory.moves++;
    pthread_mutex_unlock(&broker->lock);
    return fd;
}

static int world_connect_result(void *context, int fd)
{
    const struct kf_broker *broker = context;
    const struct kf__pipe *pipe = pipe_of(&broker->memory, fd);
    return !pipe || pipe->broker_closed ? ECONNRESET : 0;
}

static ssize_t world_receive(void *context, int fd, void *bytes, size_t size, int *error)
{
    struct kf_broker *broker = context;
    struct kf__pipe *pipe = pipe_of(&broker->memory, fd);
    size_t got = pipe ? get(&pipe->to_client, bytes, size, false) : 0;
    *error = 0;
    broker->memory.moves += got > 0;
    if (got > 0 || !pipe || pipe->broker_closed)
        return (ssize_t)got;
    *error = EAGAIN;
    return -1;
}

static ssize_t world_send(void *context, int fd, const struct iovec *parts, int count, int *error)
{
    struct kf_broker *broker = context;
    struct kf__pipe *pipe = pipe_of(&broker->memory, fd);
    *error = EPIPE;
    if (!pipe || pipe->broker_closed)
        return -1;
    size_t sent = put(broker->alloc, &pipe->to_broker, parts, (size_t)count);
    *error = sent > 0 ? 0 : EAGAIN;
    broker->memory.moves += sent > 0;
    return sent > 0 ? (ssize_t)sent : -1;
}

static void world_close(void *context, int fd)
{
    struct kf_broker *broker = context;
    struct kf__pipe *pipe = pipe_of(&broker->memory, fd);
    if (!pipe)
        return;
    pipe->client_closed = true;
    release(&broker->memory, pipe);
}

/* Every name is this machine's: the port says which node is meant. */
static kf_err world_resolve(void *context, const char *host, uint16_t port,
                            struct kf__address *addresses, size_t *count)
{
    (void)context;
    (void)host;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(addresses, 0, sizeof *addresses);
    memcpy(&addresses->storage, &to, sizeof to);
    addresses->size = sizeof to;
    *count = 1;
    return KF_OK;
}

static int world_ready(void *context, int fd, int wanted)
{
    const struct kf_broker *broker = context;
    const struct kf__pipe *pipe = pipe_of(&broker->memory, fd);
    if (!pipe)
        return 0;
    int ready = pipe->broker_closed ? KF__READABLE | KF__WRITABLE : 0;
    ready |= held(&pipe->to_client) > 0 ? KF__READABLE : 0;
    ready |= room(&pipe->to_broker) > 0 ? KF__WRITABLE : 0;
    return ready & wanted;
}

/* The client would sleep: the broker has its turn, and where that is at rest too, time passes. */
static void world_pass(void *context, int timeout_ms)
{
    struct kf_broker *broker = context;
    kf_time until = timeout_ms < 0 ? KF_FOREVER : broker->virtual_now + timeout_ms * KF_MILLISECOND;
    kf__broker_pass(broker, until);
}

/* ---- the whole ---- */

void kf__memory_init(struct kf__memory *memory, struct kf_broker *broker, const kf_allocator *alloc,
                     uint64_t seed)
{
    *memory = (struct kf__memory){
        .alloc = alloc,
        .random = seed,
        .world =
            {
                .context = broker,
                .now = world_now,
                .wall_ms = world_wall_ms,
                .random = world_random,
                .connect = world_connect,
                .connect_result = world_connect_result,
                .receive = world_receive,
                .send = world_send,
                .close = world_close,
                .resolve = world_resolve,
                .ready = world_ready,
                .pass = world_pass,
            },
    };
}

void kf__memory_free(struct kf__memory *memory)
{
    for (size_t i = 0; i < memory->count; i++)
        if (memory->pipes[i])
            free_pipe(memory, memory->pipes[i]);
    kf_free(memory->alloc, memory->pipes);
    memory->pipes = NULL;
    memory->count = 0;
}
