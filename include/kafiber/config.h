/*
 * config: settings by Kafka's own property names.
 *
 * One table (config.def) says of each key its type, default, range, a line
 * of documentation, and what we do with it: honour it, ignore it with a
 * word, or refuse it and say what to use instead. docs/configuration.md is
 * printed from the same table.
 *
 * A value that was set by call is stronger than the environment's, that than
 * a file's, that than the default; of two equally strong the later one stays.
 */
#ifndef KAFIBER_CONFIG_H
#define KAFIBER_CONFIG_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/log.h>

KF_BEGIN_DECLS

typedef struct kf_config kf_config;

/*
 * NULL only when out of memory. `alloc` NULL: kf_default_allocator. Producers
 * opened with it take their memory there too.
 */
KF_API kf_config *kf_config_new(const kf_allocator *alloc);
KF_API kf_config *kf_config_copy(const kf_config *config);
KF_API void kf_config_free(kf_config *config);

/*
 * Sets one key. KF_ERR_CONFIG with a sentence (nearest name, allowed values)
 * for an unknown key, a wrong type, a value out of range, or a key we refuse.
 */
KF_API kf_err kf_config_set(kf_config *config, const char *key, const char *value, kf_error *error);
/* A .properties file as java.util.Properties reads it; errors name file and line. */
KF_API kf_err kf_config_load(kf_config *config, const char *path, kf_error *error);
/* The same from memory; `name` stands for the file in errors. */
KF_API kf_err kf_config_parse(kf_config *config, const char *text, size_t size, const char *name,
                              kf_error *error);

/* KAFIBER_BOOTSTRAP_SERVERS, where it is set: stronger than a file, weaker than kf_config_set. */
KF_API kf_err kf_config_load_environment(kf_config *config, kf_error *error);

/*
 * The value as set or by default, as text ("" for none); NULL for an unknown
 * key. Borrowed until the next set. Secrets print as "[hidden]".
 */
KF_API const char *kf_config_get(const kf_config *config, const char *key);

/* All keys as docs/configuration.md shows them. KF_ERR_SYSTEM where the stream failed. */
KF_API kf_err kf_config_print_markdown(FILE *stream);

/* Where events go and from which level on; NULL: stderr. */
KF_API void kf_config_log(kf_config *config, kf_log_level level, kf_log_fn log, void *context);

/*
 * For tests in virtual time: clock, sockets and random numbers come from the
 * embedded broker (kf_broker_world in broker.h), which must outlive the
 * runtime. Only a kf_runtime with worker.threads=0 may use it; NULL: the real
 * world.
 */
struct kf__world;
KF_API void kf_config_world(kf_config *config, const struct kf__world *world);

KF_END_DECLS

#endif
