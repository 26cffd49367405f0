/* The server by both ways to wait for sockets: who is served, and who is let go. */
#include "broker/help_client.h"
#include "proto/batch/batch.h"
#include "tools/broker/state.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__) && defined(__LP64__)
#include <sys/syscall.h>

/* A wall clock that jumps an hour ahead when told to; whoever asks for another one gets that. */
static bool jumped;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long err = syscall(SYS_clock_gettime, clock, now);
    if (!err && clock == CLOCK_REALTIME && jumped)
        now->tv_sec += 3600;
    return (int)err;
}
#endif

enum {
    IDLE = 150,
    ROUNDS = 30,
    POLLERS = 20,
    PARTITIONS = 70,
};

static const enum kf__backend backends[] = {KF__BACKEND_AUTO, KF__BACKEND_POLL};
#define FOR_BOTH(i) for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)

TestSuite(server, .timeout = 120);

static kf_broker *broker;

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

static void open_broker(enum kf__backend backend, int32_t nodes, bool thread)
{
    kf_broker_options options = {.size = sizeof options, .nodes = nodes, .thread = thread};
    kf_error error = KF_ERROR_INIT;
    broker = kf__broker_start(&options, backend, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 1, 0), KF_OK));
}

static void open_client(struct client *client, int node)
{
    client_open(client, kf_broker_bootstrap(broker), node);
}

static void pause_ms(int ms)
{
    struct timespec time = {.tv_nsec = ms * 1000000L};
    nanosleep(&time, NULL);
}

static void await_connections(int32_t count)
{
    while (kf_broker_connections(broker) != count)
        pause_ms(1);
}

static void send_ask(struct client *client)
{
    struct kf_api_versions_request request;
    kf_reset(&kf_schema_of_api_versions_request, &request);
    client_send(client, KF_API_API_VERSIONS, 0, &request);
}

static void take_answer(struct client *client)
{
    struct kf_api_versions_response response;
    cr_assert(client_receive(client));
    cr_assert(eq(int, client_decode(client, KF_API_API_VERSIONS, 0, &response), KF_OK));
    cr_assert(eq(i16, response.error_code, 0));
}

static void ask(struct client *client)
{
    send_ask(client);
    take_answer(client);
}

/* A long poll. */
static void send_fetch_of(struct client *client, const char *name, int32_t index, int64_t offset,
                          int32_t max_wait_ms)
{
    struct kf_fetch_request_fetch_partition partition = {.partition = index,
                                                         .fetch_offset = offset,
                                                         .current_leader_epoch = -1,
                                                         .partition_max_bytes = 1000,
                                                         .log_start_offset = -1};
    struct kf_fetch_request_fetch_topic topic = {.topic = text(name)};
    struct kf_fetch_request request;
    kf_reset(&kf_schema_of_fetch_request, &request);
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    request.max_wait_ms = max_wait_ms;
    request.min_bytes = 1;
    request.max_bytes = 1000;
    client_send(client, KF_API_FETCH, 12, &request);
}

static void send_fetch(struct client *client, int32_t max_wait_ms)
{
    send_fetch_of(client, "orders", 0, 0, max_wait_ms);
}

static void await_requests(int16_t api, int64_t count)
{
    while (kf_broker_requests(broker, api) != count)
        pause_ms(1);
}

Test(server, answers_each_of_many)
{
    static struct client clients[IDLE];
    FOR_BOTH(i)
    {
        open_broker(backends[i], 1, true);
        for (int c = 0; c < IDLE; c++)
            open_client(&clients[c], 1);
        for (int c = IDLE - 1; c >= 0; c--)
            ask(&clients[c]);
        for (int c = 0; c < IDLE; c++)
            send_ask(&clients[c]);
        for (int c = 0; c < IDLE; c++)
            take_answer(&clients[c]);
        for (int c = 0; c < IDLE; c += 2) /* their slots are used again */
            client_close(&clients[c]);
        await_connections(IDLE / 2);
        for (int c = 0; c < IDLE; c += 2)
            open_client(&clients[c], 1);
        for (int c = 0; c < IDLE; c++)
            ask(&clients[c]);
        cr_assert(eq(i32, kf_broker_connections(broker), IDLE));
        for (int c = 0; c < IDLE; c++)
            client_close(&clients[c]);
        await_connections(0);
        kf_broker_stop(broker);
    }
}

