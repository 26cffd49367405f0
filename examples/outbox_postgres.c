/*
 * outbox_postgres: moves the rows of a PostgreSQL table into a topic.
 *
 *     outbox_postgres schema | psql …                                   the table
 *     outbox_postgres client.properties 'dbname=shop' shop-events       as many as wanted
 *
 * An aggregate, not a row, is claimed: by an advisory lock on its hash, held
 * by this program's session until its rows are published and deleted. FOR
 * UPDATE SKIP LOCKED on rows would give row 2 to one publisher while another
 * still has row 1. The locks of a program that dies end with its session.
 *
 * A row is read only when no transaction is open that began to write before
 * its own: one that commits later may still bring an earlier row. So a
 * transaction that stays open for an hour keeps events back for an hour.
 *
 * docs/outbox.md walks through it. Session locks need a session of their
 * own: no connection pool that shares sessions between transactions. A
 * publisher holds up to 500 of them; PostgreSQL has room for
 * max_locks_per_transaction x max_connections in all.
 */
#include <kafiber/kafiber.h>

#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE outbox (\n"
    "    position       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
    "    transaction    xid8 NOT NULL DEFAULT pg_current_xact_id(),\n"
    "    aggregate_type text NOT NULL,\n"
    "    aggregate_id   text NOT NULL,\n"
    "    event_id       uuid NOT NULL DEFAULT gen_random_uuid(),\n"
    "    event_type     text NOT NULL,\n"
    "    payload        bytea\n"
    ");\n"
    "CREATE INDEX outbox_by_aggregate ON outbox (aggregate_type, aggregate_id, position);\n";

/* The lock's number; the seed keeps clear of what else an application may lock. */
#define LOCK_OF "hashtextextended(aggregate_type || E'\\x1f' || aggregate_id, 7305)"

/* Without statistics a seq scan looks as cheap; it reads a whole backlog for each claim. */
static const char prepare_session[] = "SET enable_seqscan = off";

/*
 * Locks the aggregates of the oldest rows, but for those of $1, $2: many of
 * them, since one event of each is under way at a time. This and
 * the reading are two statements on purpose: the second one's snapshot is
 * younger than the locks, so it does not see what another publisher deleted
 * before it gave a lock back.
 */
static const char lock_aggregates[] =
    "WITH oldest AS ("
    "  SELECT aggregate_type, aggregate_id, position FROM outbox"
    "  WHERE (aggregate_type, aggregate_id) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))"
    "  ORDER BY position LIMIT 5000"
    "), candidate AS MATERIALIZED ("
    "  SELECT aggregate_type, aggregate_id FROM oldest GROUP BY 1, 2 ORDER BY min(position)"
    ") SELECT aggregate_type, aggregate_id FROM candidate"
    "  WHERE pg_try_advisory_lock(" LOCK_OF ") LIMIT 500";

/* Of each aggregate its first $3 settled rows, or one line of nulls. */
static const char read_rows[] =
    "SELECT a.aggregate_type, a.aggregate_id, r.position::text, r.event_id::text, r.event_type,"
    "       r.payload"
    "  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY a(aggregate_type, aggregate_id, n)"
    "  LEFT JOIN LATERAL ("
    "    SELECT * FROM ("
    "      SELECT *, bool_and(transaction < pg_snapshot_xmin(pg_current_snapshot()))"
    "                OVER (ORDER BY position) AS settled"
    "        FROM outbox o"
    "       WHERE o.aggregate_type = a.aggregate_type AND o.aggregate_id = a.aggregate_id"
    "       ORDER BY position LIMIT $3::int) s"
    "     WHERE settled) r ON true"
    " ORDER BY a.n, r.position";

static const char unlock_aggregates[] =
    "SELECT pg_advisory_unlock(" LOCK_OF ")"
    "  FROM unnest($1::text[], $2::text[]) a(aggregate_type, aggregate_id)";

static const char delete_rows[] = "DELETE FROM outbox WHERE position = ANY($1::bigint[])";

enum {
    TYPE,
    ID,
    POSITION,
    EVENT_ID,
    EVENT_TYPE,
    PAYLOAD
};

enum {
    MOST_LOCKS = 500, /* as lock_aggregates has it */
    MOST_ROWS = 4000, /* in hand: some of each aggregate */
};

/* ---- arrays as PostgreSQL reads them: {"a","b"} ---- */

struct text {
    char *bytes;
    size_t size;
    size_t room;
    bool failed;
};

