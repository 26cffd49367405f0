/*
 * kf broker: the embedded broker as a program, until SIGINT or SIGTERM.
 */
#include <kafiber/broker.h>

#include "tools/kf/broker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_TOPICS = 1000,
    EXIT_USAGE = 2,
};

static const char help[] =
    "usage: kf broker [--listen HOST:PORT] [--nodes N] [--topic NAME:PARTITIONS[:REPLICAS]]…\n"
    "                 [--journal FILE] [--script FILE] [--seed N] [--strict]\n"
    "                 [--snapshot FILE] [--save-snapshot FILE]\n"
    "                 [--max-bytes N] [--no-auto-create]\n"
    "\n"
    "A Kafka in memory, for tests. Prints one line of JSON when it accepts\n"
    "connections; ends on SIGINT or SIGTERM.\n"
    "\n"
    "  --listen     where the first node listens; port 0 picks one (127.0.0.1:9092)\n"
    "  --nodes      how many brokers the cluster has (1)\n"
    "  --topic      a topic that exists from the start; may be repeated\n"
    "  --journal    a file that gets a line of JSON for each request\n"
    "  --script     faults and events, a line each: on Fetch #3 answer REQUEST_TIMED_OUT\n"
    "  --seed       of ids and chances: equal seeds give equal ones\n"
    "  --strict     refuse legal bytes that no encoder of sense would send\n"
    "  --snapshot   begin with what this file holds\n"
    "  --save-snapshot  write it all to this file at the end\n"
    "  --max-bytes  the cap of all records together (1073741824)\n"
    "  --no-auto-create  topics are not made by asking for them\n"
    "\n"
    "  kf broker --listen 127.0.0.1:0 --topic orders:6\n"
    "  kf broker --nodes 3 --topic orders:6:3 --journal /tmp/requests.jsonl\n";

struct arguments {
    kf_broker_options options;
    const char *script;
    const char *snapshot;
    const char *save;
    const char *topics[MAX_TOPICS];
    int topic_count;
    bool help;
};

/* atomic: the handler reads it; wake is async-signal-safe. */
static kf_broker *volatile running;
static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number)
{
    int saved = errno;
    (void)signal_number;
    stop_asked = 1;
    if (running)
        kf_broker_wake(running);
    errno = saved;
}

static bool read_count(const char *text, long long most, long long *number)
{
    char *end = NULL;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return errno == 0 && *text && *end == 0 && *number >= 1 && *number <= most;
}

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "kf broker: %s%s%s\nTry kf broker --help\n", what, value ? ": " : "",
            value ? value : "");
    return EXIT_USAGE;
}

static int take_value(struct arguments *arguments, const char *name, const char *value)
{
    long long number;
    if (strcmp(name, "--listen") == 0) {
        arguments->options.listen = value;
    } else if (strcmp(name, "--journal") == 0) {
        arguments->options.journal = value;
    } else if (strcmp(name, "--script") == 0) {
        arguments->script = value;
    } else if (strcmp(name, "--snapshot") == 0) {
        arguments->snapshot = value;
    } else if (strcmp(name, "--save-snapshot") == 0) {
        arguments->save = value;
    } else if (strcmp(name, "--seed") == 0) {
        if (!read_count(value, INT64_MAX, &number))
            return usage("--seed is a number above 0, not", value);
        arguments->options.seed = (uint64_t)number;
    } else if (strcmp(name, "--nodes") == 0) {
        if (!read_count(value, 64, &number))
            return usage("--nodes is a number from 1 to 64, not", value);
        arguments->options.nodes = (int32_t)number;
    } else if (strcmp(name, "--max-bytes") == 0) {
        if (!read_count(value, INT64_MAX, &number))
            return usage("--max-bytes is a number above 0, not", value);
        arguments->options.max_bytes = (size_t)number;
    } else if (strcmp(name, "--topic") == 0) {
        if (arguments->topic_count == MAX_TOPICS)
            return usage("too many --topic", NULL);
        arguments->topics[arguments->topic_count++] = value;
    } else {
        return usage("unknown option", name);
    }
    return 0;
}

