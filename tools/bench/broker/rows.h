/* rows: what bench_broker can measure; each prints its figures, a name and a number a line. */
#ifndef BENCH_BROKER_ROWS_H
#define BENCH_BROKER_ROWS_H

#include "tools/bench/broker/wire.h"

void measure_bytes(const struct target *target);
void measure_topics(const struct target *target);
void measure_connections(const struct target *target);
void measure_session(const struct target *target);

#endif
