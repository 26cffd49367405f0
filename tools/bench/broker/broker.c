/*
 * broker: what a broker's process spends while it is worked: CPU time and
 * memory of another process, read from /proc. tools/bench/broker/run starts
 * the brokers and makes the table.
 *
 *     bench_broker bytes|topics|connections|session --at 127.0.0.1:9092 --pid N
 *
 * A line for each figure: its name and its value.
 */
#include "tools/bench/broker/rows.h"
#include "tools/bench/common/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(const struct target *target);
} rows[] = {
    {"bytes", measure_bytes},
    {"topics", measure_topics},
    {"connections", measure_connections},
    {"session", measure_session},
};

int main(int argc, char **argv)
{
    static char host[64];
    const char *at = option_text(argc, argv, "--at", "127.0.0.1:9092");
    const char *colon = strrchr(at, ':');
    if (!colon || (size_t)(colon - at) >= sizeof host)
        die("--at wants HOST:PORT");
    memcpy(host, at, (size_t)(colon - at));
    struct target target = {.host = host,
                            .port = (uint16_t)strtoul(colon + 1, NULL, 10),
                            .pid = (pid_t)option_number(argc, argv, "--pid", 0)};
    for (size_t i = 0; argc > 1 && i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(argv[1], rows[i].name) != 0)
            continue;
        rows[i].run(&target);
        return 0;
    }
    die("bytes, topics, connections or session?");
}
