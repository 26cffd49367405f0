/*
 * rename_proxy: shows clients a topic of a broker under another name.
 *
 *   rename_proxy 9092 9192 orders legacy-orders
 *
 * A client of port 9192 that says "orders" reaches "legacy-orders" of the broker on port 9092, by
 * every API that there is: fields are found by their names in the rows. One broker, on loopback.
 */
#include <arpa/inet.h>
#include <kafiber/relay.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *ours, *brokers; /* the topic's names */
static int port;                   /* ours, which answers shall name */

static void rename_value(const kf_field *field, void *value, void *is_request)
{
    const bool request = *(bool *)is_request;
    const char *from = request ? ours : brokers, *to = request ? brokers : ours;
    kf_string *text = value;
    if (strcmp(field->name, "port") == 0 && field->type == KF_FIELD_INT32)
        *(int32_t *)value = port;
    if (field->type == KF_FIELD_STRING && text->size == strlen(from) &&
        (strcmp(field->name, "name") == 0 || strstr(field->name, "topic")) &&
        memcmp(text->data, from, text->size) == 0)
        *text = (kf_string){to, strlen(to)};
}

static void rename_topics(struct kf_passing *passing, void *context)
{
    (void)context;
    kf_visit_values(passing->schema, passing->message, rename_value, &passing->request);
}

static void serve(int client, int broker)
{
    static char bytes[1 << 16];
    kf_writer out;
    kf_writer_init(&out, &kf_default_allocator);
    kf_relay *relay = kf_relay_open(&kf_default_allocator, rename_topics, NULL);
    struct pollfd sides[2] = {{client, POLLIN, 0}, {broker, POLLIN, 0}};
    for (int from = 0; poll(sides, 2, -1) > 0; from = !from) {
        if (!sides[from].revents)
            continue;
        ssize_t got = read(sides[from].fd, bytes, sizeof bytes), sent = 0, n;
        kf_relay_side side = from ? KF_FROM_BROKER : KF_FROM_CLIENT;
        if (got <= 0 || kf_relay_feed(relay, side, bytes, (size_t)got, &out))
            return;
        for (; sent < (ssize_t)out.used; sent += n)
            if ((n = write(sides[!from].fd, out.bytes + sent, out.used - (size_t)sent)) <= 0)
                return;
        kf_writer_reset(&out);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return fprintf(stderr, "usage: rename_proxy BROKER_PORT PORT TOPIC BROKERS_TOPIC\n"), 2;
    port = atoi(argv[2]), ours = argv[3], brokers = argv[4];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    at.sin_port = htons((uint16_t)port);
    int listener = socket(AF_INET, SOCK_STREAM, 0), broker = -1, client = -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16))
        return perror("rename_proxy"), 1;
    signal(SIGCHLD, SIG_IGN);
    at.sin_port = htons((uint16_t)atoi(argv[1]));
    while ((client = accept(listener, NULL, NULL)) >= 0 && fork() != 0)
        close(client); /* a process for each connection */
    broker = socket(AF_INET, SOCK_STREAM, 0);
    if (client >= 0 && connect(broker, (struct sockaddr *)&at, sizeof at) == 0)
        serve(client, broker);
    return 0;
}