static void put(struct text *text, char byte)
{
    if (text->size + 1 >= text->room && !text->failed) {
        size_t room = text->room ? text->room * 2 : 4096;
        char *bytes = realloc(text->bytes, room);
        text->failed = !bytes;
        text->bytes = bytes ? bytes : text->bytes;
        text->room = bytes ? room : text->room;
    }
    if (text->failed)
        return;
    text->bytes[text->size++] = byte;
    text->bytes[text->size] = 0;
}

static void put_element(struct text *array, const char *bytes, size_t size)
{
    put(array, array->size ? ',' : '{');
    put(array, '"');
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\')
            put(array, '\\');
        put(array, bytes[i]);
    }
    put(array, '"');
}

/* The whole array, or NULL without memory. */
static const char *finished(struct text *array)
{
    if (!array->size)
        put(array, '{');
    put(array, '}');
    return array->failed ? NULL : array->bytes;
}

/* ---- the database ---- */

/* Rows come in binary, that is: as they are. One statement is one transaction. */
static PGresult *query(PGconn *database, const char *statement, struct text *arrays, int count,
                       const char *more, kf_error *error)
{
    const char *parameters[3];
    parameters[count] = more; /* NULL: no parameter more */
    for (int i = 0; i < count; i++) {
        parameters[i] = finished(&arrays[i]);
        if (!parameters[i]) {
            kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for a query");
            return NULL;
        }
    }
    if (PQstatus(database) != CONNECTION_OK) {
        PQreset(database);
        PQclear(PQexec(database, prepare_session));
    }
    PGresult *result =
        PQexecParams(database, statement, count + !!more, NULL, parameters, NULL, NULL, 1);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return result;
    kf_error_set(error, KF_ERR_TIMED_OUT, "PostgreSQL: %s", PQerrorMessage(database));
    PQclear(result);
    return NULL;
}

static PGresult *query_aggregates(PGconn *database, const char *statement,
                                  const kf_outbox_aggregate *aggregates, size_t count,
                                  kf_error *error)
{
    struct text arrays[2] = {{0}};
    for (size_t i = 0; i < count; i++) {
        put_element(&arrays[0], aggregates[i].type.data, aggregates[i].type.size);
        put_element(&arrays[1], aggregates[i].id.data, aggregates[i].id.size);
    }
    PGresult *result = query(database, statement, arrays, 2, NULL, error);
    free(arrays[0].bytes);
    free(arrays[1].bytes);
    return result;
}

static kf_string field(const PGresult *result, int row, int column)
{
    return (kf_string){PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column)};
}

static kf_outbox_aggregate aggregate_in(const PGresult *result, int row)
{
    return (kf_outbox_aggregate){field(result, row, TYPE), field(result, row, ID)};
}

static void release(void *context, const kf_outbox_aggregate *aggregates, size_t count)
{
    PQclear(query_aggregates(context, unlock_aggregates, aggregates, count, NULL));
}

/* ---- the source ---- */

static kf_err add_row(kf_outbox_claim *claim, const PGresult *result, int row)
{
    kf_string payload = field(result, row, PAYLOAD);
    bool is_null = PQgetisnull(result, row, PAYLOAD);
    kf_outbox_row event = {
        .position = strtoll(PQgetvalue(result, row, POSITION), NULL, 10),
        .aggregate = aggregate_in(result, row),
        .event_id = field(result, row, EVENT_ID),
        .event_type = field(result, row, EVENT_TYPE),
        .payload = {is_null ? NULL : (const uint8_t *)payload.data, payload.size},
    };
    return kf_outbox_claim_add(claim, &event);
}

static bool begins_aggregate(const PGresult *result, int row)
{
    if (row == 0)
        return true;
    kf_outbox_aggregate a = aggregate_in(result, row - 1);
    kf_outbox_aggregate b = aggregate_in(result, row);
    return a.type.size != b.type.size || a.id.size != b.id.size ||
           memcmp(a.type.data, b.type.data, a.type.size) != 0 ||
           memcmp(a.id.data, b.id.data, a.id.size) != 0;
}

/* Locked aggregates of which nothing was added are given back at once, all together. */
static kf_err add_rows(PGconn *database, kf_outbox_claim *claim, const PGresult *result,
                       kf_outbox_aggregate *unused, kf_error *error)
{
    kf_err err = KF_OK;
    size_t count = 0;
    for (int row = 0; row < PQntuples(result); row++) {
        bool add = !err && !PQgetisnull(result, row, POSITION) && kf_outbox_claim_rows(claim) > 0;
        if (add)
            err = add_row(claim, result, row);
        if ((!add || err) && begins_aggregate(result, row))
            unused[count++] = aggregate_in(result, row);
    }
    if (count)
        release(database, unused, count);
    return err ? kf_error_set(error, err, "%s", kf_err_text(err)) : KF_OK;
}