static int parse(int argc, char **argv, struct arguments *arguments)
{
    for (int i = 1; i < argc; i++) {
        char name[32];
        const char *equals = strchr(argv[i], '=');
        size_t size = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        if (size >= sizeof name)
            return usage("unknown option", argv[i]);
        memcpy(name, argv[i], size);
        name[size] = 0;
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
            arguments->help = true;
            return 0;
        }
        if (strcmp(name, "--no-auto-create") == 0) {
            arguments->options.no_auto_create = true;
            continue;
        }
        if (strcmp(name, "--strict") == 0) {
            arguments->options.strict = true;
            continue;
        }
        if (name[0] != '-')
            return usage("unexpected argument", argv[i]);
        if (!equals && i + 1 == argc)
            return usage("a value is missing after", name);
        int code = take_value(arguments, name, equals ? equals + 1 : argv[++i]);
        if (code)
            return code;
    }
    return 0;
}

/* NAME:PARTITIONS[:REPLICAS] */
static int create_topic(kf_broker *broker, const char *text)
{
    char name[256];
    long long partitions = 1, replicas = 1;
    const char *colon = strchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : strlen(text);
    if (size == 0 || size >= sizeof name)
        return usage("--topic is NAME:PARTITIONS[:REPLICAS], not", text);
    memcpy(name, text, size);
    name[size] = 0;
    if (colon) {
        char counts[32];
        int length = snprintf(counts, sizeof counts, "%s", colon + 1);
        char *second = strchr(counts, ':');
        if (second)
            *second++ = 0;
        if (length >= (int)sizeof counts || !read_count(counts, INT32_MAX, &partitions) ||
            (second && !read_count(second, INT32_MAX, &replicas)))
            return usage("--topic is NAME:PARTITIONS[:REPLICAS], not", text);
    }
    kf_err err = kf_broker_create_topic(broker, name, (int32_t)partitions, (int32_t)replicas);
    if (err) {
        fprintf(stderr, "kf broker: cannot create topic %s: %s\n", text, kf_err_text(err));
        return EXIT_USAGE;
    }
    return 0;
}

static int serve(kf_broker *broker, const struct arguments *arguments)
{
    kf_error error = KF_ERROR_INIT;
    if (arguments->snapshot && kf_broker_restore_file(broker, arguments->snapshot, &error)) {
        fprintf(stderr, "kf broker: %s\n", error.text);
        return EXIT_USAGE;
    }
    for (int i = 0; i < arguments->topic_count; i++) {
        int code = create_topic(broker, arguments->topics[i]);
        if (code)
            return code;
    }
    if (arguments->script && kf_broker_script_file(broker, arguments->script, &error)) {
        fprintf(stderr, "kf broker: %s\n", error.text);
        return EXIT_USAGE;
    }
    printf("{\"bootstrap\":\"%s\",\"cluster_id\":\"%s\",\"pid\":%ld}\n",
           kf_broker_bootstrap(broker), kf_broker_cluster_id(broker), (long)getpid());
    if (fflush(stdout) != 0) {
        fprintf(stderr, "kf broker: cannot write to stdout: %s\n", strerror(errno));
        return 1;
    }
    while (!stop_asked)
        if (kf_broker_step(broker, -1))
            return 1;
    if (arguments->save && kf_broker_snapshot_file(broker, arguments->save, &error)) {
        fprintf(stderr, "kf broker: %s\n", error.text);
        return 1;
    }
    return 0;
}

int kf__verb_broker(int argc, char **argv)
{
    struct arguments arguments = {
        .options = {.size = sizeof(kf_broker_options), .listen = "127.0.0.1:9092"}};
    int code = parse(argc, argv, &arguments);
    if (code)
        return code;
    if (arguments.help) {
        fputs(help, stdout);
        return 0;
    }
    struct sigaction action = {.sa_handler = ask_to_stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);

    kf_error error = KF_ERROR_INIT;
    kf_broker *broker = kf_broker_start(&arguments.options, &error);
    if (!broker) {
        kf_error_print(&error, stderr);
        return EXIT_USAGE;
    }
    running = broker;
    code = serve(broker, &arguments);
    running = NULL;
    kf_broker_stop(broker);
    return code;
}