Test(server, tells_all_who_wait_of_news)
{
    static struct client clients[POLLERS];
    FOR_BOTH(i)
    {
        open_broker(backends[i], 1, true);
        for (int c = 0; c < POLLERS; c++) {
            open_client(&clients[c], 1);
            send_fetch(&clients[c], 3600000);
            send_ask(&clients[c]); /* behind the long poll */
        }
        await_requests(KF_API_FETCH, POLLERS);
        cr_assert(eq(i64, kf_broker_requests(broker, KF_API_API_VERSIONS), 0));
        kf_broker_produce(broker, "orders", 0, (kf_bytes){0}, (kf_bytes){0}, 1, NULL);
        for (int c = 0; c < POLLERS; c++) {
            struct kf_fetch_response response;
            cr_assert(client_receive(&clients[c]));
            cr_assert(eq(int, client_decode(&clients[c], KF_API_FETCH, 12, &response), KF_OK));
            cr_assert(eq(i64, response.responses.items[0].partitions.items[0].high_watermark, 1));
            take_answer(&clients[c]);
            client_close(&clients[c]);
        }
        kf_broker_stop(broker);
    }
}

Test(server, ends_long_polls_in_time_and_goes_on_behind_them)
{
    FOR_BOTH(i)
    {
        struct client client;
        struct kf_fetch_response response;
        open_broker(backends[i], 1, true);
        open_client(&client, 1);
        send_fetch(&client, 50);
        send_fetch(&client, 0);
        send_ask(&client);
        for (int n = 0; n < 2; n++) {
            cr_assert(client_receive(&client));
            cr_assert(eq(int, client_decode(&client, KF_API_FETCH, 12, &response), KF_OK));
            cr_assert(eq(i64, response.responses.items[0].partitions.items[0].high_watermark, 0));
        }
        take_answer(&client);
        client_close(&client);
        kf_broker_stop(broker);
    }
}

/* Until the first connection has something to read that nobody reads. */
static void await_unread(void)
{
    bool waits = false;
    while (!waits) {
        pause_ms(1);
        pthread_mutex_lock(&broker->lock);
        const struct kf__connection *first = broker->server.slots[0].connection;
        waits = first && first->more_waits && first->wanted == KF__HANGUP;
        pthread_mutex_unlock(&broker->lock);
    }
}

/* A reset, not an end: something unread waits behind a request that would take an hour. */
Test(server, lets_go_of_who_hung_up_while_its_request_waits)
{
    FOR_BOTH(i)
    {
        struct client client;
        struct linger at_once = {.l_onoff = 1};
        open_broker(backends[i], 1, true);
        open_client(&client, 1);
        send_fetch(&client, 3600000);
        await_requests(KF_API_FETCH, 1);
        send_ask(&client);
        await_unread();
        setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        client_close(&client);
        await_connections(0);
        kf_broker_stop(broker);
    }
}

Test(server, reads_what_came_during_a_pause_when_it_ends)
{
    FOR_BOTH(i)
    {
        struct client waits, comes;
        open_broker(backends[i], 1, true);
        open_client(&waits, 1);
        ask(&waits);
        kf_broker_pause(broker);
        send_ask(&waits);
        open_client(&comes, 1);
        send_ask(&comes);
        await_connections(2);
        cr_assert(eq(i64, kf_broker_requests(broker, KF_API_API_VERSIONS), 1));
        kf_broker_resume(broker);
        take_answer(&waits);
        take_answer(&comes);
        client_close(&waits);
        client_close(&comes);
        kf_broker_stop(broker);
    }
}

