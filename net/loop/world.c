/*
 * world: the real one: POSIX sockets, clocks and threads.
 *
 * The only file of the library that makes these system calls, apart from the
 * loop's back-ends. Keeps no state but the random generator's counter.
 */
#include "net/loop/world.h"

#include "net/loop/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static kf_time real_now(void *context)
{
    (void)context;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (kf_time)time.tv_sec * KF_SECOND + time.tv_nsec;
}

static int64_t real_wall_ms(void *context)
{
    (void)context;
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* splitmix64 over a shared counter: thread-safe without a lock. */
static uint64_t real_random(void *context)
{
    (void)context;
    static atomic_uint_fast64_t counter;
    const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);

    if (atomic_load_explicit(&counter, memory_order_relaxed) == 0) {
        uint64_t seed = 0;
        if (getentropy(&seed, sizeof seed) || seed == 0)
            seed = (uint64_t)real_now(NULL) ^ ((uint64_t)getpid() << 32) ^ 1;
        uint_fast64_t none = 0;
        atomic_compare_exchange_strong(&counter, &none, seed);
    }
    uint64_t value = atomic_fetch_add_explicit(&counter, step, memory_order_relaxed) + step;
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static int open_socket(int family, int *error)
{
#ifdef SOCK_CLOEXEC
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
#endif
    if (fd < 0) {
        *error = errno;
        return -1;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    return fd;
}

static int real_connect(void *context, const struct kf__address *address, int *error)
{
    (void)context;
    int fd = open_socket(address->storage.ss_family, error);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&address->storage, address->size) == 0 ||
        errno == EINPROGRESS || errno == EINTR)
        return fd;
    *error = errno;
    close(fd);
    return -1;
}

static int real_connect_result(void *context, int fd)
{
    (void)context;
    int result = 0;
    socklen_t size = sizeof result;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size) ? errno : result;
}

static ssize_t real_receive(void *context, int fd, void *bytes, size_t size, int *error)
{
    (void)context;
    ssize_t got;
    do
        got = recv(fd, bytes, size, 0);
    while (got < 0 && errno == EINTR);
    *error = got < 0 ? errno : 0;
    return got;
}

static ssize_t real_send(void *context, int fd, const struct iovec *parts, int count, int *error)
{
    (void)context;
#ifdef MSG_NOSIGNAL
    const int flags = MSG_NOSIGNAL;
#else
    const int flags = 0;
#endif
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = (struct iovec *)parts;    /* sendmsg does not write there */
    message.msg_iovlen = (unsigned short)count; /* size_t in glibc, int in POSIX and musl */
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, flags);
    while (sent < 0 && errno == EINTR);
    *error = sent < 0 ? errno : 0;
    return sent;
}

static void real_close(void *context, int fd)
{
    (void)context;
    close(fd);
}

static kf_err real_resolve(void *context, const char *host, uint16_t port,
                           struct kf__address *addresses, size_t *count)
{
    (void)context;
    *count = 0;
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    /* No AI_ADDRCONFIG: it hides loopback addresses on machines without a network. */
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    hints.ai_flags = AI_NUMERICSERV;

    struct addrinfo *list = NULL;
    if (getaddrinfo(host, service, &hints, &list))
        return KF_ERR_NAME_NOT_RESOLVED;
    for (struct addrinfo *one = list; one && *count < KF__MAX_ADDRESSES; one = one->ai_next) {
        if (one->ai_addrlen > sizeof addresses->storage)
            continue;
        memcpy(&addresses[*count].storage, one->ai_addr, one->ai_addrlen);
        addresses[*count].size = one->ai_addrlen;
        ++*count;
    }
    freeaddrinfo(list);
    return *count ? KF_OK : KF_ERR_NAME_NOT_RESOLVED;
}

struct start {
    void (*run)(void *argument);
    void *argument;
};

static void *begin(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    start.run(start.argument);
    return NULL;
}

static kf_err real_start_thread(void *context, void (*run)(void *argument), void *argument)
{
    (void)context;
    struct start *start = malloc(sizeof *start);
    if (!start)
        return KF_ERR_NO_MEMORY;
    *start = (struct start){run, argument};

    kf_err err = kf__thread_detach(begin, start);
    if (err)
        free(start);
    return err;
}

const struct kf__world kf__real_world = {
    .now = real_now,
    .wall_ms = real_wall_ms,
    .random = real_random,
    .connect = real_connect,
    .connect_result = real_connect_result,
    .receive = real_receive,
    .send = real_send,
    .close = real_close,
    .resolve = real_resolve,
    .start_thread = real_start_thread,
};