/* Those of one statement's result: the locks taken. */
static kf_err claim_locked(PGconn *database, kf_outbox_claim *claim, const PGresult *locked,
                           kf_outbox_aggregate *aggregates, kf_error *error)
{
    struct text arrays[2] = {{0}};
    int count = PQntuples(locked);
    char each[16]; /* rows: all together are as many as are wanted */
    snprintf(each, sizeof each, "%d", (int)kf_outbox_claim_rows(claim) / count + 1);
    for (int i = 0; i < count; i++) {
        aggregates[i] = aggregate_in(locked, i);
        put_element(&arrays[0], aggregates[i].type.data, aggregates[i].type.size);
        put_element(&arrays[1], aggregates[i].id.data, aggregates[i].id.size);
    }
    PGresult *rows = query(database, read_rows, arrays, 2, each, error);
    kf_err err = KF_ERR_TIMED_OUT;
    if (rows)
        err = add_rows(database, claim, rows, aggregates, error);
    else
        release(database, aggregates, (size_t)count);
    PQclear(rows);
    free(arrays[0].bytes);
    free(arrays[1].bytes);
    return err;
}

static kf_err claim(void *context, kf_outbox_claim *claim, kf_error *error)
{
    PGconn *database = context;
    size_t count;
    const kf_outbox_aggregate *without = kf_outbox_claim_without(claim, &count);
    PGresult *locked = query_aggregates(database, lock_aggregates, without, count, error);
    if (!locked)
        return KF_ERR_TIMED_OUT;
    kf_outbox_aggregate aggregates[MOST_LOCKS];
    kf_err err =
        PQntuples(locked) ? claim_locked(database, claim, locked, aggregates, error) : KF_OK;
    PQclear(locked);
    return err;
}

static kf_err mark(void *context, const kf_outbox_row *const *rows, size_t count, kf_error *error)
{
    struct text array = {0};
    for (size_t i = 0; i < count; i++) {
        char number[24];
        int size = snprintf(number, sizeof number, "%lld", (long long)rows[i]->position);
        put_element(&array, number, (size_t)size);
    }
    PGresult *result = query(context, delete_rows, &array, 1, NULL, error);
    free(array.bytes);
    if (!result)
        return KF_ERR_TIMED_OUT;
    PQclear(result);
    return KF_OK;
}

static void tell_trouble(void *context, const kf_outbox_row *row, const kf_error *error)
{
    (void)context;
    if (row)
        fprintf(stderr, "event %.*s: %s\n", (int)row->event_id.size, row->event_id.data,
                error->text);
    else
        fprintf(stderr, "%s\n", error->text);
}

/* ---- the program ---- */

static kf_outbox *outbox;

static void stop(int signal_number)
{
    (void)signal_number;
    kf_outbox_stop(outbox);
}

static void ignore_notice(void *context, const char *text)
{
    (void)context;
    (void)text;
}

static kf_producer *open_producer(const char *properties, kf_error *error)
{
    kf_config *config = kf_config_new(NULL);
    kf_config_load(config, properties, error);
    kf_producer *producer = error->code ? NULL : kf_producer_new(config, error);
    kf_config_free(config);
    return producer;
}

static void publish(kf_producer *producer, PGconn *database, const char *topic, kf_error *error)
{
    kf_outbox_source source = {sizeof source, database, claim, mark, release, tell_trouble};
    kf_outbox_options options = {.size = sizeof options, .topic = topic, .max_rows = MOST_ROWS};
    outbox = kf_outbox_new(producer, &source, &options, error);
    if (!outbox)
        return;
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    kf_outbox_run(outbox, error);
    printf("%lld events published\n", (long long)kf_outbox_published(outbox));
    kf_outbox_free(outbox);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "schema") == 0) {
        fputs(schema, stdout);
        return 0;
    }
    if (argc != 4) {
        fprintf(stderr, "usage: %s client.properties CONNECTION TOPIC\n       %s schema\n", argv[0],
                argv[0]);
        return 2;
    }
    kf_error error = KF_ERROR_INIT;
    kf_producer *producer = open_producer(argv[1], &error);
    PGconn *database = PQconnectdb(argv[2]);
    PQsetNoticeProcessor(database, ignore_notice, NULL);
    PQclear(PQexec(database, prepare_session));
    if (!error.code && PQstatus(database) != CONNECTION_OK)
        kf_error_set(&error, KF_ERR_CONNECT_FAILED, "%s", PQerrorMessage(database));
    if (!error.code)
        publish(producer, database, argv[3], &error);
    PQfinish(database);
    kf_producer_close(producer, kf_now() + KF_SECOND);
    return kf_error_print(&error, stderr);
}
