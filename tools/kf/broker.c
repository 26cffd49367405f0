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
    MAX_CONFIGS = 1000,
    MAX_USERS = 1000,
    MAX_LISTENERS = 8,
    PATH_BYTES = 512,
    EXIT_USAGE = 2,
};

static const char help[] =
    "usage: kf broker [--listen HOST:PORT] [--nodes N] [--topic NAME:PARTITIONS[:REPLICAS]]…\n"
    "                 [--journal FILE] [--script FILE] [--seed N] [--strict]\n"
    "                 [--snapshot FILE] [--save-snapshot FILE]\n"
    "                 [--kafka-version V] [--config KEY=VALUE]… [--acls] [--super-users LIST]\n"
    "                 [--max-bytes N] [--memory-max N] [--racks LIST] [--no-auto-create]\n"
    "                 [--sasl-user NAME:PASSWORD]…\n"
    "                 [--sasl-mechanisms LIST] [--sasl-token-key FILE]\n"
    "                 [--sasl-unsecured-tokens] [--sasl-reauth-ms N]\n"
    "                 [--listener [NAME=]PROTOCOL://HOST:PORT]… [--tls-self-signed DIR]\n"
    "                 [--tls-keystore FILE] [--tls-truststore FILE] [--tls-password-file FILE]\n"
    "                 [--tls-client-auth WORD] [--principal-mapping RULES]\n"
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
    "  --kafka-version  whose APIs it advertises: 2.1, 2.8, 3.9, 4.0 … 4.4 (4.4)\n"
    "  --config     of all its brokers, as log.retention.ms=1000; may be repeated\n"
    "  --acls       nobody may do anything without an ACL\n"
    "  --super-users  who may do everything: User:admin;User:ANONYMOUS\n"
    "  --max-bytes  the cap of all records together (1073741824)\n"
    "  --memory-max the cap of all that the broker holds (--max-bytes and 1 GiB more)\n"
    "  --racks      of the nodes in order, as a,b,c: consumers are sent to theirs\n"
    "  --no-auto-create  topics are not made by asking for them\n"
    "  --listener   [NAME=]PROTOCOL://HOST:PORT in place of --listen; may be repeated. PROTOCOL "
    "is\n"
    "               PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL\n"
    "  --tls-self-signed   a directory that gets a test authority, certificates of it for this\n"
    "               broker and a client, and client.properties; the TLS listeners use it\n"
    "  --tls-keystore      private key and certificate chain, PEM or PKCS#12\n"
    "  --tls-truststore    whose client certificates are believed, PEM or PKCS#12\n"
    "  --tls-password-file a file with the password of the key store, or of its key\n"
    "  --tls-client-auth   none, requested or required: whether clients show a certificate (none)\n"
    "  --principal-mapping from a certificate's subject to a principal, as Kafka's\n"
    "               ssl.principal.mapping.rules (DEFAULT)\n"
    "  --sasl-user  who may authenticate by PLAIN or SCRAM; may be repeated. With this or a\n"
    "               source of tokens --listen is a SASL_PLAINTEXT listener\n"
    "  --sasl-mechanisms  what is offered: PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n"
    "  --sasl-token-key   the public key (PEM) that signs OAUTHBEARER's tokens\n"
    "  --sasl-unsecured-tokens  tokens without a signature are believed too\n"
    "  --sasl-reauth-ms   how long a session lasts: connections.max.reauth.ms\n"
    "\n"
    "  kf broker --listen 127.0.0.1:0 --topic orders:6\n"
    "  kf broker --nodes 3 --topic orders:6:3 --journal /tmp/requests.jsonl\n"
    "  kf broker --listener SSL://127.0.0.1:9093 --tls-self-signed /tmp/tls\n";

