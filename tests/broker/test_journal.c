/* Journals that cannot be written: nothing crashes, and what is lost is told. */
#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(journal, .timeout = 60);

static kf_broker *broker;
static struct client client;

/* The test turns the broker itself: what its own thread would block is the test's to bear. */
static void open_broker(const char *journal)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .journal = journal};
    signal(SIGPIPE, SIG_DFL);
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void ask(void)
{
    struct kf_api_versions_request request;
    struct kf_api_versions_response response;
    char byte;
    kf_reset(&kf_schema_of_api_versions_request, &request);
    client_send(&client, KF_API_API_VERSIONS, 0, &request);
    while (recv(client.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
        cr_assert(eq(int, kf_broker_step(broker, 100), KF_OK));
    cr_assert(client_receive(&client));
    cr_assert(eq(int, client_decode(&client, KF_API_API_VERSIONS, 0, &response), KF_OK));
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

static void loses(int64_t count, const char *path, int why)
{
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(i64, kf_broker_journal_lost(broker, &error), count));
    cr_assert(eq(int, error.code, KF_ERR_SYSTEM));
    cr_assert(ne(ptr, strstr(error.text, path), NULL), "%s", error.text);
    cr_assert(ne(ptr, strstr(error.text, strerror(why)), NULL), "%s", error.text);
}

Test(journal, loses_nothing_where_it_can_be_written)
{
    char path[] = "/tmp/kafiber-journal-XXXXXX", line[8192];
    kf_error error = KF_ERROR_INIT;
    int lines = 0;
    close(mkstemp(path));
    open_broker(path);
    ask();
    ask();
    cr_assert(eq(i64, kf_broker_journal_lost(broker, &error), 0));
    cr_assert(eq(int, error.code, KF_OK));
    cr_assert(eq(i64, kf_broker_journal_lost(broker, NULL), 0));
    close_broker();
    FILE *file = fopen(path, "r");
    while (fgets(line, sizeof line, file))
        lines++;
    fclose(file);
    unlink(path);
    cr_assert(eq(int, lines, 2));
}

#ifdef __linux__
/* A full disk: requests are answered as ever, and stderr tells it once. */
Test(journal, on_a_full_disk_is_told_to_be_incomplete)
{
    char told[] = "/tmp/kafiber-stderr-XXXXXX", line[512] = "", second[512];
    int fd = mkstemp(told), before = dup(2);
    dup2(fd, 2);
    close(fd);
    open_broker("/dev/full");
    ask();
    ask();
    ask();
    dup2(before, 2);
    close(before);
    loses(3, "/dev/full", ENOSPC);
    close_broker();
    FILE *file = fopen(told, "r");
    cr_assert(ne(ptr, fgets(line, sizeof line, file), NULL));
    cr_assert(eq(ptr, fgets(second, sizeof second, file), NULL));
    fclose(file);
    unlink(told);
    cr_assert(ne(ptr, strstr(line, "/dev/full"), NULL), "%s", line);
    cr_assert(ne(ptr, strstr(line, strerror(ENOSPC)), NULL), "%s", line);
}
#endif

/* Whoever read the pipe has gone: no signal ends the program. */
Test(journal, to_a_pipe_that_nobody_reads_any_more_is_told_to_be_incomplete)
{
    char path[] = "/tmp/kafiber-journal-XXXXXX", bytes[8192];
    cr_assert(ne(ptr, mkdtemp(path), NULL));
    char pipe_path[64];
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", path);
    cr_assert(eq(int, mkfifo(pipe_path, 0600), 0));
    int reader = open(pipe_path, O_RDONLY | O_NONBLOCK);
    open_broker(pipe_path);
    ask();
    cr_assert(eq(i64, kf_broker_journal_lost(broker, NULL), 0));
    cr_assert(lt(i64, 0, read(reader, bytes, sizeof bytes)));
    close(reader);
    ask();
    ask();
    loses(2, pipe_path, EPIPE);
    close_broker();
    unlink(pipe_path);
    rmdir(path);
}
