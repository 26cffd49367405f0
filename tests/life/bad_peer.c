/*
 * bad_peer: a group member whose bootstrap server is no Kafka broker: nobody
 * listens, the connection closes at once, nothing is said; a TLS or HTTP
 * server or noise answers. Each time one line names the address and what came
 * back. The former may pass, so the member keeps trying until it is stopped;
 * the latter end the run, unless another bootstrap server is a broker.
 */
#include <kafiber/broker.h>
#include <kafiber/kafiber.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 30000, /* generous: Valgrind, an emulated processor, a busy machine */
    STEP_MS = 20,
    RECORDS = 10,
};

/* What stands at the other end of the connection. */
struct peer {
    const char *name;
    const char *answer; /* NULL: accepts and says nothing */
    size_t size;
    bool closed;        /* nobody listens */
    const char *expect; /* words of the line */
    kf_err end;         /* what the run gives */
};

#define TLS_ALERT  "\x15\x03\x03\x00\x02\x02\x46"
#define HTTP       "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
#define NOISE      "\x00\x00\x00\x08\xde\xad\xbe\xef\x01\x02\x03\x04"
#define HUGE_FRAME "\x7f\xff\xff\xff\x00\x00\x00\x01"

static const struct peer peers[] = {
    {.name = "nobody listens", .closed = true, .expect = "Connection refused"},
    {.name = "closes at once", .answer = "", .expect = "closed the connection"},
    {.name = "says nothing", .expect = "socket.connection.setup.timeout.ms"},
    {"a TLS server", TLS_ALERT, sizeof TLS_ALERT - 1, false, "expects TLS", KF_ERR_TLS_EXPECTED},
    {"an HTTP server", HTTP, sizeof HTTP - 1, false, "an HTTP server", KF_ERR_NOT_KAFKA},
    {"noise", NOISE, sizeof NOISE - 1, false, "not Kafka's protocol", KF_ERR_NOT_KAFKA},
    {"a huge frame", HUGE_FRAME, sizeof HUGE_FRAME - 1, false, "not Kafka's protocol",
     KF_ERR_NOT_KAFKA},
};

static int listener = -1;
static char address[32];
static const struct peer *present;

static void *serve(void *unused)
{
    (void)unused;
    int fds[256];
    size_t count = 0;
    for (int fd; count < 256 && (fd = accept(listener, NULL, NULL)) >= 0;) {
        if (!present->answer) {
            fds[count++] = fd;
            continue;
        }
        char request[512];
        if (present->size > 0 && recv(fd, request, sizeof request, 0) > 0)
            send(fd, present->answer, present->size, MSG_NOSIGNAL);
        close(fd);
    }
    while (count > 0)
        close(fds[--count]);
    return NULL;
}

static void listen_somewhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (void *)&at, size) != 0 ||
        getsockname(listener, (void *)&at, &size) != 0)
        exit(1);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
    if (!present->closed && listen(listener, 64) != 0)
        exit(1);
}

/* ---- what the member says ---- */

static _Atomic int lines; /* that name the address and what came back */
static _Atomic int handled;

static void hear(void *context, const kf_log_event *event)
{
    (void)context;
    printf("    %s: %s\n", event->name, event->text);
    if (event->level <= KF_LOG_WARNING && strstr(event->text, address) &&
        strstr(event->text, present->expect))
        atomic_fetch_add(&lines, 1);
}

static kf_verdict handle(const kf_message *message, void *context)
{
    (void)message;
    (void)context;
    atomic_fetch_add(&handled, 1);
    return KF_HANDLED;
}

static bool wait_until(_Atomic int *number, int wanted)
{
    const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    for (int waited = 0; waited < PATIENCE_MS && atomic_load(number) < wanted; waited += STEP_MS)
        nanosleep(&step, NULL);
    return atomic_load(number) >= wanted;
}

static kf_runtime *start_member(const char *servers, kf_error *error)
{
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", servers, error);
    kf_config_set(config, "group.id", "strangers", error);
    kf_config_set(config, "socket.connection.setup.timeout.ms", "1000", error);
    kf_config_log(config, KF_LOG_INFO, hear, NULL);
    kf_runtime *runtime = kf_runtime_new(config, error);
    kf_config_free(config);
    kf_runtime_handle(runtime, "orders", KF_AT_LEAST_ONCE, handle, NULL);
    kf_runtime_start(runtime, error);
    return runtime;
}

/* True where it ended as expected, soon after the stop. */
static bool stop_member(kf_runtime *runtime, kf_err wanted, kf_error *error)
{
    kf_time began = kf_now();
    kf_runtime_stop(runtime);
    kf_err end = kf_runtime_wait(runtime, error);
    kf_runtime_close(runtime);
    kf_time took = (kf_now() - began) / KF_MILLISECOND;
    if (end == wanted && took < PATIENCE_MS)
        return true;
    printf("    it ended with %d after %lld ms: %s\n", (int)end, (long long)took, error->text);
    return false;
}

static pthread_t begin(const struct peer *peer)
{
    pthread_t thread = pthread_self();
    present = peer;
    atomic_store(&lines, 0);
    listen_somewhere();
    if (!peer->closed && pthread_create(&thread, NULL, serve, NULL) != 0)
        exit(1);
    return thread;
}

static void end(pthread_t thread)
{
    shutdown(listener, SHUT_RDWR);
    if (!present->closed)
        pthread_join(thread, NULL);
    close(listener);
}

static bool meets(const struct peer *peer)
{
    kf_error error = KF_ERROR_INIT;
    printf("%s:\n", peer->name);
    pthread_t thread = begin(peer);
    kf_runtime *runtime = start_member(address, &error);
    bool fine = wait_until(&lines, 1);
    if (!fine)
        printf("    no line names %s and \"%s\"\n", address, peer->expect);
    fine = stop_member(runtime, peer->end, &error) && fine;
    if (peer->end && !strstr(error.text, peer->expect)) {
        printf("    the error does not say \"%s\": %s\n", peer->expect, error.text);
        fine = false;
    }
    end(thread);
    return fine;
}

/* The first bootstrap server is a stranger, the second one a broker. */
static bool finds_the_broker_beside(const struct peer *peer)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .thread = true};
    printf("%s, and a broker beside it:\n", peer->name);
    pthread_t thread = begin(peer);
    kf_broker *broker = kf_broker_start(&options, &error);
    bool fine = broker && kf_broker_create_topic(broker, "orders", 1, 1) == KF_OK;
    for (int i = 0; i < RECORDS; i++)
        kf_broker_produce(broker, "orders", 0, (kf_bytes){NULL, 0},
                          (kf_bytes){(const uint8_t *)"x", 1}, -1, NULL);

    char servers[128];
    snprintf(servers, sizeof servers, "%s,%s", address, kf_broker_bootstrap(broker));
    atomic_store(&handled, 0);
    kf_runtime *runtime = start_member(servers, &error);
    fine = wait_until(&handled, RECORDS) && fine;
    fine = stop_member(runtime, KF_OK, &error) && fine;
    if (kf_broker_committed(broker, "strangers", "orders", 0) != RECORDS)
        fine = false;
    if (!fine)
        printf("    %d handled\n", atomic_load(&handled));
    kf_broker_stop(broker);
    end(thread);
    return fine;
}

int main(void)
{
    bool fine = true;
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        fine = meets(&peers[i]) && fine;
        fine = finds_the_broker_beside(&peers[i]) && fine;
    }
    puts(fine ? "ok" : "FAILED");
    return fine ? 0 : 1;
}