/* The thread waits in the system when the node's sockets go. */
Test(server, stops_and_starts_a_node_again_and_again)
{
    FOR_BOTH(i)
    {
        struct client other, one;
        open_broker(backends[i], 2, true);
        open_client(&other, 2);
        for (int round = 0; round < ROUNDS; round++) {
            open_client(&one, 1);
            ask(&one);
            cr_assert(eq(int, kf_broker_stop_node(broker, 1), KF_OK));
            cr_assert(eq(i32, kf_broker_connections(broker), 1));
            cr_assert(not(client_receive(&one)));
            client_close(&one);
            cr_assert(eq(int, kf_broker_start_node(broker, 1), KF_OK));
            ask(&other);
        }
        open_client(&one, 1);
        ask(&one);
        kf_broker_close_connections(broker);
        cr_assert(eq(i32, kf_broker_connections(broker), 0));
        cr_assert(not(client_receive(&one)));
        cr_assert(not(client_receive(&other)));
        client_close(&one);
        client_close(&other);
        kf_broker_stop(broker);
    }
}

static void produce(struct client *client, const char *topic, int32_t index)
{
    cr_assert(eq(i16, client_produce(client, topic, index, (kf_bytes){0}), 0));
}

/* Each of the marks that partitions may have, some of them twice. */
Test(server, answers_a_long_poll_when_its_own_partition_has_news)
{
    struct client client, producer;
    int64_t ends[PARTITIONS] = {0};
    open_broker(KF__BACKEND_AUTO, 1, true);
    cr_assert(eq(int, kf_broker_create_topic(broker, "many", PARTITIONS, 1), KF_OK));
    open_client(&client, 1);
    open_client(&producer, 1);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct kf_fetch_response response;
        int32_t other = (p + 1) % PARTITIONS;
        send_fetch_of(&client, "many", p, ends[p], 3600000);
        await_requests(KF_API_FETCH, p + 1);
        produce(&producer, "many", other);
        produce(&producer, "orders", 0);
        produce(&producer, "many", p);
        ends[other]++;
        ends[p]++;
        cr_assert(client_receive(&client));
        cr_assert(eq(int, client_decode(&client, KF_API_FETCH, 12, &response), KF_OK));
        struct kf_fetch_response_partition_data *told =
            &response.responses.items[0].partitions.items[0];
        cr_assert(eq(i32, told->partition_index, p));
        cr_assert(eq(i64, told->high_watermark, ends[p]));
    }
    client_close(&client);
    client_close(&producer);
    kf_broker_stop(broker);
}

static void join(struct client *client, int32_t session_timeout_ms)
{
    struct kf_join_group_request_protocol protocol = {.name = text("range"),
                                                      .metadata = {(const uint8_t *)"", 0}};
    struct kf_join_group_request request;
    struct kf_join_group_response response;
    kf_reset(&kf_schema_of_join_group_request, &request);
    request.group_id = text("readers");
    request.session_timeout_ms = session_timeout_ms;
    request.rebalance_timeout_ms = session_timeout_ms;
    request.protocol_type = text("consumer");
    request.protocols.items = &protocol;
    request.protocols.count = 1;
    client_call(client, KF_API_JOIN_GROUP, 3, &request, &response);
    cr_assert(eq(i16, response.error_code, 0));
}

/* Others ask for nothing that has to do with groups. */
Test(server, ends_sessions_in_time_while_others_are_busy)
{
    struct client member, busy;
    kf_broker_options options = {
        .size = sizeof options, .thread = true, .group_min_session_timeout_ms = 1};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 1, 0), KF_OK));
    open_client(&member, 1);
    open_client(&busy, 1);
    join(&member, 50);
    cr_assert(eq(i32, kf_broker_group_members(broker, "readers", NULL), 1));
    while (kf_broker_group_members(broker, "readers", NULL) > 0) {
        send_fetch(&busy, 0);
        cr_assert(client_receive(&busy));
    }
    client_close(&member);
    client_close(&busy);
    kf_broker_stop(broker);
}

/* The lowest descriptor that is free. */
static int next_descriptor(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    close(fd);
    return fd;
}

/* Turns it until it has nothing to do. */
static void turn(void)
{
    for (int i = 0; i < 20; i++)
        cr_assert(eq(int, kf_broker_step(broker, 1), KF_OK));
}

