/*
 * sanitizer: whether this build runs under a tool that must be told about
 * stacks. Included by fiber.c, stack.c and their tests.
 */
#ifndef KF_RUNTIME_SANITIZER_H
#define KF_RUNTIME_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KF__ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define KF__TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define KF__ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define KF__TSAN 1
#endif

#ifdef KF__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef KF__TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if !defined(KF__ASAN) && !defined(KF__TSAN) && defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define KF__VALGRIND 1
#endif
#endif

#endif
