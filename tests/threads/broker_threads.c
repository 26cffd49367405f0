/*
 * broker_threads: what several threads may do to one embedded broker at once,
 * for the thread sanitizer: clients that come and go, nodes that stop and
 * start, calls from outside, and two threads that both turn it. By both ways
 * to wait for sockets.
 */
#include "tools/broker/state.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS = 3,
    ROUNDS = 60,
    LEAST_ANSWERS = 20, /* of each client, and then until the others are done */
};

static kf_broker *broker;
static atomic_bool clients_end, turners_end;
static atomic_int answers[CLIENTS];

static void check(bool fact, const char *what)
{
    if (fact)
        return;
    fprintf(stderr, "broker_threads: %s\n", what);
    exit(1);
}

static int connect_to(int node)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const char *at = kf_broker_bootstrap(broker);
    for (int i = 1; i < node; i++)
        at = strchr(at, ',') + 1;
    address.sin_port = htons((uint16_t)strtoul(strchr(at, ':') + 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* ApiVersions; false: the node hung up, or isn't there. */
static bool ask(int node)
{
    static const uint8_t request[] = {0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff};
    uint8_t size[4];
    int fd = connect_to(node);
    bool good = fd >= 0 && send(fd, request, sizeof request, MSG_NOSIGNAL) == sizeof request &&
                recv(fd, size, sizeof size, MSG_WAITALL) == sizeof size;
    if (fd >= 0)
        close(fd);
    return good;
}

static void *be_client(void *argument)
{
    atomic_int *mine = argument;
    for (int node = 1; !atomic_load(&clients_end) || atomic_load(mine) < LEAST_ANSWERS;
         node = 3 - node)
        if (ask(node))
            atomic_fetch_add(mine, 1);
    return NULL;
}

static void *turn_it(void *argument)
{
    (void)argument;
    while (!atomic_load(&turners_end))
        check(kf_broker_step(broker, 20) == KF_OK, "a turn failed");
    return NULL;
}

static void disturb(int round)
{
    check(kf_broker_stop_node(broker, 1) == KF_OK, "node 1 does not stop");
    check(!ask(1), "a stopped node answers");
    check(kf_broker_start_node(broker, 1) == KF_OK, "node 1 does not start");
    kf_broker_pause(broker);
    check(kf_broker_create_topic(broker, "short", 3, 1) == KF_OK, "no topic");
    check(kf_broker_produce(broker, "short", 0, (kf_bytes){0}, (kf_bytes){0}, 1, NULL) == KF_OK,
          "no record");
    check(kf_broker_delete_topic(broker, "short") == KF_OK, "the topic stays");
    kf_broker_resume(broker);
    if (round % 8 == 0)
        kf_broker_close_connections(broker);
}

static void open_broker(enum kf__backend backend, bool thread)
{
    kf_broker_options options = {.size = sizeof options, .nodes = 2, .thread = thread};
    kf_error error = KF_ERROR_INIT;
    broker = kf__broker_start(&options, backend, &error);
    check(broker != NULL, error.text);
    atomic_store(&clients_end, false);
    atomic_store(&turners_end, false);
    for (int i = 0; i < CLIENTS; i++)
        atomic_store(&answers[i], 0);
}

static void run(enum kf__backend backend, bool thread)
{
    pthread_t clients[CLIENTS], turners[2];
    open_broker(backend, thread);
    for (int i = 0; i < 2 && !thread; i++)
        check(pthread_create(&turners[i], NULL, turn_it, NULL) == 0, "no thread");
    for (int i = 0; i < CLIENTS; i++)
        check(pthread_create(&clients[i], NULL, be_client, &answers[i]) == 0, "no thread");
    for (int round = 0; round < ROUNDS; round++)
        disturb(round);
    for (int i = 0; i < CLIENTS; i++)
        while (atomic_load(&answers[i]) < LEAST_ANSWERS)
            usleep(1000);
    check(ask(1) && ask(2), "a node does not answer in the end");
    atomic_store(&clients_end, true);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    while (kf_broker_connections(broker) > 0)
        usleep(1000);
    atomic_store(&turners_end, true);
    for (int i = 0; i < 2 && !thread; i++)
        pthread_join(turners[i], NULL);
    kf_broker_stop(broker);
}

int main(void)
{
    static const enum kf__backend backends[] = {KF__BACKEND_AUTO, KF__BACKEND_POLL};
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        run(backends[i], true);
        run(backends[i], false);
    }
    puts("broker_threads: fine");
    return 0;
}