struct arguments {
    kf_broker_options options;
    const char *script;
    const char *snapshot;
    const char *save;
    const char *topics[MAX_TOPICS];
    const char *configs[MAX_CONFIGS];
    int config_count;
    int topic_count;
    const char *users[MAX_USERS];
    const char *listeners[MAX_LISTENERS];
    const char *self_signed; /* NULL: no certificates are made */
    char keystore[PATH_BYTES];
    char truststore[PATH_BYTES];
    char password[256];
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

static int take_sasl(struct arguments *arguments, const char *name, const char *value)
{
    kf_broker_sasl *sasl = &arguments->options.sasl;
    long long number;
    if (strcmp(name, "--sasl-user") == 0) {
        if (sasl->user_count == MAX_USERS)
            return usage("too many --sasl-user", NULL);
        arguments->users[sasl->user_count++] = value;
        sasl->users = arguments->users;
        sasl->required = true;
    } else if (strcmp(name, "--sasl-mechanisms") == 0) {
        sasl->mechanisms = value;
        sasl->required = true;
    } else if (strcmp(name, "--sasl-token-key") == 0) {
        sasl->token_key = value;
        sasl->required = true;
    } else if (strcmp(name, "--sasl-reauth-ms") == 0) {
        if (!read_count(value, INT32_MAX, &number))
            return usage("--sasl-reauth-ms is a number above 0, not", value);
        sasl->max_reauth_ms = number;
    } else {
        return usage("unknown option", name);
    }
    return 0;
}

/* The first line, without its end. */
static int read_password(struct arguments *arguments, const char *path)
{
    FILE *file = fopen(path, "rbe");
    bool got = file && fgets(arguments->password, sizeof arguments->password, file);
    if (file)
        fclose(file);
    if (!got)
        return usage("--tls-password-file can't be read", path);
    arguments->password[strcspn(arguments->password, "\r\n")] = 0;
    arguments->options.tls_key_password = arguments->password;
    return 0;
}

/* False: not one of these. */
static bool take_tls_value(struct arguments *arguments, const char *name, const char *value,
                           int *code)
{
    *code = 0;
    if (strcmp(name, "--tls-self-signed") == 0)
        arguments->self_signed = value;
    else if (strcmp(name, "--tls-keystore") == 0)
        arguments->options.tls_keystore = value;
    else if (strcmp(name, "--tls-truststore") == 0)
        arguments->options.tls_truststore = value;
    else if (strcmp(name, "--tls-client-auth") == 0)
        arguments->options.tls_client_auth = value;
    else if (strcmp(name, "--principal-mapping") == 0)
        arguments->options.principal_mapping_rules = value;
    else if (strcmp(name, "--tls-password-file") == 0)
        *code = read_password(arguments, value);
    else
        return false;
    return true;
}

static int take_value(struct arguments *arguments, const char *name, const char *value)
{
    int code;
    if (take_tls_value(arguments, name, value, &code))
        return code;
    long long number;
    if (strcmp(name, "--listen") == 0) {
        arguments->options.listen = value;
    } else if (strcmp(name, "--listener") == 0) {
        if (arguments->options.listener_count == MAX_LISTENERS)
            return usage("too many --listener", NULL);
        arguments->listeners[arguments->options.listener_count++] = value;
        arguments->options.listeners = arguments->listeners;
    } else if (strcmp(name, "--journal") == 0) {
        arguments->options.journal = value;
    } else if (strcmp(name, "--script") == 0) {
        arguments->script = value;
    } else if (strcmp(name, "--snapshot") == 0) {
        arguments->snapshot = value;
    } else if (strcmp(name, "--save-snapshot") == 0) {
        arguments->save = value;
    } else if (strcmp(name, "--kafka-version") == 0) {
        arguments->options.kafka_version = value;
    } else if (strcmp(name, "--super-users") == 0) {
        arguments->options.super_users = value;
    } else if (strcmp(name, "--config") == 0) {
        if (arguments->config_count == MAX_CONFIGS)
            return usage("too many --config", NULL);
        arguments->configs[arguments->config_count++] = value;
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
    } else if (strcmp(name, "--memory-max") == 0) {
        if (!read_count(value, INT64_MAX, &number))
            return usage("--memory-max is a number above 0, not", value);
        arguments->options.memory_max = (size_t)number;
    } else if (strcmp(name, "--racks") == 0) {
        arguments->options.racks = value;
    } else if (strcmp(name, "--topic") == 0) {
        if (arguments->topic_count == MAX_TOPICS)
            return usage("too many --topic", NULL);
        arguments->topics[arguments->topic_count++] = value;
    } else {
        return take_sasl(arguments, name, value);
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
        if (strcmp(name, "--sasl-unsecured-tokens") == 0) {
            arguments->options.sasl.unsecured_tokens = true;
            arguments->options.sasl.required = true;
            continue;
        }
        if (strcmp(name, "--acls") == 0) {
            arguments->options.acls = true;
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

static void print_listeners(const kf_broker *broker, const struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->options.listener_count; i++) {
        char name[64];
        const char *text = arguments->listeners[i];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "=:"), text);
        printf("%s\"%s\":\"%s\"", i ? "," : "\"listeners\":{", name,
               kf_broker_listener(broker, name));
    }
    fputs(arguments->options.listener_count ? "}," : "", stdout);
}

/* Certificates for those who brought none. */
static kf_err make_certificates(struct arguments *arguments, kf_error *error)
{
    kf_broker_options *options = &arguments->options;
    const char *directory = arguments->self_signed;
    if (!directory)
        return KF_OK;
    snprintf(arguments->keystore, PATH_BYTES, "%s/broker.pem", directory);
    snprintf(arguments->truststore, PATH_BYTES, "%s/ca.pem", directory);
    if (!options->tls_keystore)
        options->tls_keystore = arguments->keystore;
    if (!options->tls_truststore)
        options->tls_truststore = arguments->truststore;
    return kf_broker_make_certificates(directory, error);
}

/* KEY=VALUE, of all brokers */
static int set_config(kf_broker *broker, const char *text)
{
    char key[128];
    const char *equals = strchr(text, '=');
    size_t size = equals ? (size_t)(equals - text) : 0;
    if (size == 0 || size >= sizeof key)
        return usage("--config is KEY=VALUE, not", text);
    memcpy(key, text, size);
    key[size] = 0;
    kf_err err = kf_broker_set_config(broker, KF_BROKER_BROKER, "", key, equals + 1);
    if (err) {
        bool refused = err == KF_ERR_INVALID_REQUEST || err == KF_ERR_INVALID_CONFIG;
        fprintf(stderr, "kf broker: cannot set %s: %s\n", text,
                refused ? "brokers have no such config, or it takes no such value"
                        : kf_err_text(err));
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
    for (int i = 0; i < arguments->config_count; i++) {
        int code = set_config(broker, arguments->configs[i]);
        if (code)
            return code;
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
    printf("{\"bootstrap\":\"%s\",", kf_broker_bootstrap(broker));
    print_listeners(broker, arguments);
    printf("\"cluster_id\":\"%s\",\"pid\":%ld}\n", kf_broker_cluster_id(broker), (long)getpid());
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
    return kf_broker_journal_lost(broker, NULL) > 0 ? 1 : 0; /* why has been told */
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
    kf_broker *broker =
        make_certificates(&arguments, &error) ? NULL : kf_broker_start(&arguments.options, &error);
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
