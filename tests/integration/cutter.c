/*
 * cutter: a proxy in front of a cluster that cuts connections in the middle of
 * Produce answers.
 *
 *     integration_cutter EVERY BROKER_PORT:PORT...
 *
 *     client ──▶ PORT ──▶ BROKER_PORT     every EVERY-th Produce answer, counted over all
 *            ◀── half of it ──┘           connections, is cut and both sides are closed
 *
 * What the brokers say of their addresses names the proxy's ports. One process
 * for each connection; all on loopback. Says "ready" once it listens.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <kafiber/relay.h>

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_PORTS = 16,
    PRODUCE = 0, /* api key */
};

static struct {
    int broker, own;
} ports[MAX_PORTS];
static int port_count;
static long every;
static atomic_long *answers; /* shared by all processes */

/* ---- one connection ---- */

static void rename_port(const kf_field *field, void *value, void *context)
{
    (void)context;
    if (strcmp(field->name, "port") != 0 || field->type != KF_FIELD_INT32)
        return;
    for (int i = 0; i < port_count; i++)
        if (ports[i].broker == *(int32_t *)value) {
            *(int32_t *)value = ports[i].own;
            return;
        }
}

static void look(struct kf_passing *passing, void *context)
{
    bool *cut = context;
    if (passing->request)
        return;
    if (kf_schema_api_key(passing->schema) == PRODUCE)
        *cut |= (atomic_fetch_add(answers, 1) + 1) % every == 0;
    kf_visit_values(passing->schema, passing->message, rename_port, NULL);
}

static bool write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n <= 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

static void serve(int client, int broker)
{
    static char bytes[1 << 16];
    bool cut = false;
    kf_writer out;
    kf_writer_init(&out, &kf_default_allocator);
    kf_relay *relay = kf_relay_open(&kf_default_allocator, look, &cut);
    struct pollfd sides[2] = {{client, POLLIN, 0}, {broker, POLLIN, 0}};
    for (int from = 0; poll(sides, 2, -1) > 0; from = !from) {
        if (!sides[from].revents)
            continue;
        ssize_t got = read(sides[from].fd, bytes, sizeof bytes);
        kf_relay_side side = from ? KF_FROM_BROKER : KF_FROM_CLIENT;
        if (got <= 0 || kf_relay_feed(relay, side, bytes, (size_t)got, &out))
            return;
        if (!write_all(sides[!from].fd, out.bytes, cut ? out.used / 2 : out.used) || cut)
            return;
        kf_writer_reset(&out);
    }
}

/* ---- listening ---- */

static struct sockaddr_in at_port(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    at.sin_port = htons((uint16_t)port);
    return at;
}

static int listen_at(int port)
{
    struct sockaddr_in at = at_port(port);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 64)) {
        perror("cutter");
        exit(1);
    }
    return listener;
}

static void take_connection(int listener, int broker_port)
{
    int client = accept(listener, NULL, NULL);
    if (client >= 0 && fork() == 0) {
        struct sockaddr_in at = at_port(broker_port);
        int broker = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(broker, (struct sockaddr *)&at, sizeof at) == 0)
            serve(client, broker);
        _exit(0);
    }
    if (client >= 0)
        close(client);
}

int main(int argc, char **argv)
{
    struct pollfd listeners[MAX_PORTS];
    every = argc > 2 ? atol(argv[1]) : 0;
    for (int i = 2; i < argc && port_count < MAX_PORTS; i++, port_count++)
        if (sscanf(argv[i], "%d:%d", &ports[port_count].broker, &ports[port_count].own) != 2)
            every = 0;
    if (every <= 0)
        return fprintf(stderr, "integration_cutter EVERY BROKER_PORT:PORT...\n"), 2;
    answers =
        mmap(NULL, sizeof *answers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (answers == MAP_FAILED)
        return perror("cutter"), 1;
    for (int i = 0; i < port_count; i++)
        listeners[i] = (struct pollfd){listen_at(ports[i].own), POLLIN, 0};
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    puts("ready");
    fflush(stdout);
    while (poll(listeners, (nfds_t)port_count, -1) > 0)
        for (int i = 0; i < port_count; i++)
            if (listeners[i].revents)
                take_connection(listeners[i].fd, ports[i].broker);
    return 0;
}
