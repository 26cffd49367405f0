/* measure: reads the process's CPU time; see the header. */
#include "tools/bench/common/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static int64_t cpu_ns(const struct rusage *used)
{
    return ((int64_t)used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000000 +
           ((int64_t)used->ru_utime.tv_usec + used->ru_stime.tv_usec) * 1000;
}

static int64_t cpu_now(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return cpu_ns(&used);
}

static int64_t time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void measure_begin(struct measure *measure, int64_t wanted)
{
    *measure = (struct measure){.wanted = wanted};
}

bool measure_at(struct measure *measure, int64_t records)
{
    if (!measure->warm && records >= measure->wanted / 10) {
        measure->warm = true;
        measure->from_records = records;
        measure->from_cpu = cpu_now();
        measure->from_time = time_now();
    }
    return records >= measure->wanted;
}

void measure_print(const struct measure *measure, const char *name, const struct tally *tally)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    int64_t records = tally->records - measure->from_records;
    double cpu = (double)(cpu_ns(&used) - measure->from_cpu);
    double seconds = (double)(time_now() - measure->from_time) / 1e9;
    if (records < 1)
        records = 1;
    printf("%-12s records=%lld bytes=%lld hash=%016llx cpu_ns=%.2f krecords_s=%.0f rss_kb=%ld\n",
           name, (long long)tally->records, (long long)tally->bytes,
           (unsigned long long)tally->hash, cpu / (double)records, (double)records / seconds / 1e3,
           used.ru_maxrss);
}

const char *option_text(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return fallback;
}

int64_t option_number(int argc, char **argv, const char *name, int64_t fallback)
{
    const char *text = option_text(argc, argv, name, NULL);
    return text ? atoll(text) : fallback;
}