Test(server, takes_who_waits_when_a_descriptor_is_free_again)
{
    FOR_BOTH(i)
    {
        struct client first, second;
        struct rlimit before, low;
        open_broker(backends[i], 1, false);
        open_client(&first, 1);
        turn();
        cr_assert(eq(i32, kf_broker_connections(broker), 1));
        getrlimit(RLIMIT_NOFILE, &before);
        low = before;
        low.rlim_cur = (rlim_t)next_descriptor() + 1; /* the client's own */
        setrlimit(RLIMIT_NOFILE, &low);
        open_client(&second, 1);
        send_ask(&second);
        turn();
        cr_assert(eq(i32, kf_broker_connections(broker), 1));
        cr_assert(broker->server.is_full);
        cr_assert(eq(int, broker->server.nodes[1].ports[0].wanted, 0), "it would spin");
        send_ask(&first);
        turn();
        take_answer(&first);
        client_close(&first);
        turn();
        cr_assert(eq(i32, kf_broker_connections(broker), 1));
        cr_assert(not(broker->server.is_full));
        take_answer(&second);
        setrlimit(RLIMIT_NOFILE, &before);
        client_close(&second);
        turn();
        cr_assert(eq(i32, kf_broker_connections(broker), 0));
        kf_broker_stop(broker);
    }
}

static void *turn_once(void *result)
{
    *(kf_err *)result = kf_broker_step(broker, -1);
    return NULL;
}

Test(server, has_one_thread_that_waits_and_others_that_come_back_in_time)
{
    FOR_BOTH(i)
    {
        pthread_t thread;
        kf_err waited = KF_ERR_STATE;
        bool waits = false;
        open_broker(backends[i], 1, false);
        turn();
        pthread_create(&thread, NULL, turn_once, &waited);
        while (!waits) {
            pause_ms(1);
            pthread_mutex_lock(&broker->lock);
            waits = broker->server.polls;
            pthread_mutex_unlock(&broker->lock);
        }
        cr_assert(eq(int, kf_broker_step(broker, 0), KF_OK));
        cr_assert(eq(int, kf_broker_step(broker, 10), KF_OK));
        kf_broker_wake(broker);
        pthread_join(thread, NULL);
        cr_assert(eq(int, waited, KF_OK));
        kf_broker_stop(broker);
    }
}

#if defined(__linux__) && defined(__LP64__)
Test(server, comes_back_in_time_whatever_the_wall_clock_does)
{
    pthread_t thread;
    kf_err waited = KF_ERR_STATE;
    bool waits = false;
    open_broker(KF__BACKEND_AUTO, 1, false);
    turn();
    pthread_create(&thread, NULL, turn_once, &waited);
    while (!waits) {
        pause_ms(1);
        pthread_mutex_lock(&broker->lock);
        waits = broker->server.polls;
        pthread_mutex_unlock(&broker->lock);
    }
    jumped = true; /* between asking for the time and waiting */
    cr_assert(eq(int, kf_broker_step(broker, 10), KF_OK));
    kf_broker_wake(broker);
    pthread_join(thread, NULL);
    kf_broker_stop(broker);
}
#endif

/* Of what nobody does anything with, nothing is left to look at. */
Test(server, has_nothing_to_do_for_connections_that_rest)
{
    static struct client clients[IDLE];
    open_broker(KF__BACKEND_AUTO, 1, false);
    cr_assert(
        eq(int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", "connections.max.idle.ms", "-1"),
           KF_OK)); /* else each has a timer */
    for (int c = 0; c < IDLE; c++) {
        open_client(&clients[c], 1);
        cr_assert(eq(int, kf_broker_step(broker, 1000), KF_OK));
    }
    turn();
    cr_assert(eq(i32, kf_broker_connections(broker), IDLE));
    cr_assert(kf__link_is_alone(&broker->server.stirred));
    cr_assert(kf__link_is_alone(&broker->server.parked));
    cr_assert(eq(sz, broker->server.timers.count, 0));
    send_fetch(&clients[7], 3600000);
    send_fetch(&clients[8], 3600000);
    turn();
    cr_assert(kf__link_is_alone(&broker->server.stirred));
    cr_assert(eq(sz, broker->server.timers.count, 2));
    client_close(&clients[7]);
    turn();
    cr_assert(eq(sz, broker->server.timers.count, 1));
    cr_assert(eq(i32, kf_broker_connections(broker), IDLE - 1));
    kf_broker_stop(broker);
    for (int c = 0; c < IDLE; c++)
        if (c != 7)
            client_close(&clients[c]);
}
